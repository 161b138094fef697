"""What an HDF5 file can hold to trick its reader is refused by name, and nothing of it is read."""

import os
import signal
import struct

import h5py
import numpy as np
import pytest

import gnet.storage.members as members
from gnet.errors import StorageError
from gnet.storage.hdf5 import open_tree, write_tree


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.h5"


@pytest.fixture
def secret(tmp_path):
    """Another file of the user's."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.full(3, 42.0)
    return tmp_path / "secret.h5"


@pytest.fixture(autouse=True)
def _at_once():
    """A reader that hangs is stopped after ten seconds."""
    signal.alarm(10)
    yield
    signal.alarm(0)


def refused(path, name, found):
    """Looking up and reading everything raise what names the file, the member and the cause."""
    text = rf"{path.name}: '{name}': expected .*, found {found}.*delete it and run the pipeline"
    *groups, key = name.strip("/").split("/")

    def look_up():
        stored = open_tree(path)
        for group in groups:
            stored = stored[group]
        value = stored[key]
        return value[...] if hasattr(value, "shape") else value

    for act in (look_up, lambda: open_tree(path).read()):
        with pytest.raises(StorageError, match=text):
            act()


def soft(file, secret):
    file["x"] = np.zeros(3)
    file["group/link"] = h5py.SoftLink("/x")


def dangling(file, secret):
    file["group/link"] = h5py.SoftLink("/nowhere")


def external(file, secret):
    file["group/link"] = h5py.ExternalLink(str(secret), "/x")


def external_storage(file, secret):
    file.create_dataset("group/link", (8,), "u1", external=[(str(secret), 0, 8)])


def virtual(file, secret):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "x", (3,))
    file.create_virtual_dataset("group/link", layout)


def committed(file, secret):
    file["group/link"] = np.dtype("f8")


def second_name(file, secret):
    file["x"] = np.zeros(3)
    file["group/link"] = file["x"]


def of_the_root(file, secret):
    file["group/link"] = file["/"]


def without_data(file, secret):
    file["group/link"] = h5py.Empty("f4")


def compound(file, secret):
    file["group/link"] = np.zeros(2, [("a", "i4")])


def reference(file, secret):
    file["x"] = np.zeros(3)
    file.create_dataset("group/link", data=file["x"].ref, dtype=h5py.ref_dtype)


def ragged(file, secret):
    file.create_dataset("group/link", (1,), h5py.vlen_dtype("i4"))


def attribute_of_bytes(file, secret):
    file["group"].attrs["link"] = np.bytes_(b"abc")


def attribute_of_numbers(file, secret):
    file["group"].attrs["link"] = np.zeros(3)


def attribute_that_refers(file, secret):
    file["group"].attrs.create("link", file["group"].ref, dtype=h5py.ref_dtype)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (soft, "a soft link"),
        (dangling, "a soft link"),
        (external, "a link into another file"),
        (external_storage, "an array whose data lie in other files"),
        (virtual, "an array whose data lie in other files"),
        (committed, "a committed type"),
        (second_name, "one that has a second name"),
        (of_the_root, "one that has a second name"),
        (without_data, "an array without data"),
        (compound, "an array of "),
        (reference, "an array of object"),
        (ragged, "an array of object"),
        (attribute_of_bytes, "bytes"),
        (attribute_of_numbers, "ndarray"),
        (attribute_that_refers, "Reference"),
    ],
)
def test_what_is_not_a_plain_array_or_value(path, secret, make, found):
    with h5py.File(path, "w", track_order=True) as file:
        file.create_group("group")
        make(file, secret)
        if make is second_name:
            file.move("x", "zz")  # so that the other name of it is met first
    if make in (second_name, of_the_root):
        with pytest.raises(StorageError, match=rf"x.h5: '/group/link': expected .*{found}"):
            open_tree(path)["group"]["link"]
        with pytest.raises(StorageError, match=found):
            open_tree(path).read()
    else:
        refused(path, "/group/link", found)


def test_external_storage_on_a_pipe_does_not_hang(path, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (8,), "u1", external=[(str(tmp_path / "pipe"), 0, 8)])
    refused(path, "/x", "an array whose data lie in other files")


def test_a_group_that_contains_itself(path):
    with h5py.File(path, "w") as file:
        group = file.create_group("1")
        group["x"] = np.zeros(3)
        group["1"] = group
    with pytest.raises(StorageError, match=r"x.h5: '/1': .*one that has a second name"):
        open_tree(path).read()


def test_a_group_that_contains_itself_and_denies_it(path):
    """The number of names is a number in the file like others; then the depth ends the search."""
    with h5py.File(path, "w") as file:
        group = file.create_group("1")
        group["1"] = group
        address = h5py.h5o.get_info(group.id).addr
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<I", 2), address)  # the header's count of hard links
    content[at : at + 4] = struct.pack("<I", 1)
    path.write_bytes(content)
    with h5py.File(path) as file:
        assert h5py.h5o.get_info(file["1"].id).rc == 1
    refused(path, "/1" * (members.DEPTH + 1), f"one more than {members.DEPTH} levels deep")


@pytest.mark.parametrize(
    "storage",
    [{}, {"chunks": (100, 10_000)}, {"chunks": (100, 10_000), "compression": "gzip"}],
)
def test_sizes_that_the_file_cannot_hold(path, storage):
    with h5py.File(path, "w") as file:
        file.create_dataset("group/link", (10**6, 10**4), "f4", **storage)  # 40 GB that nobody wrote
    refused(path, "/group/link", "an array of 40,000,000,000 bytes in a file of ")


def test_the_best_compression_is_not_taken_for_a_false_size(path):
    zeros = np.zeros((2**22,), "f8")
    write_tree(path, {"x": zeros}, compression="gzip", compression_opts=9, chunks=(2**17,))
    assert zeros.nbytes > 900 * path.stat().st_size
    np.testing.assert_array_equal(open_tree(path)["x"].read(), zeros)


@pytest.mark.parametrize("dtype", [h5py.string_dtype(), h5py.string_dtype(length=2)])
def test_text_that_is_not_utf8(path, dtype):
    with h5py.File(path, "w") as file:
        file.create_dataset("group/area", data=np.array([b"V1", b"\xff\xfe"], "S2").astype(dtype))
    refused(path, "/group/area", r"other bytes \('utf-8' codec can't decode byte 0xff")
    with pytest.raises(StorageError, match="'/group/area': expected text in UTF-8"):
        open_tree(path)["group"]["area"][1]


def test_single_text_that_is_not_utf8(path):
    with h5py.File(path, "w") as file:
        file.attrs.create("area", b"V1\xff", dtype=h5py.string_dtype())
    for read in (lambda: open_tree(path)["area"], lambda: open_tree(path).read()):
        with pytest.raises(StorageError, match=r"x.h5: '/area': expected text in UTF-8, found other bytes"):
            read()


@pytest.mark.parametrize("kind", ["group", "attribute"])
def test_names_that_are_not_utf8(path, kind):
    with h5py.File(path, "w") as file:
        file.attrs["n"] = 1
        if kind == "group":
            h5py.h5g.create(file.id, b"V1\xff")
        else:
            space = h5py.h5s.create(h5py.h5s.SCALAR)
            h5py.h5a.create(file.id, b"V1\xff", h5py.h5t.NATIVE_INT32, space)
    for read in (lambda: open_tree(path)["n"], lambda: list(open_tree(path)), lambda: open_tree(path).read()):
        with pytest.raises(StorageError, match=r"x.h5: '/V1\\xff': expected a name in UTF-8"):
            read()


def test_what_is_written_is_not_too_deep_to_be_read(path):
    def nested(levels):
        return {"x": nested(levels - 1)} if levels else np.ones(1)

    write_tree(path, nested(members.DEPTH))
    found = open_tree(path).read()
    for _ in range(members.DEPTH):
        found = found["x"]
    assert found == [1]
    with pytest.raises(TypeError, match=f"expected at most {members.DEPTH} levels of mappings"):
        write_tree(path, nested(members.DEPTH + 1))


@pytest.mark.parametrize("now", [np.zeros((2, 2)), np.zeros(3, "f4"), {"x": 1}])
def test_file_replaced_by_another_while_it_is_in_use(path, now):
    write_tree(path, {"x": np.zeros(3)})
    array = open_tree(path)["x"]
    write_tree(path, {"x": now})
    with pytest.raises(StorageError, match=r"'/x': expected the array of shape \(3,\).*has been replaced"):
        array.read()


def test_link_put_in_place_of_an_array_while_it_is_in_use(path, secret):
    write_tree(path, {"group": {"x": np.zeros(3)}})
    array = open_tree(path)["group"]["x"]
    with h5py.File(path, "w") as file:
        file["group"] = h5py.ExternalLink(str(secret), "/")
    with pytest.raises(StorageError, match=r"'/group': .* found a link into another file"):
        array.read()


def test_group_replaced_by_an_array_while_it_is_in_use(path):
    write_tree(path, {"group": {"deeper": {"x": np.zeros(3)}}})
    group = open_tree(path)["group"]
    deeper, array = group["deeper"], group["deeper"]["x"]
    write_tree(path, {"group": np.zeros(3)})
    for read in (group.read, deeper.read, array.read, lambda: group["deeper"], lambda: list(group)):
        with pytest.raises(StorageError, match=r"found a file that cannot be read .*'/group' is an array"):
            read()
