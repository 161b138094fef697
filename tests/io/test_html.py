"""PageDataset: text that can say which run it is of."""

import pytest
from kedro.io.core import DatasetError, Version

from gnet.io.html import PageDataset


def test_the_page_is_told_its_version(tmp_path):
    dataset = PageDataset(filepath=tmp_path / "report.html", version=Version(None, "2026-01-01"))
    dataset.save(lambda run: f"Bericht über {run}")
    assert dataset.load() == "Bericht über 2026-01-01"
    assert (tmp_path / "report.html" / "2026-01-01" / "report.html").exists()


def test_without_versions_it_is_told_nothing(tmp_path):
    dataset = PageDataset(filepath=tmp_path / "report.html")
    dataset.save(lambda run: f"[{run}]")
    assert dataset.load() == "[]"


@pytest.mark.parametrize("page", [b"bytes", lambda run: None])
def test_what_is_no_text_is_refused_and_leaves_nothing(tmp_path, page):
    with pytest.raises(DatasetError, match="expected text or a callable that returns it, found"):
        PageDataset(filepath=tmp_path / "report.html").save(page)
    assert list(tmp_path.iterdir()) == []


def test_other_names_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"expected a name that ends in \.html"):
        PageDataset(filepath=tmp_path / "report.txt")


def test_a_damaged_page_is_named(tmp_path):
    (tmp_path / "report.html").write_bytes(b"\xff\xfe")
    with pytest.raises(
        DatasetError, match=r"report\.html: expected a complete \.html file, .*delete it and run"
    ):
        PageDataset(filepath=tmp_path / "report.html").load()
