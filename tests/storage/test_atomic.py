"""Nothing half-written is ever left under a final name."""

import errno
import os

import pytest

from gnet.errors import ReleaseError, StorageError
from gnet.storage.atomic import atomic_folder, atomic_path, storage_error


def fail_half_way(manager, name, error):
    """Write half of a file, or one file of a folder, and raise."""
    with manager as part:
        (part / name if name else part).write_text("half")
        raise error


def everything_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_file_is_under_its_name_only_when_complete(tmp_path):
    target = tmp_path / "model.h5"
    with atomic_path(target) as part:
        part.write_text("half")
        assert not target.exists()
        assert part.parent == tmp_path
        assert part.name.startswith(".model.h5.")
        assert part.name.endswith(".part")
    assert target.read_text() == "half"
    assert everything_below(tmp_path) == ["model.h5"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_failed_file_leaves_no_trace_and_its_predecessor_untouched(tmp_path, error):
    new, old = tmp_path / "deep" / "er" / "new.txt", tmp_path / "old.txt"
    old.write_text("before")
    for target in (new, old):
        with pytest.raises(error):
            fail_half_way(atomic_path(target), None, error)
    assert everything_below(tmp_path) == ["old.txt"]
    assert old.read_text() == "before"


def test_folders_that_were_there_or_are_used_stay(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "there" / "a.txt"):
        raise RuntimeError
    manager = atomic_path(tmp_path / "shared" / "a.txt")
    manager.__enter__()
    (tmp_path / "shared" / "b.txt").write_text("of another process")
    assert not manager.__exit__(RuntimeError, RuntimeError(), None)
    assert everything_below(tmp_path) == ["shared", "shared/b.txt", "there"]


def test_a_folder_in_the_way_is_an_error(tmp_path):
    with pytest.raises(IsADirectoryError, match="expected a file or nothing, found a folder"):
        atomic_path(tmp_path).__enter__()
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="expected a folder or nothing, found a file"):
        atomic_folder(tmp_path / "file").__enter__()


def test_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "masks"
    for content in ("first", "second"):
        with atomic_folder(target) as part:
            (part / "sub").mkdir()
            (part / "sub" / f"{content}.txt").write_text(content)
            assert content == "first" or everything_below(target) == ["sub", "sub/first.txt"]
    assert everything_below(tmp_path) == ["masks", "masks/sub", "masks/sub/second.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failed_folder_leaves_no_trace_and_its_predecessor_untouched(tmp_path, error):
    target = tmp_path / "masks"
    with atomic_folder(target) as part:
        (part / "old.txt").touch()
    for folder in (target, tmp_path / "new" / "masks"):
        with pytest.raises(error):
            fail_half_way(atomic_folder(folder), "half.txt", error)
    assert everything_below(tmp_path) == ["masks", "masks/old.txt"]


def test_failed_rename_brings_the_old_folder_back(tmp_path, monkeypatch):
    target = tmp_path / "masks"
    with atomic_folder(target) as part:
        (part / "old.txt").touch()
    replace = type(target).replace

    def refuse_final_name(self, goal):
        if goal == target and self.name.endswith(".part") and not (self / "old.txt").exists():
            raise OSError("disk gone")
        return replace(self, goal)

    monkeypatch.setattr(type(target), "replace", refuse_final_name)
    with pytest.raises(OSError, match="disk gone"), atomic_folder(target):
        pass
    assert everything_below(tmp_path) == ["masks", "masks/old.txt"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "expected room on the disk, found it full. Delete what is not needed, or use another"),
        (errno.EDQUOT, "expected room on the disk, found your quota used up"),
        (errno.EFBIG, "found a limit on the size of files. Raise it (`ulimit -f`), or use another disk"),
        (errno.EROFS, "expected a disk that can be written to, found a read-only one"),
        (errno.EPERM, "expected permission to read and write there, found none"),
        (errno.EIO, "expected a disk that works, found one that reports an error"),
    ],
)
def test_what_a_disk_refuses_is_said_in_our_words_and_of_the_final_name(tmp_path, number, words):
    def write(name, path):
        with atomic_path(path / name) as part:
            raise OSError(number, os.strerror(number), str(part))

    def write_folder(path):
        with atomic_folder(path) as part:
            write("V1.nii.gz", part)

    for refused, place in (
        (lambda: write("r.csv", tmp_path), tmp_path / "r.csv"),
        (lambda: write_folder(tmp_path / "masks"), tmp_path / "masks" / "V1.nii.gz"),
    ):
        with pytest.raises(StorageError) as raised:
            refused()
        assert str(raised.value).startswith(f"{place}: expected ")
        assert words in str(raised.value)
        assert str(raised.value).endswith("give the same command again: what is finished is kept.")
    assert everything_below(tmp_path) == []


def test_a_disk_is_blamed_also_where_a_library_hides_it(tmp_path):
    def hidden():
        with atomic_path(tmp_path / "fit.pt"):
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError:
                raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904 - as torch does

    with pytest.raises(StorageError, match=r"fit.pt: expected room on the disk, found it full"):
        hidden()


def test_a_disk_is_not_blamed_for_what_the_release_lacks(tmp_path):
    def missing():
        with atomic_path(tmp_path / "betas.h5"):
            try:
                raise PermissionError(errno.EACCES, "Permission denied", "betas_session01.hdf5")
            except OSError as error:
                raise ReleaseError("betas_session01.hdf5: no permission to read it") from error

    with pytest.raises(ReleaseError, match="no permission to read it"):
        missing()


def test_an_error_that_causes_itself_ends_the_search():
    error = OSError(errno.EMFILE, "Too many open files")
    error.__cause__ = error
    assert storage_error(error) is None
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    assert storage_error(first) is None
