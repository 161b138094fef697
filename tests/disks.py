"""Real disks for tests: one that is small, one that can only be read, a process that permissions bind.

Each skips the test where this machine does not allow it.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A memory disk of `size` bytes, mounted on the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def resize(folder: Path, size: int) -> None:
    """Give a small disk another size."""
    _mount("-o", f"remount,size={size}", folder)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """The folder, mounted on itself, so that nothing below can be written to."""
    _mount("--bind", folder, folder)
    try:
        _mount("-o", "remount,ro,bind", folder)
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def _mount(*arguments: object) -> None:
    if shutil.which("mount") is None:
        pytest.skip("there is no command mount here")
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this user may not mount disks: {done.stderr.strip()}")


def bound() -> list[str]:
    """What to put before a command for its process to be bound by permissions, as root's is not."""
    if os.geteuid() != 0:
        return []
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None:
        pytest.skip("root ignores permissions, and there is no command setpriv to have it heed them")
    done = subprocess.run([*command, "cat", "/dev/null"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"root ignores permissions, and may not give that up: {done.stderr.strip()}")
    return command
