"""Runs at the same time on the same data: each says what it reads and makes, and none touches another's.

A run's announcement is a file in the data folder, locked for as long as its process lives: the kernel
releases the lock however the process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import logging
import os
import shlex
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from gnet.errors import BusyError, StorageError
from gnet.hooks.configuration import data_root
from gnet.hooks.stored import place
from gnet.storage.atomic import PART, storage_error

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

log = logging.getLogger(__name__)

PATTERN = ".run-*.json"
MOUNTS = Path("/proc/self/mounts")
"""Where Linux lists the file systems, with their options."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class OtherRuns:
    """No run touches what another one makes at the same time."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        self.folder = data_root(context)

    @hook_impl(specname="before_pipeline_run")
    def refuse_conflicts(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Before the prerequisites: what another run is making now would look outdated to them."""
        refuse_conflicts(self.folder, announcement(*reads_and_makes(pipeline, catalog)), at_work(self.folder))

    @hook_impl(trylast=True)  # after the prerequisites, whose sessions announce themselves
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Announce this run, unless another one is in its way."""
        self.announced = announce(self.folder, *reads_and_makes(pipeline, catalog))

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        if self.announced is not None:
            self.announced.withdraw()

    @hook_impl
    def on_pipeline_error(self) -> None:
        self.after_pipeline_run()


@dataclass(frozen=True)
class Announcement:
    """What a run reads and makes, by the names of datasets, and whose it is."""

    reads: list[str]
    makes: list[str]
    process: int = 0
    host: str = "?"
    started: str = "?"
    command: str = "?"

    def conflict(self, other: Announcement) -> str:
        """What `other` does that this run cannot bear; "" if they do not meet."""
        made = sorted({*self.reads, *self.makes} & set(other.makes))
        if made:
            return f"makes {', '.join(made)}"
        read = sorted(set(self.makes) & set(other.reads))
        return f"reads {', '.join(read)}, which this run makes" if read else ""


class Announced:
    """The announcement of a run at work, in a locked file. It ends with the run, or with the process."""

    def __init__(self, folder: Path, announcement: Announcement) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if locks_are_local(folder):
            raise OSError(errno.ENOLCK, "locks that other machines do not see")
        self.path = folder / f".run-{uuid.uuid4().hex}.json"
        hidden = folder / f".{self.path.name}.{os.getpid()}.{uuid.uuid4().hex}.part"
        self.file = hidden.open("w")
        try:
            json.dump(asdict(announcement), self.file)
            self.file.flush()
            lock(self.file)
            hidden.rename(self.path)  # which others look for: it is locked before
        except BaseException:
            self.file.close()
            hidden.unlink()
            raise
        atexit.register(self.withdraw)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """In another process there is none: the run is this one's."""
        return type(None), ()

    def withdraw(self) -> None:
        atexit.unregister(self.withdraw)
        self.path.unlink(missing_ok=True)
        self.file.close()


def reads_and_makes(pipeline: Pipeline, catalog: CatalogProtocol) -> tuple[set[str], set[str]]:
    """The stored datasets that a run reads, and those that it makes."""
    stored = {name for name in pipeline.datasets() if place(catalog.get(name))}
    makes = stored & pipeline.all_outputs()
    return stored - makes, makes


def announcement(reads: set[str], makes: set[str]) -> Announcement:
    """What a run of this process, which begins now, has to announce."""
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    return Announcement(
        sorted(reads), sorted(makes), os.getpid(), socket.gethostname(), started, command_line()
    )


def refuse_conflicts(folder: Path, own: Announcement, others: Iterable[Announcement]) -> None:
    """Raise BusyError if another run makes what this one reads or makes, or reads what it makes."""
    for other in others:
        if conflict := own.conflict(other):
            raise BusyError(
                f"{folder}: expected no other run at what this one reads and makes, found one that "
                f"{conflict} (process {other.process} on {other.host}, since {other.started}: "
                f"{other.command}). Wait until it has ended, or stop it. Or keep the two apart: another "
                "folder in GNET_DATA."
            )


def announce(folder: Path, reads: set[str], makes: set[str]) -> Announced | None:
    """Say that a run of this process begins, and see to it that it meets no other.

    What killed runs have left half-written is removed. Where the file system knows no locks, a warning says
    so and None is returned. Raises BusyError if another run makes what this one reads or makes, or reads what
    it makes; StorageError if the folder cannot be written to.
    """
    own = announcement(reads, makes)
    try:
        announced = Announced(folder, own)
    except OSError as error:
        if error.errno in NO_LOCKS:
            log.warning("%s: no locks on this file system. Start no second run on the same data.", folder)
            return None
        raise storage_error(error, folder) or StorageError(
            f"{folder}: expected a folder to store data in, found: {error.strerror or error}. Name "
            "another in the environment variable GNET_DATA."
        ) from error
    others = list(at_work(folder, announced.path))
    try:
        refuse_conflicts(folder, own, others)
    except BusyError:
        announced.withdraw()
        raise
    if not others:
        remove_leftovers(folder)
    return announced


def command_line() -> str:
    """The command that this process was started with."""
    return f"{Path(sys.argv[0]).name} {shlex.join(sys.argv[1:])}"


def at_work(folder: Path, own: Path | None = None) -> Iterator[Announcement]:
    """The announcements of runs that are alive, but for this one; those of dead runs are removed."""
    for path in sorted(folder.glob(PATTERN)):
        if path == own:  # closing it would end this process's lock
            continue
        with contextlib.suppress(FileNotFoundError), path.open() as file:  # it has ended meanwhile
            try:
                lock(file, shared=True)
            except BlockingIOError:
                written = json.load(file)  # by another version of gnet, perhaps with other fields
                known = {field.name for field in fields(Announcement)} & written.keys()
                yield Announcement(**{name: written[name] for name in known})
            else:
                path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the half-written files of processes that were killed (`gnet.storage.atomic`)."""
    for part in list(folder.rglob(".*.part")):
        name = PART.fullmatch(part.name)
        if name and (int(name[2]) == os.getpid() or not alive(int(name[2]))):
            log.info("%s: left half-written by a run that was killed. Removing it.", part)
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink()


def lock(file: IO[str], shared: bool = False) -> None:
    """Lock an open file for this process, and for no process that it starts.

    Raises BlockingIOError if another process has locked it, OSError if the file system knows no locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, "no locks on this system")
    try:
        fcntl.lockf(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except PermissionError as error:  # what some systems say instead
        raise BlockingIOError(error.errno, "locked by another process") from error


def locks_are_local(folder: Path) -> bool:
    """Whether other machines that share the disk see none of this one's locks: Lustre with `localflock`."""
    try:
        mounts = [line.split() for line in MOUNTS.read_text().splitlines()]
    except OSError:  # not on Linux
        return False
    points = {point.replace("\\040", " "): (kind, options) for _, point, kind, options, *_ in mounts}
    levels = (folder.resolve(), *folder.resolve().parents)
    kind, options = next((points[str(level)] for level in levels if str(level) in points), ("", ""))
    return kind == "lustre" and "localflock" in options.split(",")


def alive(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        with contextlib.suppress(PermissionError):  # it is of another user
            os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
