"""What the tests of the datasets share."""

from collections.abc import Callable

import pytest


@pytest.fixture
def left_over(tmp_path) -> Callable[[], list[str]]:
    """Names of everything below the test's folder."""
    return lambda: sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
