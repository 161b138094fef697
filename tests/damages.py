"""Ways to damage a release, each drawn by hypothesis: what a disk, a download or a hasty script may do to it.

A damage changes files of a `Scene` and says what may be made of it: which files an error must name, one of
them at least, and, if it cannot be known, which of the reasons in docs/data.md it is.
"""

import gzip
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pandas as pd
import scipy.io
from hypothesis import strategies as st

from gnet.readers.nsd.layout import Layout

UNKNOWABLE = {
    "no checksum": "Flipped bits in HDF5 files",
    "valid value": "A value replaced by another plausible one",
    "exchanged": "Something in the place of its like",
    "followed": "Names in a ctab",
}
"""Why some damages cannot be known: the words of docs/data.md that begin each reason."""

SESSIONS = {"subj01": 3, "subj02": 2}
FAMILIES = ("prf-visualrois", "Kastner2015", "nsdgeneral")
DAMAGES: list[Callable[["Scene"], None]] = []

ANOTHER_BYTE = st.integers(1, 255)
SESSION = st.sampled_from([(subject, n) for subject, count in SESSIONS.items() for n in range(1, count + 1)])
SUBJECT = st.sampled_from(sorted(SESSIONS))
HOSTILE = st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 0.5, 1e30, 300.0])


def damage(function: Callable[["Scene"], None]) -> Callable[["Scene"], None]:
    """Add a function to the ways of damaging a release."""
    DAMAGES.append(function)
    return function


@dataclass
class Scene:
    """A release in a folder of its own, and what has been done to it."""

    layout: Layout
    draw: Callable[[st.SearchStrategy], Any]
    file_format: str
    touched: set[str] = field(default_factory=set)
    unknowable: str | None = None

    def choose(self, values: Iterable[Any]) -> Any:
        return self.draw(st.sampled_from(list(values)))

    def index(self, length: int) -> int:
        return self.draw(st.integers(0, length - 1))

    def files(self) -> list[Path]:
        """Every file that a run needs or compares with, in a fixed order."""
        layout = self.layout
        files = [layout.design, layout.stimuli, layout.stimulus_table]
        for subject, count in SESSIONS.items():
            for session in range(1, count + 1):
                files += [
                    layout.betas(subject, session, self.file_format),
                    layout.valid_session(subject, session),
                ]
            files += [layout.ncsnr(subject), layout.brainmask(subject), layout.aseg(subject)]
            for family in FAMILIES:
                files += [layout.roi(subject, family), layout.ctab(subject, family)]
        return [path for path in files if path.exists()]

    def file(self) -> Path:
        """Any of these, the big ones as likely as all others together."""
        files = self.files()
        big = [path for path in files if "betas" in path.name or path.suffix in {".hdf5", ".mat", ".csv"}]
        return self.choose(big if self.draw(st.booleans()) else [path for path in files if path not in big])

    def volume(self) -> Path:
        return self.choose(
            path for path in self.files() if path.name.endswith(".nii.gz") and "betas" not in path.name
        )

    def touch(self, *paths: Path) -> None:
        self.touched |= {path.name for path in paths}

    def write(self, path: Path, content: bytes) -> None:
        self.touch(path)
        path.write_bytes(content)

    def write_altered(self, path: Path, content: bytes) -> None:
        """Bytes that are not what a library wrote: formats without checksums may not know."""
        self.write(path, content)
        if path.suffix == ".hdf5":
            self.unknowable = "no checksum"
        elif path.suffix == ".ctab":
            self.unknowable = "followed"

    def rewrite_volume(self, path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self.touch(path)
        image = nibabel.load(path)
        data = change(np.asanyarray(image.dataobj).copy())
        made = nibabel.Nifti1Image(data, image.affine, dtype=data.dtype)
        nibabel.save(made, path)

    def betas(self, subject: str, session: int) -> Path:
        return self.layout.betas(subject, session, self.file_format)

    def read_betas(self, subject: str, session: int) -> np.ndarray:
        """One session (trial, x, y, z)."""
        path = self.betas(subject, session)
        if self.file_format == "nifti":
            return np.moveaxis(np.asanyarray(nibabel.load(path).dataobj).copy(), -1, 0)
        with h5py.File(path) as file:
            return file["betas"][()].transpose(0, 3, 2, 1)

    def write_betas(self, subject: str, session: int, betas: np.ndarray, **storage: Any) -> None:
        path = self.betas(subject, session)
        self.touch(path)
        if self.file_format == "nifti":
            affine = nibabel.load(path).affine
            data = np.moveaxis(betas, 0, -1)
            nibabel.save(nibabel.Nifti1Image(data, affine, dtype=data.dtype), path)
            return
        stored = betas.transpose(0, 3, 2, 1) if betas.ndim == 4 else betas
        if not storage and stored.size:
            storage = {"chunks": (len(stored), *[1] * (stored.ndim - 1))}
        with h5py.File(path, "w") as file:
            file.create_dataset("betas", data=stored, **storage)

    def rewrite_betas(self, change: Callable[[np.ndarray], np.ndarray], **storage: Any) -> None:
        """Change any session."""
        subject, session = self.draw(SESSION)
        self.write_betas(subject, session, change(self.read_betas(subject, session)), **storage)

    def rewrite_design(self, change: Callable[[dict], object], **options: Any) -> None:
        path = self.layout.design
        self.touch(path)
        content = {name: value for name, value in scipy.io.loadmat(path).items() if name[0] != "_"}
        change(content)
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, content, **options)
        path.write_bytes(buffer.getvalue())

    def rewrite_stimuli(self, change: Callable[[np.ndarray], np.ndarray], name: str = "imgBrick") -> None:
        path = self.layout.stimuli
        self.touch(path)
        with h5py.File(path) as file:
            images = change(file["imgBrick"][()])
        with h5py.File(path, "w") as file:
            file.create_dataset(name, data=images)

    def rewrite_table(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        path = self.layout.stimulus_table
        self.touch(path)
        change(pd.read_csv(path, index_col=0)).to_csv(path)


# ---------------------------------------------------------------------------------------------- any file


@damage
def remove(scene: Scene) -> None:
    path = scene.file()
    scene.touch(path)
    path.unlink()


@damage
def empty(scene: Scene) -> None:
    scene.write(scene.file(), b"")


@damage
def truncate(scene: Scene) -> None:
    path = scene.file()
    content = path.read_bytes()
    scene.write(path, content[: scene.index(len(content))])


@damage
def truncate_by_little(scene: Scene) -> None:
    path = scene.file()
    content = path.read_bytes()
    scene.write(path, content[: -scene.draw(st.integers(1, min(16, len(content) - 1)))])


@damage
def flip_bytes(scene: Scene) -> None:
    path = scene.file()
    content = bytearray(path.read_bytes())
    for _ in range(scene.draw(st.integers(1, 3))):
        content[scene.index(len(content))] ^= scene.draw(ANOTHER_BYTE)
    scene.write_altered(path, content)


@damage
def flip_a_byte_of_a_header(scene: Scene) -> None:
    """The first kilobyte is where formats keep what the rest means."""
    path = scene.file()
    content = bytearray(path.read_bytes())
    content[scene.index(min(1024, len(content)))] ^= scene.draw(ANOTHER_BYTE)
    scene.write_altered(path, content)


@damage
def flip_inside_a_compressed_header(scene: Scene) -> None:
    """A NIfTI header that is another one, in a sound gzip file."""
    path = scene.choose(path for path in scene.files() if path.name.endswith(".nii.gz"))
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[scene.index(352)] ^= scene.draw(ANOTHER_BYTE)
    scene.write(path, gzip.compress(content, 1, mtime=0))
    scene.unknowable = "valid value"


@damage
def zero_a_stretch(scene: Scene) -> None:
    """What a file system or a download manager leaves that had set the size before the content came."""
    path = scene.file()
    content = bytearray(path.read_bytes())
    start = scene.index(len(content))
    end = scene.choose([len(content), min(len(content), start + 64), min(len(content), start + 2048)])
    content[start:end] = bytes(end - start)
    scene.write_altered(path, content)


@damage
def drop_or_repeat_a_stretch(scene: Scene) -> None:
    path = scene.file()
    content = path.read_bytes()
    start, length = scene.index(len(content)), scene.draw(st.integers(1, 64))
    if scene.draw(st.booleans()):
        content = content[:start] + content[start + length :]
    else:
        content = content[: start + length] + content[start:]
    scene.write_altered(path, content)


@damage
def append(scene: Scene) -> None:
    path = scene.file()
    more = scene.choose([b"\0", b"\0" * 512, b"more", path.read_bytes()])
    scene.write(path, path.read_bytes() + more)


@damage
def replace_by_noise(scene: Scene) -> None:
    path = scene.file()
    size = path.stat().st_size
    scene.write(path, np.random.default_rng(scene.draw(st.integers(0, 99))).bytes(size))


@damage
def replace_by_an_error_page(scene: Scene) -> None:
    """What a download that was refused leaves under the file's name."""
    page = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>\n'
    scene.write(
        scene.file(), scene.choose([page, gzip.compress(page), b"Not Found\n", b"<!DOCTYPE html>\n<html>\n"])
    )


@damage
def replace_by_a_folder(scene: Scene) -> None:
    path = scene.file()
    scene.touch(path)
    path.unlink()
    path.mkdir()


@damage
def replace_by_a_broken_link(scene: Scene) -> None:
    path = scene.file()
    scene.touch(path)
    path.unlink()
    path.symlink_to(path.with_name("elsewhere"))


@damage
def copy_over(scene: Scene) -> None:
    """One file of the release under the name of another."""
    path, other = scene.file(), scene.file()
    scene.write(path, other.read_bytes())
    if path.suffix == other.suffix == ".ctab":
        scene.unknowable = "followed"


@damage
def copy_over_a_like(scene: Scene) -> None:
    """A file under the name of one of the same kind: another session, subject or family."""
    kind = scene.choose([".gz", ".gz", ".hdf5", ".ctab"])
    alike = [path for path in scene.files() if path.suffix == kind]
    scene.write(scene.choose(alike), scene.choose(alike).read_bytes())
    if kind == ".ctab":
        scene.unknowable = "followed"


@damage
def compress_or_decompress(scene: Scene) -> None:
    """A file whose name no longer says how it is packed."""
    path = scene.file()
    content = path.read_bytes()
    scene.write(path, gzip.decompress(content) if path.suffix == ".gz" else gzip.compress(content))


@damage
def exchange(scene: Scene) -> None:
    """Two files of one kind under each other's name."""
    kind = scene.choose(["betas_session", "valid_session", "ncsnr", "aseg", "brainmask", "roi/", "ctab"])
    alike = [path for path in scene.files() if kind in path.as_posix()]
    first, second = scene.choose(alike), scene.choose(alike)
    scene.touch(first, second)
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    if kind == "ctab":
        scene.unknowable = "followed"


@damage
def exchange_subjects(scene: Scene) -> None:
    """The folders of two subjects under each other's name."""
    root = scene.layout.root
    part = scene.choose(["nsddata/ppdata", "nsddata_betas/ppdata", "nsddata/freesurfer"])
    one, other, aside = (root / part / name for name in ("subj01", "subj02", "aside"))
    scene.touched |= {path.name for path in (*one.rglob("*"), *other.rglob("*"))}
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


# ---------------------------------------------------------------------------------------------- volumes


@damage
def volume_of_another_shape(scene: Scene) -> None:
    path = scene.volume()
    changes = [
        lambda data: data[1:],
        lambda data: data[:, :, :-1],
        lambda data: np.pad(data, 1),
        lambda data: data.transpose(2, 1, 0),
        lambda data: data[..., None],
        lambda data: np.stack([data, data], axis=-1),
        lambda data: data[0],
        lambda data: data.ravel(),
        lambda data: data[:0],
        lambda data: data.reshape(-1, data.shape[1], 1),
    ]
    scene.rewrite_volume(path, scene.choose(changes))


@damage
def volume_of_another_type(scene: Scene) -> None:
    path = scene.volume()
    kind = scene.choose(["u1", "i1", "u2", "i2", "i4", "f4", "f8", "c8", "c16", "rgb", ">i2", ">f4"])
    if kind == "rgb":
        rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
        scene.rewrite_volume(path, lambda data: np.zeros(data.shape, rgb))
        return
    with np.errstate(all="ignore"):
        scene.rewrite_volume(path, lambda data: np.nan_to_num(data, nan=-1).astype(kind))
    scene.unknowable = "valid value"


@damage
def volume_of_scaled_numbers(scene: Scene) -> None:
    path = scene.volume()
    scene.touch(path)
    image = nibabel.load(path)
    data = np.asanyarray(image.dataobj).copy()
    made = nibabel.Nifti1Image(data, image.affine, dtype=data.dtype)
    content = bytearray(made.to_bytes())
    slope, intercept = scene.choose([2.0, -1.0, 0.5, np.inf, 1.0]), scene.choose([0.0, 1.0, -1.0, np.inf])
    content[112:120] = np.array([slope, intercept], "f4").tobytes()
    path.write_bytes(gzip.compress(content, 1))


@damage
def volume_in_another_place(scene: Scene) -> None:
    """Another affine: mirrored, shifted, of another voxel size, or none that is one."""
    path = scene.choose(path for path in scene.files() if path.name.endswith(".nii.gz"))
    affine = nibabel.load(path).affine.copy()
    way = scene.choose(["mirror", "shift", "size", "turn", "nan", "zero"])
    if way == "mirror":
        axis = scene.index(3)
        affine[axis] *= -1
    elif way == "shift":
        affine[scene.index(3), 3] += scene.choose([1.8, -3.6, 100])
    elif way == "size":
        affine[:3] *= scene.choose([0.5, 1 / 1.8, 10])
    elif way == "turn":
        affine[:3] = affine[[1, 0, 2]]
    elif way == "nan":
        affine[0, 0] = np.nan
    else:
        affine[:3, :3] = 0
    scene.touch(path)
    image = nibabel.load(path)
    data = np.asanyarray(image.dataobj).copy()
    header = nibabel.Nifti1Image(data, np.eye(4), dtype=data.dtype)
    content = bytearray(header.to_bytes())
    content[252:256] = np.array([0, 2], "i2").tobytes()  # qform_code, sform_code
    content[280:328] = affine[:3].astype("f4").tobytes()
    path.write_bytes(gzip.compress(content, 1))


@damage
def volume_with_a_hostile_number(scene: Scene) -> None:
    """One voxel, or all of them, NaN, infinite, negative, fractional, huge."""
    path, number = scene.volume(), scene.draw(HOSTILE)
    everywhere = scene.draw(st.booleans())
    voxel = scene.draw(st.integers(0, 10**6))

    def change(data: np.ndarray) -> np.ndarray:
        data = data.astype(np.float32)
        data.flat[slice(None) if everywhere else voxel % data.size] = number
        return data

    scene.rewrite_volume(path, change)
    scene.unknowable = "valid value"


@damage
def volume_with_another_number(scene: Scene) -> None:
    """One voxel has a number that another voxel has."""
    path = scene.volume()
    one, other = scene.draw(st.integers(0, 10**6)), scene.draw(st.integers(0, 10**6))

    def change(data: np.ndarray) -> np.ndarray:
        data.flat[one % data.size] = data.flat[other % data.size]
        return data

    scene.rewrite_volume(path, change)
    scene.unknowable = "valid value"


@damage
def volume_of_one_number(scene: Scene) -> None:
    path, number = scene.volume(), scene.choose([-1, 0, 1, 2])
    scene.rewrite_volume(path, lambda data: np.full(data.shape, number, np.int16))


@damage
def volume_off_by_one(scene: Scene) -> None:
    path, step = scene.volume(), scene.choose([1, -1])
    scene.rewrite_volume(path, lambda data: (data.astype(float) + step).astype(data.dtype))
    scene.unknowable = "valid value"


@damage
def volume_mirrored_or_shifted(scene: Scene) -> None:
    """The numbers have moved, the affine has not."""
    path, axis, step = scene.volume(), scene.index(3), scene.choose([0, 1, -1, 2])
    scene.rewrite_volume(path, lambda data: np.roll(data, step, axis) if step else np.flip(data, axis))
    scene.unknowable = "exchanged"


@damage
def labels_renumbered(scene: Scene) -> None:
    path = scene.choose(path for path in scene.files() if path.parent.name == "roi")
    one, other = scene.choose(range(-1, 9)), scene.choose(range(-2, 27))
    both = scene.draw(st.booleans())

    def change(data: np.ndarray) -> np.ndarray:
        changed = np.where(data == one, other, data)
        return (np.where(data == other, one, changed) if both else changed).astype(data.dtype)

    scene.rewrite_volume(path, change)
    scene.unknowable = "valid value"


@damage
def label_names(scene: Scene) -> None:
    """Label names exchanged, renamed, dropped, repeated, renumbered."""
    path = scene.choose(path for path in scene.files() if path.suffix == ".ctab")
    lines = path.read_text().splitlines()
    one, other = scene.index(len(lines)), scene.index(len(lines))
    value, name = lines[one].split()
    way = scene.choose(
        ["exchange", "rename", "drop", "repeat", "renumber", "shift", "number", "columns", "case", "bytes"]
    )
    if way == "exchange":
        lines[one], lines[other] = f"{value} {lines[other].split()[1]}", f"{lines[other].split()[0]} {name}"
    elif way == "rename":
        lines[one] = f"{value} {scene.choose(['V9', 'V1', 'Unknown', 'v1v', 'ä'])}"
    elif way == "drop":
        del lines[one]
    elif way == "repeat":
        lines.append(f"{value} {lines[other].split()[1]}")
    elif way == "renumber":
        lines[one] = f"{scene.choose(['-1', '99', '1', '1.0', '9' * 5000, '-', '²'])} {name}"
    elif way == "shift":
        step = scene.choose([1, -1])
        lines = [f"{int(line.split()[0]) + step} {line.split()[1]}" for line in lines]
    elif way == "number":
        lines[one] = value
    elif way == "columns":
        lines = [" ".join(reversed(line.split())) for line in lines]
    elif way == "case":
        lines = [line.lower() for line in lines]
    content = "\n".join(lines).encode()
    scene.write(path, content.replace(b"\n", b"\xff\n") if way == "bytes" else content + b"\n")
    scene.unknowable = "followed"


# ---------------------------------------------------------------------------------------------- betas


@damage
def session_of_another_shape(scene: Scene) -> None:
    changes = [
        lambda betas: betas[:-1],
        lambda betas: betas[1:],
        lambda betas: np.concatenate([betas, betas[:1]]),
        lambda betas: betas[:, 1:],
        lambda betas: betas.transpose(0, 3, 2, 1),
        lambda betas: betas.transpose(1, 2, 3, 0),
        lambda betas: betas[0],
        lambda betas: betas[None],
        lambda betas: betas[:0],
        lambda betas: betas.reshape(len(betas), -1),
        lambda betas: np.pad(betas, ((0, 0), (0, 0), (0, 0), (0, 1))),
    ]
    scene.rewrite_betas(scene.choose(changes))


@damage
def session_of_another_type(scene: Scene) -> None:
    kind = scene.choose(["i1", "u1", "u2", "i4", "f4", "f8", ">i2", "c8", "<i8"])
    if scene.file_format == "nifti" and kind == "<i8":
        kind = "i4"
    scene.rewrite_betas(lambda betas: betas.astype(kind))


@damage
def session_in_percent(scene: Scene) -> None:
    """Whole numbers of percent where 300ths are expected, or NaN and infinities in floats."""
    number = scene.choose([None, np.nan, np.inf])

    def change(betas: np.ndarray) -> np.ndarray:
        if number is None:
            return (betas / 300).astype(np.int16)
        betas = betas.astype(np.float32)
        betas[0] = number
        return betas

    scene.rewrite_betas(change)
    scene.unknowable = "valid value"


@damage
def trials_lost(scene: Scene) -> None:
    """Trials without numbers: what a session has after its writer was interrupted."""
    first, last = sorted([scene.index(24), scene.index(24)])
    number = scene.choose([0, 0, -1, 1000])

    def change(betas: np.ndarray) -> np.ndarray:
        betas[first : last + 1] = number
        return betas

    scene.rewrite_betas(change)


@damage
def slices_lost(scene: Scene) -> None:
    """Slices without numbers."""
    axis = scene.draw(st.integers(1, 3))
    first = scene.index(5)

    def change(betas: np.ndarray) -> np.ndarray:
        np.moveaxis(betas, axis, 0)[first:] = 0
        return betas

    scene.rewrite_betas(change)
    scene.unknowable = "valid value"


@damage
def trials_in_another_order(scene: Scene) -> None:
    seed = scene.draw(st.integers(0, 99))
    changes = [
        lambda betas: np.roll(betas, 1, axis=0),
        lambda betas: np.roll(betas, -1, axis=0),
        lambda betas: betas[::-1],
        lambda betas: np.random.default_rng(seed).permutation(betas),
    ]
    scene.rewrite_betas(scene.choose(changes))


@damage
def trials_exchanged(scene: Scene) -> None:
    one, other = scene.index(24), scene.index(24)

    def change(betas: np.ndarray) -> np.ndarray:
        betas[[one, other]] = betas[[other, one]]
        return betas

    scene.rewrite_betas(change)
    scene.unknowable = "exchanged"


@damage
def trial_repeated(scene: Scene) -> None:
    """A trial's numbers where another's should be, of the same session or of another."""
    one, other = scene.index(24), scene.index(24)
    subject, session = scene.draw(SESSION)
    source = scene.draw(st.integers(1, SESSIONS[subject]))
    betas = scene.read_betas(subject, session)
    betas[one] = scene.read_betas(subject, source)[other]
    scene.write_betas(subject, session, betas)


@damage
def session_repeated(scene: Scene) -> None:
    """One session's numbers in the file of another, stored anew or copied byte by byte."""
    subject = scene.draw(SUBJECT)
    one, other = scene.draw(st.permutations(range(1, SESSIONS[subject] + 1)))[:2]
    if scene.draw(st.booleans()):
        scene.write(scene.betas(subject, one), scene.betas(subject, other).read_bytes())
    else:
        scene.write_betas(subject, one, scene.read_betas(subject, other))
    scene.touch(scene.betas(subject, other))


@damage
def sessions_exchanged(scene: Scene) -> None:
    subject = scene.draw(SUBJECT)
    order = scene.draw(st.permutations(range(1, SESSIONS[subject] + 1)))
    contents = [scene.betas(subject, session).read_bytes() for session in order]
    for session, content in enumerate(contents, start=1):
        if order[session - 1] != session:
            scene.write(scene.betas(subject, session), content)


@damage
def session_of_other_bytes(scene: Scene) -> None:
    """Numbers whose bytes were exchanged, or that were negated, or drawn at random."""
    seed = scene.draw(st.integers(0, 99))
    changes = [
        lambda betas: betas.byteswap(),
        lambda betas: -betas,
        lambda betas: ~betas,
        lambda betas: np.random.default_rng(seed).integers(-900, 900, betas.shape, np.int16),
    ]
    scene.rewrite_betas(scene.choose(changes))


@damage
def session_shifted_in_space(scene: Scene) -> None:
    axis, step = scene.draw(st.integers(1, 3)), scene.choose([0, 1, -1])
    scene.rewrite_betas(lambda betas: np.roll(betas, step, axis) if step else np.flip(betas, axis))
    scene.unknowable = "exchanged"


@damage
def one_beta(scene: Scene) -> None:
    place, number = scene.draw(st.integers(0, 10**6)), scene.choose([0, -32768, 32767, 7])

    def change(betas: np.ndarray) -> np.ndarray:
        betas.flat[place % betas.size] = number
        return betas

    scene.rewrite_betas(change)
    scene.unknowable = "valid value"


@damage
def session_scaled(scene: Scene) -> None:
    """Betas of another unit: z-scores hardly notice, but for rounding and saturation, which is legitimate."""
    factor = scene.choose([2, 0.5, 100])
    limits = np.iinfo(np.int16)
    scene.rewrite_betas(lambda betas: np.clip(betas * factor, limits.min, limits.max).astype(np.int16))
    scene.unknowable = "valid value"


@damage
def session_stored_otherwise(scene: Scene) -> None:
    """Other chunks, compression and byte order of the same numbers mean the same."""
    if scene.file_format == "nifti":
        subject, session = scene.draw(SESSION)
        scene.write_betas(subject, session, scene.read_betas(subject, session).astype(">i2"))
        return
    subject, session = scene.draw(SESSION)
    ways = [
        {"chunks": None},
        {"chunks": (3, 2, 2, 2)},
        {"compression": "gzip"},
        {"compression": "lzf", "shuffle": True},
        {"fletcher32": True},
    ]
    scene.write_betas(subject, session, scene.read_betas(subject, session), **scene.choose(ways))


def _foreign_hdf5(file: h5py.File, name: str, way: str) -> None:
    if way == "renamed":
        file.create_dataset("data", data=np.zeros((3, 3), np.int16))
    elif way == "group":
        file.create_group(name)
    elif way == "scalar":
        file[name] = np.int16(3)
    elif way == "null":
        file[name] = h5py.Empty("i2")
    elif way == "text":
        file[name] = "betas"
    elif way == "texts":
        file[name] = np.array(["a", "b"], dtype=h5py.string_dtype())
    elif way == "compound":
        file[name] = np.zeros((2, 2, 2, 3), [("re", "i2"), ("im", "i2")])
    elif way == "ragged":
        file.create_dataset(name, (2, 2, 2, 3), h5py.vlen_dtype(np.int16))
    elif way == "enum":
        file.create_dataset(name, (2, 2, 2, 3), h5py.enum_dtype({"a": 0}, basetype="i2"))
    elif way == "bool":
        file[name] = np.zeros((2, 2, 2, 3), bool)
    elif way == "soft":
        file[name] = h5py.SoftLink("/nowhere")
    elif way == "external":
        file[name] = h5py.ExternalLink("nowhere.hdf5", "/betas")
    elif way == "self":
        file[name] = h5py.SoftLink(f"/{name}")
    elif way == "type":
        file[name] = np.dtype("i2")
    elif way == "reference":
        file.create_dataset(name, (2, 2, 2, 3), h5py.ref_dtype)


FOREIGN = [
    "renamed", "group", "scalar", "null", "text", "texts", "compound", "ragged", "enum", "bool", "soft",
    "external", "self", "type", "reference", "nothing",
]  # fmt: skip


@damage
def foreign_hdf5(scene: Scene) -> None:
    """An HDF5 file that holds something else under the dataset's name."""
    path = scene.choose(path for path in scene.files() if path.suffix == ".hdf5")
    scene.touch(path)
    with h5py.File(path, "w") as file:
        _foreign_hdf5(file, "imgBrick" if path == scene.layout.stimuli else "betas", scene.choose(FOREIGN))


@damage
def unwritten_hdf5(scene: Scene) -> None:
    """A dataset whose writer created it and stopped, in the middle or at once."""
    path = scene.choose(path for path in scene.files() if path.suffix == ".hdf5")
    scene.touch(path)
    name = "imgBrick" if path == scene.layout.stimuli else "betas"
    with h5py.File(path) as file:
        data = file[name][()]
    written = scene.draw(st.integers(0, len(data) - 1))
    with h5py.File(path, "w") as file:
        chunks = scene.choose([None, True, (1, *data.shape[1:]), (len(data), 1, 1, 1)])
        stored = file.create_dataset(name, data.shape, data.dtype, chunks=chunks)
        stored[:written] = data[:written]


# ---------------------------------------------------------------------------------------------- design

FIELDS = ("masterordering", "subjectim", "sharedix", "basiccnt")


@damage
def design_without_a_field(scene: Scene) -> None:
    name = scene.choose(FIELDS)
    way = scene.choose(["drop", "rename", "empty", "case"])

    def change(content: dict) -> None:
        value = content.pop(name)
        if way == "rename":
            content["other"] = value
        elif way == "empty":
            content[name] = np.zeros((0, 0))
        elif way == "case":
            content[name.upper()] = value

    scene.rewrite_design(change)


@damage
def design_of_another_type(scene: Scene) -> None:
    name = scene.choose(FIELDS)
    changes = [
        lambda value: value.astype(np.complex128),
        lambda value: value > 3,
        lambda value: {"values": value},
        lambda value: np.array([[value]], dtype=object),
        lambda value: "text",
        lambda value: scipy.sparse.csc_array(value),
        lambda value: value[..., None].repeat(2, axis=-1),
        lambda value: value.astype(np.int32),
        lambda value: value.astype(np.uint16),
        lambda value: value.astype(np.uint8),
        lambda value: np.array(value.ravel()[0]),
        lambda value: np.array([str(number) for number in value.ravel()]),
        lambda value: value + 1e-9,
        lambda value: value.astype(np.int64),
    ]
    change = scene.choose(changes)
    scene.rewrite_design(lambda content: content.__setitem__(name, change(content[name])))


@damage
def design_of_another_shape(scene: Scene) -> None:
    name = scene.choose(FIELDS)
    changes = [
        lambda value: value.T,
        lambda value: value[:, :-1],
        lambda value: value[:, 1:],
        lambda value: value[:1],
        lambda value: value[1:],
        lambda value: np.concatenate([value, value], axis=1),
        lambda value: np.concatenate([value, value[:, :1]], axis=1),
        lambda value: np.concatenate([value, value[:1]]),
        lambda value: value.ravel(),
        lambda value: value.reshape(1, -1),
        lambda value: value.reshape(-1, 2) if value.size % 2 == 0 else value,
        lambda value: value[:, :, None],
        lambda value: value[:, : value.shape[1] // 2],
        lambda value: value[:, :1],
    ]
    change = scene.choose(changes)
    scene.rewrite_design(lambda content: content.__setitem__(name, change(content[name])))


@damage
def design_off_by_one(scene: Scene) -> None:
    name, step = scene.choose(FIELDS), scene.choose([1, -1])
    scene.rewrite_design(lambda content: content.__setitem__(name, content[name] + step))


@damage
def design_with_another_index(scene: Scene) -> None:
    """One index is another: of the file itself, off by one, out of range, no number."""
    name = scene.choose(FIELDS)
    one, other = scene.draw(st.integers(0, 10**6)), scene.draw(st.integers(0, 10**6))
    number = scene.choose([None, None, 1, -1, 0.5, np.nan, np.inf, -np.inf, 1e19, -1e6])

    def change(content: dict) -> None:
        values = content[name].copy()
        flat = values.ravel()
        flat[one % flat.size] = flat[other % flat.size] if number is None else flat[one % flat.size] + number
        content[name] = flat.reshape(values.shape)

    scene.rewrite_design(change)


@damage
def design_in_another_order(scene: Scene) -> None:
    """Entries of one field exchanged, rolled, reversed, shuffled, along either axis."""
    name, seed = scene.choose(FIELDS), scene.draw(st.integers(0, 99))
    axis = scene.choose([0, 1])
    way = scene.choose(["exchange", "roll", "reverse", "shuffle"])

    def change(content: dict) -> None:
        values = content[name]
        length = values.shape[axis]
        order = np.arange(length)
        generator = np.random.default_rng(seed)
        if way == "exchange" and length > 1:
            one, other = generator.choice(length, 2, replace=False)
            order[[one, other]] = other, one
        elif way == "roll":
            order = np.roll(order, 1)
        elif way == "reverse":
            order = order[::-1]
        elif way == "shuffle":
            order = generator.permutation(order)
        content[name] = np.take(values, order, axis=axis)

    scene.rewrite_design(change)
    if not scene.layout.stimulus_table.exists():
        scene.unknowable = "exchanged"


@damage
def design_stored_otherwise(scene: Scene) -> None:
    way = scene.choose([{"do_compression": True}, {"format": "4"}, {"oned_as": "column"}])

    def change(content: dict) -> None:
        if way.get("format") == "4":
            content.pop("stimpattern")

    scene.rewrite_design(change, **way)


@damage
def compressed_design_with_flipped_bytes(scene: Scene) -> None:
    scene.rewrite_design(lambda content: None, do_compression=True)
    content = bytearray(scene.layout.design.read_bytes())
    content[scene.index(len(content))] ^= scene.draw(ANOTHER_BYTE)
    scene.write(scene.layout.design, content)


@damage
def design_in_hdf5(scene: Scene) -> None:
    """MATLAB 7.3 is HDF5."""
    path = scene.layout.design
    scene.touch(path)
    content = {name: value for name, value in scipy.io.loadmat(path).items() if name[0] != "_"}
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in content.items():
            file[name] = value.T
    if scene.draw(st.booleans()):
        data = bytearray(path.read_bytes())
        data[:128] = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM"
        path.write_bytes(data)


@damage
def stimulus_table(scene: Scene) -> None:
    """The table of all images, which the design must agree with."""
    if not scene.layout.stimulus_table.exists():
        return
    row, other = scene.draw(st.integers(0, 10**6)), scene.draw(st.integers(0, 10**6))
    column = scene.choose(["nsdId", "subject1_rep0", "subject2_rep2", "shared1000", "cocoId"])
    value = scene.choose([0, 1, -1, 10**6, np.nan, np.inf, 2.5, "text", None])

    def put(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].astype(object).tolist()
        values[row % len(values)] = values[other % len(values)] if value is None else value
        return table.assign(**{column: values})

    changes = {
        "put": put,
        "drop a row": lambda table: table.drop(index=row % len(table)),
        "drop a column": lambda table: table.drop(columns=column),
        "repeat a row": lambda table: pd.concat([table, table.iloc[[row % len(table)]]]),
        "shuffle": lambda table: table.sample(frac=1, random_state=row % 100),
        "exchange columns": lambda table: table.rename(
            columns={"subject1_rep0": "subject2_rep0", "subject2_rep0": "subject1_rep0"}
        ),
        "exchange repetitions": lambda table: table.rename(
            columns={"subject1_rep0": "subject1_rep1", "subject1_rep1": "subject1_rep0"}
        ),
        "from 1": lambda table: table.assign(nsdId=table["nsdId"] + 1),
        "trials from 0": lambda table: table.assign(subject1_rep0=table["subject1_rep0"] - 1),
        "nothing": lambda table: table.iloc[:0],
    }
    scene.rewrite_table(changes[scene.choose(changes)])


# ---------------------------------------------------------------------------------------------- images


@damage
def images_of_another_shape_or_type(scene: Scene) -> None:
    changes = [
        lambda images: images[:-1],
        lambda images: images[1:],
        lambda images: np.concatenate([images[:1], images]),
        lambda images: images[:0],
        lambda images: images[..., :1],
        lambda images: images[..., 0],
        lambda images: images.transpose(0, 3, 1, 2),
        lambda images: np.concatenate([images, images[..., :1]], axis=-1),
        lambda images: images[:, 1:],
        lambda images: images[:, :, :-3],
        lambda images: images[:, :0],
        lambda images: images.astype(np.float32) / 255,
        lambda images: images.astype(np.int8),
        lambda images: images.astype(np.uint16),
        lambda images: images > 127,
        lambda images: images[None],
    ]
    scene.rewrite_stimuli(scene.choose(changes))


@damage
def images_of_another_name(scene: Scene) -> None:
    scene.rewrite_stimuli(lambda images: images, scene.choose(["images", "imgbrick", "group/imgBrick"]))


@damage
def images_of_one_colour(scene: Scene) -> None:
    """What was never written."""
    first, number = scene.draw(st.integers(0, 10**6)), scene.choose([0, 255, 127])
    all_after = scene.draw(st.booleans())

    def change(images: np.ndarray) -> np.ndarray:
        start = first % len(images)
        images[start : None if all_after else start + 1] = number
        return images

    scene.rewrite_stimuli(change)


@damage
def images_exchanged(scene: Scene) -> None:
    """Images in another order, mirrored, with exchanged colours, or one in the place of another."""
    one, other = scene.draw(st.integers(0, 10**6)), scene.draw(st.integers(0, 10**6))

    def copied(images: np.ndarray) -> np.ndarray:
        images[one % len(images)] = images[other % len(images)]
        return images

    changes = [
        copied,
        lambda images: np.roll(images, 1, axis=0),
        lambda images: images[..., ::-1],
        lambda images: images.transpose(0, 2, 1, 3),
        lambda images: 255 - images,
    ]
    scene.rewrite_stimuli(scene.choose(changes))
    scene.unknowable = "exchanged"


@damage
def one_pixel(scene: Scene) -> None:
    place, number = scene.draw(st.integers(0, 10**6)), scene.choose([0, 255])

    def change(images: np.ndarray) -> np.ndarray:
        images.flat[place % images.size] = number
        return images

    scene.rewrite_stimuli(change)
    scene.unknowable = "valid value"
