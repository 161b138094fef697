"""What a bug report needs to know: versions, machine, configuration, release, models. Nothing here fails."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import gnet
from gnet.storage.atomic import existing_level, readable_bytes

PACKAGES = (
    "torch", "numpy", "scipy", "pandas", "h5py", "pyarrow", "nibabel", "pillow", "matplotlib", "kedro",
    "kedro-datasets", "kedro-viz", "pydantic", "omegaconf", "click", "rich",
)  # fmt: skip
VARIABLES = ("NSD_ROOT", "GNET_DATA", "KEDRO_ENV", "GNET_TRACEBACK", "CUDA_VISIBLE_DEVICES")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def report(env: str | None = None, project: Path | None = None) -> str:
    """Everything, as text in a Markdown block. What is missing is said to be; your home folder is `~`.

    Parameters
    ----------
    env : str, optional
        Configuration environment, as kedro's `--env`.
    project : Path, optional
        A folder of the project; the current one if it is not given.
    """
    lines = ["```text", f"gnet doctor, {time.strftime('%Y-%m-%d %H:%M %Z')}"]
    for label, value in (*_system(), *_project(env, project or Path.cwd())):
        lines += ["", label] if value is None else [f"  {label:<22} {_told(value)}"]
    text = "\n".join([*lines, "```"])
    return re.sub(rf"(?<![\w/]){re.escape(str(Path.home()))}(?![\w-])", "~", text)


def _told(value: Callable[[], Any]) -> str:
    """What a function finds; if it fails, the first sentence of why."""
    try:
        return str(value() or "not there")
    except Exception as error:
        cause = error.__cause__ or error  # Kedro's own message begins with the dataset, at length
        sentence = (str(cause).strip() or type(cause).__name__).splitlines()[0].split(". ")[0]
        return f"not there ({sentence.rstrip('.')})"


def _system() -> Iterator[tuple[str, Callable[[], Any] | None]]:
    """Titles of sections, with None, and labels with what finds their values: versions and machine."""
    torch = partial(import_module, "torch")
    yield "versions", None
    yield "gnet", lambda: f"{gnet.__version__}{_commit()}"
    yield "python", lambda: f"{platform.python_version()} ({platform.python_implementation()})"
    for name in PACKAGES:
        yield name, partial(metadata.version, name)
    yield "machine", None
    yield "platform", platform.platform
    yield "cores", os.cpu_count
    yield "memory", _memory
    yield "CUDA", lambda: torch().cuda.is_available() and f"{torch().version.cuda}: {_cards(torch().cuda)}"
    yield "MPS", lambda: torch().backends.mps.is_available() and "there"
    yield "torch's threads", lambda: torch().get_num_threads()
    for name in THREADS:
        yield name, partial(os.environ.get, name, "not set")


def _project(env: str | None, folder: Path) -> Iterator[tuple[str, Callable[[], Any] | None]]:
    """The same of configuration, data and models."""
    from gnet.hooks.configuration import data_root
    from gnet.hooks.runs import at_work
    from gnet.hooks.stored import place

    @cache
    def root() -> Path:
        from kedro.utils import find_kedro_project

        found = find_kedro_project(folder)
        if found is None:
            raise FileNotFoundError(f"{folder} is in no Kedro project; call from the folder of yours")
        return found

    @cache
    def context() -> Any:
        from kedro.framework.session import KedroSession
        from kedro.framework.startup import bootstrap_project

        bootstrap_project(root())
        return KedroSession.create(root(), env=env).load_context()

    def parameters() -> dict[str, Any]:
        return context().config_loader["parameters"]

    def dataset(name: str) -> Any:
        from gnet.settings import Catalog

        return Catalog.from_config(context().config_loader["catalog"]).get(name)

    yield "configuration", None
    yield "project", root
    yield "environment", lambda: context().env or "base"
    for name in VARIABLES:
        yield name, lambda name=name: os.environ.get(name) or "not set"
    yield "protocol", lambda: parameters()["fitting"]["protocol"]
    yield "device", lambda: parameters()["fitting"]["device"]
    yield "areas", lambda: ", ".join(parameters()["areas"])
    yield "data", None
    yield "folder", lambda: _disk(data_root(context()))
    run = "process {0.process} since {0.started}: {0.command}".format
    yield "runs at work", lambda: "; ".join(map(run, at_work(data_root(context())))) or "none"
    yield "release", lambda: _release(dataset("recording").load())
    yield "inventory", lambda: _inventory(place(dataset("inventory")), dataset("inventory").load)
    yield "models", None
    try:
        models, areas = place(dataset("gnet8j")).parent, parameters()["areas"]
    except Exception:
        yield "models", lambda: dataset("gnet8j")  # which says why not
        return
    expected = ["gnet8j", *(f"{area}.{kind}" for kind in ("gnet8r", "transfer") for area in areas)]
    for name in dict.fromkeys([*expected, *sorted(path.stem for path in models.glob("*.h5"))]):
        yield name, partial(_model, models / f"{name}.h5")
    for state in sorted(models.glob("unfinished/*.pt")):
        yield "unfinished", lambda state=state: f"{state.stem}, {_size_and_age(state)}"


def _commit() -> str:
    folder = str(Path(gnet.__file__).parent)
    git = partial(subprocess.check_output, cwd=folder, text=True, stderr=subprocess.DEVNULL, timeout=2)
    try:
        commit = git(["git", "rev-parse", "--short", "HEAD"]).strip()
        return f", commit {commit}{', with changes' if git(['git', 'status', '--porcelain', '.']) else ''}"
    except (OSError, subprocess.SubprocessError):
        return ""


def _memory() -> str:
    free = import_module("gnet.models.device").free_memory(import_module("torch").device("cpu"))
    total = readable_bytes(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return total if free is None else f"{total}, {readable_bytes(free)} free"


def _cards(cuda: Any) -> str:
    cards = map(cuda.get_device_properties, range(cuda.device_count()))
    return ", ".join(f"{card.name} ({readable_bytes(card.total_memory)})" for card in cards)


def _disk(folder: Path) -> str:
    there = existing_level(folder)
    usage = shutil.disk_usage(there)
    state = "" if there == folder else " (not there yet)"
    writable = "" if os.access(there, os.W_OK) else ", cannot be written to"
    return f"{folder}{state}: {readable_bytes(usage.free)} free of {readable_bytes(usage.total)}{writable}"


def _release(reader: Any) -> str:
    return f"{'simulated' if reader.simulated else 'downloaded'}, {reader.layout.root}"


def _inventory(path: Path, load: Callable[[], Any]) -> str:
    if not path.is_file():
        return ""
    problems = load()["problem"] != ""
    return f"{len(problems)} files, {problems.sum()} with a problem, {_age(path)}"


def _model(path: Path) -> str:
    import h5py

    saved = sorted(path.glob(f"*/{path.name}"))
    if not saved:
        return ""
    with h5py.File(saved[-1]) as file:
        kind = file.attrs["format"]
    count = "1 version" if len(saved) == 1 else f"{len(saved)} versions, newest"
    return f"{count} {saved[-1].parent.name}, {kind}, {_size_and_age(saved[-1])}"


def _size_and_age(path: Path) -> str:
    return f"{readable_bytes(path.stat().st_size)}, {_age(path)}"


def _age(path: Path) -> str:
    seconds = time.time() - path.stat().st_mtime
    for unit, factor in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.0f} {unit} old"
    return f"{max(seconds, 0):.0f} seconds old"
