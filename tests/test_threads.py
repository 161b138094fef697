import threading

import pytest

from gnet.threads import in_order, usable_cores


def test_there_is_a_core_to_use():
    assert usable_cores() >= 1


@pytest.mark.parametrize("threads", [1, 3, None])
def test_results_stand_in_the_order_of_the_items(threads):
    gate = threading.Event()

    def square(number):
        if number:
            gate.set()
        elif threads == 3:  # the first is the last to be ready
            assert gate.wait(10)
        return number**2

    assert list(in_order(square, range(20), threads)) == [number**2 for number in range(20)]
    assert list(in_order(square, [], threads)) == []


def test_work_is_only_a_little_ahead():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(lambda number: number, items(), threads=2)
    assert next(results) == 0
    assert len(taken) == 5
    results.close()
    assert len(taken) == 5


def test_an_error_comes_in_its_turn_and_ends_the_work():
    begun = []

    def halve(number):
        begun.append(number)
        if number == 3:
            raise ValueError("three")
        return number / 2

    results = in_order(halve, range(1000), threads=1)
    assert [next(results) for _ in range(3)] == [0, 0.5, 1]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert len(begun) < 10
