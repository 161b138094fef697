"""The spread of the hierarchy index over seeds, from the results of several runs."""

import numpy as np
import pandas as pd
import pytest

from gnet.analysis.seeds import index_over_seeds, settings_digest

FIT = {"protocol": "published", "epochs": 50, "seed": 1, "device": "cpu", "torch": "2.9"}


def result(seed, pooled, version="", settings="sha256:a", protocol="published"):
    table = pd.DataFrame({"subject": ["subj01", "pooled"], "index": [2 * pooled, pooled]})
    table = table.assign(protocol=protocol, seed=seed, settings=settings)
    return table.assign(version=version) if version else table


def test_mean_and_spread_over_seeds():
    newest = result(3, 0.3)
    versions = pd.concat([result(1, 0.1, "t1"), result(2, 0.5, "t2"), result(3, 0.3, "t3")])
    table = index_over_seeds(newest, versions)
    assert table["subject"].tolist() == ["subj01", "pooled"]
    np.testing.assert_allclose(table["index"], [0.6, 0.3])
    np.testing.assert_allclose(table["seed_sd"], [0.4, 0.2])
    assert table["seeds"].tolist() == [3, 3]
    assert table["which"].tolist() == ["1, 2, 3"] * 2
    assert set(table["protocol"]) == {"published"}


def test_one_seed_has_no_spread():
    table = index_over_seeds(result(1, 0.1), result(1, 0.1, "t1"))
    assert table["index"].tolist() == [0.2, 0.1]
    assert table["seed_sd"].isna().all()
    assert (table["seeds"] == 1).all()


def test_the_latest_of_a_seed_counts_whatever_the_order():
    versions = pd.concat([result(10, 0.1, "t3"), result(10, 0.9, "t1"), result(2, 0.3, "t2")])
    table = index_over_seeds(result(10, 0.1), versions)
    assert table["which"].tolist() == ["2, 10"] * 2
    assert table["index"].tolist() == pytest.approx([0.4, 0.2])


def test_other_settings_do_not_count():
    versions = pd.concat(
        [
            result(1, 0.1, "t1"),
            result(2, 0.9, "t2", settings="sha256:b", protocol="revised"),
            result(4, 0.9, "t3").drop(columns=["seed", "settings"]),
        ]
    )
    table = index_over_seeds(result(1, 0.1), versions)
    assert table["which"].tolist() == ["1", "1"]
    assert (table["seeds"] == 1).all()
    assert table["index"].tolist() == [0.2, 0.1]


def test_an_index_that_does_not_exist_is_not_zero_and_not_counted():
    versions = pd.concat([result(1, 0.1, "t1"), result(2, np.nan, "t2")])
    table = index_over_seeds(result(2, np.nan), versions)
    assert table["index"].tolist() == [0.2, 0.1]
    assert table["which"].tolist() == ["1", "1"]
    nothing = index_over_seeds(result(2, np.nan), result(2, np.nan, "t2"))
    assert nothing["index"].isna().all()
    assert (nothing["seeds"] == 0).all()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"seed": 2}, True),
        ({"device": "cuda"}, True),
        ({"torch": "3.0"}, True),
        ({"epochs": 51}, False),
        ({"protocol": "revised"}, False),
    ],
)
def test_settings_are_all_but_seed_and_machine(change, same):
    assert (settings_digest([FIT | change]) == settings_digest([FIT])) is same


def test_settings_know_the_data():
    assert settings_digest([FIT | {"data": "sha256:1"}]) != settings_digest([FIT | {"data": "sha256:2"}])


def test_fits_of_different_seeds_do_not_count():
    """The readouts of another seed on the same trunks are no other fit."""
    versions = pd.concat([result(1, 0.1, "t1"), result("2", 0.3, "t2"), result("2+1", 0.9, "t3")])
    table = index_over_seeds(result("2+1", 0.9), versions)
    assert (table["which"] == "1, 2").all()
    np.testing.assert_allclose(table["index"].iloc[-1], 0.2)
