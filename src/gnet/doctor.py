"""What a bug report needs to know: versions, machine, configuration, release, models. Nothing here fails."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import gnet
from gnet.storage.atomic import existing_level

PACKAGES = (
    "torch", "numpy", "scipy", "pandas", "h5py", "pyarrow", "nibabel", "pillow", "matplotlib", "kedro",
    "kedro-datasets", "kedro-viz", "pydantic", "omegaconf", "click", "rich",
)  # fmt: skip
VARIABLES = ("NSD_ROOT", "GNET_DATA", "KEDRO_ENV", "GNET_TRACEBACK", "CUDA_VISIBLE_DEVICES")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Line = tuple[str, Callable[[], str]]


def report(env: str | None = None, project: Path | None = None) -> str:
    """Everything, as text in a Markdown block. What is not there is said to be; your home folder is `~`.

    Parameters
    ----------
    env
        Configuration environment, as kedro's `--env`.
    project
        A folder of the project; the current one if it is not given.
    """
    configured = _Configuration(env, project or Path.cwd())
    sections = {
        "versions": _versions(),
        "machine": _machine(),
        "configuration": _configuration(configured),
        "data": _data(configured),
        "models": _models(configured),
    }
    lines = ["```text", f"gnet doctor, {time.strftime('%Y-%m-%d %H:%M %Z')}"]
    for title, entries in sections.items():
        lines += ["", title]
        lines += [f"  {label:<22} {_said(value)}" for label, value in entries]
    text = "\n".join([*lines, "```"])
    return re.sub(rf"(?<![\w/]){re.escape(str(Path.home()))}(?![\w-])", "~", text)


def _said(value: Callable[[], str]) -> str:
    """What the function finds; if it fails, the first sentence of why."""
    try:
        return value() or "not there"
    except Exception as error:
        cause = error.__cause__ or error  # Kedro tells before it which dataset it was, at length
        sentence = (str(cause).strip() or type(cause).__name__).splitlines()[0].split(". ")[0]
        return f"not there ({sentence.rstrip('.')})"


class _Configuration:
    """The project's configuration, read when it is first needed."""

    def __init__(self, env: str | None, folder: Path) -> None:
        self.env, self.folder = env, folder
        self._context = self._catalog = None

    @property
    def project(self) -> Path:
        from kedro.utils import find_kedro_project

        found = find_kedro_project(self.folder)
        if found is None:
            raise FileNotFoundError(f"{self.folder} is in no Kedro project; call from the folder of yours")
        return found

    @property
    def context(self) -> Any:
        if self._context is None:
            from kedro.framework.session import KedroSession
            from kedro.framework.startup import bootstrap_project

            bootstrap_project(self.project)
            self._context = KedroSession.create(self.project, env=self.env).load_context()
        return self._context

    @property
    def catalog(self) -> Any:
        if self._catalog is None:
            from gnet.settings import Catalog

            self._catalog = Catalog.from_config(self.context.config_loader["catalog"])
        return self._catalog

    @property
    def parameters(self) -> dict[str, Any]:
        return self.context.config_loader["parameters"]

    @property
    def data(self) -> Path:
        from gnet.hooks.configuration import data_root

        return data_root(self.context)


def _versions() -> Iterator[Line]:
    yield "gnet", lambda: f"{gnet.__version__}{_commit()}"
    yield "python", lambda: f"{platform.python_version()} ({platform.python_implementation()})"
    for name in PACKAGES:
        yield name, lambda name=name: metadata.version(name)


def _commit() -> str:
    folder = str(Path(gnet.__file__).parent)
    commands = (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--", folder])
    try:
        commit, changed = (
            subprocess.run(
                ["git", "-C", folder, *command], capture_output=True, text=True, check=True, timeout=2
            ).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f", commit {commit}{', with changes' if changed else ''}"


def _machine() -> Iterator[Line]:
    yield "platform", platform.platform
    yield "cores", lambda: str(os.cpu_count())
    yield "memory", _memory
    yield "CUDA", _cuda
    yield "MPS", _mps
    yield "torch's threads", _threads
    for name in THREADS:
        yield name, lambda name=name: os.environ.get(name, "not set")


def _memory() -> str:
    import torch

    from gnet.models.device import free_memory

    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = free_memory(torch.device("cpu"))
    return _size(total) if free is None else f"{_size(total)}, {_size(free)} free"


def _cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        return ""
    devices = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return f"{torch.version.cuda}: " + ", ".join(f"{d.name} ({_size(d.total_memory)})" for d in devices)


def _mps() -> str:
    import torch

    return "there" if torch.backends.mps.is_available() else ""


def _threads() -> str:
    import torch

    return str(torch.get_num_threads())


def _configuration(configured: _Configuration) -> Iterator[Line]:
    yield "project", lambda: str(configured.project)
    yield "environment", lambda: configured.context.env or "base"
    for name in VARIABLES:
        yield name, lambda name=name: os.environ.get(name, "") or "not set"
    yield "protocol", lambda: configured.parameters["fitting"]["protocol"]
    yield "device", lambda: configured.parameters["fitting"]["device"]
    yield "areas", lambda: ", ".join(configured.parameters["areas"])


def _data(configured: _Configuration) -> Iterator[Line]:
    yield "folder", lambda: _disk(configured.data)
    yield "runs at work", lambda: _runs(configured.data) or "none"
    yield "release", lambda: _release(configured.catalog.get("recording"))
    yield "inventory", lambda: _inventory(configured.catalog.get("inventory"))


def _disk(folder: Path) -> str:
    there = existing_level(folder)
    usage = shutil.disk_usage(there)
    state = "" if there == folder else " (not there yet)"
    writable = "" if os.access(there, os.W_OK) else ", cannot be written to"
    return f"{folder}{state}: {_size(usage.free)} free of {_size(usage.total)}{writable}"


def _runs(folder: Path) -> str:
    from gnet.hooks.runs import at_work

    return "; ".join(f"process {run.process} since {run.started}: {run.command}" for run in at_work(folder))


def _release(dataset: Any) -> str:
    layout = dataset.load()
    return f"{'simulated' if layout.simulated else 'downloaded'}, {layout.root}"


def _inventory(dataset: Any) -> str:
    path = Path(dataset._filepath)
    if not path.is_file():
        return ""
    problems = dataset.load()["problem"] != ""
    return f"{len(problems)} files, {problems.sum()} with a problem, {_age(path)}"


def _models(configured: _Configuration) -> Iterator[Line]:
    try:
        folder = Path(configured.catalog.get("gnet8j")._filepath).parent
        areas = list(configured.parameters["areas"])
    except Exception:
        yield "models", lambda: str(configured.catalog.get("gnet8j"))  # which says why not
        return
    expected = ["gnet8j", *(f"{area}.{kind}" for kind in ("gnet8r", "transfer") for area in areas)]
    there = sorted(path.stem for path in folder.glob("*.h5"))
    for name in dict.fromkeys([*expected, *there]):
        yield name, lambda name=name: _model(folder / f"{name}.h5")
    for state in sorted(folder.glob("unfinished/*")):
        yield "unfinished", lambda state=state: f"{state.stem}, {_size(state.stat().st_size)}, {_age(state)}"


def _model(path: Path) -> str:
    import h5py

    versions = sorted(path.glob(f"*/{path.name}"))
    if not versions:
        return ""
    newest = versions[-1]
    with h5py.File(newest) as file:
        kind = file.attrs["format"]
    count = "1 version" if len(versions) == 1 else f"{len(versions)} versions, newest"
    return f"{count} {newest.parent.name}, {kind}, {_size(newest.stat().st_size)}, {_age(newest)}"


def _size(number: int) -> str:
    """A number of bytes as it is read.

    >>> _size(74_000_000_000), _size(1_340_000), _size(200)
    ('74.0 GB', '1.3 MB', '0.2 kB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number / 1e3:.1f} kB"


def _age(path: Path) -> str:
    """How long ago a file was last written."""
    seconds = time.time() - path.stat().st_mtime
    for unit, factor in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.0f} {unit} old"
    return f"{max(seconds, 0):.0f} seconds old"
