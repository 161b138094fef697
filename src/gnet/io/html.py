"""A page of HTML, written when the run that it belongs to is known."""

from __future__ import annotations

from collections.abc import Callable

from kedro.io.core import DatasetError

from gnet.io.base import LocalDataset
from gnet.storage.atomic import atomic_path


class PageDataset(LocalDataset):
    """Text in a `.html` file.

    Saving takes the text, or a callable that gets the name of the version under which Kedro files the page
    (the run's start; "" if the dataset is not versioned) and returns the text. So a page can say which run it
    is of, which no node knows.

    ```yaml
    report:
      type: gnet.io.html.PageDataset
      filepath: ${globals:data_root}/08_reporting/report.html
      versioned: true
    ```

    Examples
    --------
    >>> dataset = PageDataset(filepath=getfixture("tmp_path") / "report.html")
    >>> dataset.save("<!doctype html><title>A run</title>")
    >>> dataset.load()
    '<!doctype html><title>A run</title>'
    """

    def _check(self) -> None:
        if self._filepath.suffix != ".html":
            raise DatasetError(
                f"{self._filepath}: expected a name that ends in .html; rename the file in the catalog"
            )

    def load(self) -> str:
        """Read the page.

        Raises
        ------
        DatasetError
            if there is no such file.
        """
        return self._readable().read_text(encoding="utf-8")

    def save(self, data: object) -> None:
        """Write under a temporary name, then rename: after an error, nothing is left.

        Raises
        ------
        DatasetError
            if `data` is neither text nor a callable that returns text.
        """
        text = data(self.resolve_save_version() or "") if isinstance(data, Callable) else data
        if not isinstance(text, str):
            raise DatasetError(
                f"{self._filepath}: expected text or a callable that returns it, "
                f"found {type(text).__name__}; return the page from the node"
            )
        with atomic_path(self._get_save_path()) as part:
            part.write_text(text, encoding="utf-8")
