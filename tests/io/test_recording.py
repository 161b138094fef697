"""RecordingDataset: measured data are never overwritten, and a wrong path stops at once."""

import subprocess
import sys

import pytest
from kedro.io.core import DatasetError

from gnet.errors import ReleaseError
from gnet.io.recording import MARKER, RecordingDataset
from gnet.recording.reader import Reader


class SimulatedRelease:
    """The smallest thing that can write itself; optionally fails half way."""

    def __init__(self, error=None):
        self.error = error

    def write(self, root):
        (root / "nsddata").mkdir()
        (root / "nsddata" / "design.mat").write_text("1-based")
        if self.error:
            raise self.error


@pytest.fixture
def dataset(tmp_path):
    return RecordingDataset(filepath=tmp_path / "nsd")


def test_simulated_release_is_written_marked_and_found(dataset, tmp_path, left_over):
    assert not dataset.exists()
    dataset.save(SimulatedRelease())
    assert dataset.exists()
    reader = dataset.load()
    assert isinstance(reader, Reader)
    assert reader.layout.root == tmp_path / "nsd"
    assert reader.simulated
    assert left_over() == ["nsd", f"nsd/{MARKER}", "nsd/nsddata", "nsd/nsddata/design.mat"]


def test_simulated_release_may_be_written_again(dataset, tmp_path):
    dataset.save(SimulatedRelease())
    (tmp_path / "nsd" / "nsddata" / "of the former").touch()
    dataset.save(SimulatedRelease())
    assert not (tmp_path / "nsd" / "nsddata" / "of the former").exists()


def test_empty_folder_may_be_filled(dataset, tmp_path):
    (tmp_path / "nsd").mkdir()
    (tmp_path / "nsd" / ".gitkeep").touch()
    dataset.save(SimulatedRelease())
    assert dataset.exists()


@pytest.mark.parametrize("error", [RuntimeError("disk full"), KeyboardInterrupt()])
def test_failure_half_way_leaves_nothing(dataset, left_over, error):
    with pytest.raises((DatasetError, KeyboardInterrupt)):
        dataset.save(SimulatedRelease(error))
    assert left_over() == []
    assert not dataset.exists()


def test_downloaded_release_is_never_overwritten(dataset, tmp_path, left_over):
    (tmp_path / "nsd" / "nsddata").mkdir(parents=True)
    assert not dataset.exists()  # not ours: a pipeline that simulates will be refused
    with pytest.raises(DatasetError, match="a folder of other files, and nothing was written"):
        dataset.save(SimulatedRelease())
    assert left_over() == ["nsd", "nsd/nsddata"]


def test_file_in_the_way_is_not_overwritten(dataset, tmp_path):
    (tmp_path / "nsd").write_text("a file")
    with pytest.raises(DatasetError, match="nothing was written"):
        dataset.save(SimulatedRelease())
    assert (tmp_path / "nsd").read_text() == "a file"


def test_read_only_release_is_not_written(tmp_path, left_over):
    dataset = RecordingDataset(filepath=tmp_path / "nsd", read_only=True)
    with pytest.raises(DatasetError, match="this release is read-only, nothing was written"):
        dataset.save(SimulatedRelease())
    assert left_over() == []


def test_read_only_release_exists_or_says_what_is_wrong(tmp_path):
    dataset = RecordingDataset(filepath=tmp_path, read_only=True)
    with pytest.raises(ReleaseError, match="expected a folder nsddata in it"):
        dataset._exists()
    with pytest.raises(DatasetError, match="expected a folder nsddata in it"):
        dataset.exists()
    (tmp_path / "nsddata").mkdir()
    assert dataset.exists()


@pytest.mark.parametrize("filepath", ["", None])
def test_unset_path_says_so(filepath):
    dataset = RecordingDataset(filepath=filepath, read_only=True)
    for attempt in (dataset.exists, dataset.load):
        with pytest.raises(DatasetError, match=r"Set the environment variable NSD_ROOT"):
            attempt()
    assert not RecordingDataset(filepath=filepath).exists()


def test_only_releases_are_saved(dataset, left_over):
    with pytest.raises(DatasetError, match="expected a simulated release, found dict"):
        dataset.save({})
    assert left_over() == []


def test_remote_paths_are_refused():
    with pytest.raises(DatasetError, match="expected a folder of this machine, found 's3://nsd'; download"):
        RecordingDataset(filepath="s3://nsd")


def test_unknown_readers_are_refused():
    with pytest.raises(DatasetError, match="expected reader nsd, found 'things'"):
        RecordingDataset(reader="things", filepath="data/things")


def test_readers_are_imported_when_they_are_used():
    command = "import sys, gnet.io.recording; print('gnet.readers.nsd.reader' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
