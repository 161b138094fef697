"""What a bug report needs to know: versions, machine, configuration, release, models. Nothing here fails."""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project
from rich.filesize import decimal

import gnet
from gnet.errors import StorageError
from gnet.hooks.configuration import data_root, written_parameters
from gnet.hooks.journal import commit
from gnet.hooks.runs import at_work
from gnet.hooks.stored import place
from gnet.settings import Catalog
from gnet.storage.atomic import existing_level

PACKAGES = (
    "torch", "numpy", "scipy", "pandas", "h5py", "pyarrow", "nibabel", "pillow", "matplotlib", "kedro",
    "kedro-datasets", "kedro-viz", "pydantic", "omegaconf", "click", "rich",
)  # fmt: skip
VARIABLES = (
    "NSD_ROOT", "GNET_DATA", "KEDRO_ENV", "GNET_TRACEBACK", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
    "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
)  # fmt: skip


def report(env: str | None = None) -> str:
    """Everything about the project around the current folder, as Markdown; your home folder is `~`."""
    lines = ["```text", f"gnet doctor, {time.strftime('%Y-%m-%d %H:%M %Z')}"]
    for label, find in (*_system(), *_project(env)):
        lines += ["", label] if find is None else [f"  {label:<22} {_told(find)}"]
    text = "\n".join([*lines, "```"])
    return re.sub(rf"(?<![\w/]){re.escape(str(Path.home()))}(?![\w-])", "~", text)


def context_of(env: str | None) -> KedroContext:
    """The configuration of the project around the current folder; StorageError if there is none."""
    root = find_kedro_project(Path.cwd())
    if root is None:
        raise StorageError(f"{Path.cwd()} is in no Kedro project; call from the folder of yours")
    bootstrap_project(root)
    return KedroSession.create(root, env=env).load_context()


def _told(find: Callable[[], Any]) -> str:
    """What a function finds; if it fails, the first sentence of why."""
    try:
        return str(find() or "not there").strip()
    except Exception as error:
        cause = error.__cause__ or error  # Kedro's own message begins with the dataset, at length
        sentence = (str(cause).strip() or type(cause).__name__).splitlines()[0].split(". ")[0]
        return f"not there ({sentence.rstrip('.')})"


def _system() -> Iterator[tuple[str, Any]]:
    """Titles of sections, with None, and labels with what finds their values: versions and machine."""
    torch, device = partial(import_module, "torch"), partial(import_module, "gnet.models.device")
    yield "versions", None
    yield "gnet", lambda: gnet.__version__
    yield "commit", commit
    yield "python", lambda: f"{platform.python_version()} ({platform.python_implementation()})"
    yield from ((name, partial(metadata.version, name)) for name in PACKAGES)
    yield "machine", None
    yield "platform", platform.platform
    yield "cores", os.cpu_count
    yield "memory", lambda: decimal(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    yield "free memory", lambda: decimal(device().free_memory(torch().device("cpu")))
    yield "CUDA", lambda: torch().cuda.is_available() and f"{torch().version.cuda}: {_cards(torch().cuda)}"
    yield "MPS", lambda: torch().backends.mps.is_available() and "there"
    yield "torch's threads", lambda: torch().get_num_threads()
    yield "fast CPU pass", lambda: import_module("gnet.models.nonlinearity").load()[1]


def _project(env: str | None) -> Iterator[tuple[str, Any]]:
    """The same of configuration, data and models."""
    context = cache(partial(context_of, env))
    catalog = cache(lambda: Catalog.from_config(context().config_loader["catalog"]))
    yield "configuration", None
    yield "project", lambda: context().project_path
    yield "environment", lambda: context().env or "base"
    yield from ((name, lambda name=name: os.environ.get(name) or "not set") for name in VARIABLES)
    for name in ("protocol", "device"):
        yield name, lambda name=name: written_parameters(context())["fitting"][name]
    yield "areas", lambda: ", ".join(written_parameters(context())["areas"])
    yield "data", None
    yield "folder", lambda: _disk(data_root(context()))
    run = "process {0.process} since {0.started}: {0.command}"
    yield "runs at work", lambda: "; ".join(map(run.format, at_work(data_root(context())))) or "none"
    yield "release", lambda: _release(catalog().get("recording").load())
    yield "inventory", lambda: _inventory(catalog().get("inventory"))
    yield "models", None
    try:
        models, areas = place(catalog().get("gnet8j")).parent, written_parameters(context())["areas"]
    except Exception:
        yield "models", catalog  # which says why not
        return
    names = ["gnet8j", *(f"{area}.{kind}" for kind in ("gnet8r", "transfer") for area in areas)]
    for name in dict.fromkeys([*names, *sorted(path.stem for path in models.glob("*.h5"))]):
        yield name, partial(_model, models / f"{name}.h5")
    for state in sorted(models.glob("unfinished/*.pt")):
        yield "unfinished", lambda state=state: f"{state.stem}, {_size_and_age(state)}"


def _cards(cuda: Any) -> str:
    cards = map(cuda.get_device_properties, range(cuda.device_count()))
    return ", ".join(f"{card.name} ({decimal(card.total_memory)})" for card in cards)


def _disk(folder: Path) -> str:
    there = existing_level(folder)
    usage = shutil.disk_usage(there)
    state = "" if there == folder else " (not there yet)"
    writable = "" if os.access(there, os.W_OK) else ", cannot be written to"
    return f"{folder}{state}: {decimal(usage.free)} free of {decimal(usage.total)}{writable}"


def _release(reader: Any) -> str:
    return f"{'simulated' if reader.simulated else 'downloaded'}, {reader.layout.root}"


def _inventory(dataset: Any) -> str:
    if not place(dataset).exists():
        return ""
    problems = dataset.load()["problem"] != ""
    return f"{len(problems)} files, {problems.sum()} with a problem, {_size_and_age(place(dataset))}"


def _model(path: Path) -> str:
    if not (saved := sorted(path.glob(f"*/{path.name}"))):
        return ""
    count = "1 version" if len(saved) == 1 else f"{len(saved)} versions, newest"
    with import_module("h5py").File(saved[-1]) as file:
        return f"{count} {saved[-1].parent.name}, {file.attrs['format']}, {_size_and_age(saved[-1])}"


def _size_and_age(path: Path) -> str:
    hours = (time.time() - path.stat().st_mtime) / 3600
    age = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.1f} hours"
    return f"{decimal(path.stat().st_size)}, {age} old"
