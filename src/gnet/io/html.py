"""A page of HTML, written when the run that it belongs to is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gnet.io.base import LocalDataset


class PageDataset(LocalDataset):
    """Text in a `.html` file.

    Saving takes the text, or a callable that gets the name of the version under which Kedro stores the page
    (the run's start; "" if the dataset is not versioned) and returns the text. In this way a page can name
    its run, which no node knows.
    """

    SUFFIXES = (".html",)
    ACCEPTS = (str, Callable)
    EXPECTED = "text or a callable that returns it"
    ADVICE = "return the page from the node"

    def _read(self, path: Path) -> str:
        return path.read_text(encoding="utf-8")

    def _write(self, part: Path, data: str | Callable[[str], str]) -> None:
        text = data(self.resolve_save_version() or "") if isinstance(data, Callable) else data
        if not isinstance(text, str):
            raise self._refusal(type(text).__name__)
        part.write_text(text, encoding="utf-8")
