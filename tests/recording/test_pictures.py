import io
import logging
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gnet.errors import ParameterError
from gnet.recording.pictures import FILTERS, read_pictures, resize


def test_resizing_is_pillow_with_colour_first():
    images = np.random.default_rng(0).integers(0, 255, (3, 20, 20, 3), dtype=np.uint8)
    for name, filter in FILTERS.items():
        resized = resize(images, 9, name)
        assert resized.shape == (3, 3, 9, 9)
        expected = np.asarray(Image.fromarray(images[1]).resize((9, 9), filter))
        np.testing.assert_array_equal(resized[1], expected.transpose(2, 0, 1))


def test_bilinear_is_the_default_and_averages_what_it_skips():
    stripes = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    stripes[:, :, ::2] = 200
    assert abs(int(resize(stripes, 2)[0, 0, 0, 0]) - 100) < 20
    np.testing.assert_array_equal(resize(stripes, 2), resize(stripes, 2, "bilinear"))


def test_images_of_the_size_pass_unchanged():
    images = np.random.default_rng(0).integers(0, 255, (2, 7, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize(images, 7, "lanczos"), images.transpose(0, 3, 1, 2))


def test_unknown_filter_and_size():
    with pytest.raises(ParameterError, match="unknown resampling filter 'cubic': expected one of nearest,"):
        resize(np.zeros((1, 4, 4, 3), dtype=np.uint8), 2, "cubic")
    with pytest.raises(ParameterError, match="expected at least 1 pixel, got 0"):
        resize(np.zeros((1, 4, 4, 3), dtype=np.uint8), 0)


# folders of pictures

CORNERS = np.zeros((12, 12, 3), np.uint8)
CORNERS[:6, :6] = [200, 0, 0]  # red above left, blue below right
CORNERS[6:, 6:] = [0, 0, 200]


def png(depth, colour, channels):
    """A black PNG of 4 x 4 pixels with any depth, which Pillow itself cannot write."""
    rows = b"".join(b"\0" + bytes(4 * channels * depth // 8) for _ in range(4))

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 4, 4, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_pictures_are_read_by_name_in_every_format_and_mode(tmp_path):
    for number, name in enumerate(("b.png", "a.bmp", "c.tif", "d.webp", "e.gif", "f.jpg")):
        Image.fromarray(CORNERS).save(tmp_path / name, **({"lossless": True} if number == 3 else {}))
    transparent = Image.fromarray(CORNERS).convert("P")
    transparent.save(tmp_path / "g.png", transparency=bytes([0, 128]))
    found, names = read_pictures(tmp_path, 12)
    assert names.tolist() == ["a.bmp", "b.png", "c.tif", "d.webp", "e.gif", "f.jpg", "g.png"]
    assert found.shape == (7, 3, 12, 12)
    for picture, name in zip(found, names, strict=True):
        tolerance = 20 if name in ("f.jpg", "e.gif", "g.png") else 0  # these do not keep every number
        assert np.abs(picture.astype(int) - CORNERS.transpose(2, 0, 1)).mean() <= tolerance, name


def test_pictures_are_turned_as_their_exif_orientation_says(tmp_path):
    for orientation in (1, 3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(CORNERS).save(tmp_path / f"{orientation}.png", exif=exif)
    found, _ = read_pictures(tmp_path, 12)
    red = [np.argwhere(picture[0] == 200).min(axis=0).tolist() for picture in found]
    assert red == [[0, 0], [6, 6], [0, 6], [6, 0]]  # upright, upside down, a quarter right, a quarter left


@pytest.mark.parametrize("kind", [(16, 2, 3), (16, 0, 1), (16, 4, 2), (16, 6, 4)])
def test_pictures_of_sixteen_bits_are_refused(tmp_path, kind):
    (tmp_path / "deep.png").write_bytes(png(*kind))
    with pytest.raises(
        ParameterError, match=r"deep\.png: expected a picture of 8 bits per colour.* Convert it"
    ):
        read_pictures(tmp_path, 4)
    (tmp_path / "deep.png").write_bytes(png(8, *kind[1:]))
    assert read_pictures(tmp_path, 4)[0].shape == (1, 3, 4, 4)


@pytest.mark.parametrize("mode", ["F", "I", "I;16"])
def test_pictures_of_floats_and_large_integers_are_refused(tmp_path, mode):
    Image.new(mode, (4, 4)).save(tmp_path / "deep.tif")
    with pytest.raises(ParameterError, match=rf"deep\.tif: expected a picture of 8 bits .* \(mode {mode}\)"):
        read_pictures(tmp_path, 4)


def test_bitmaps_of_sixteen_bits_a_pixel_are_read(tmp_path):
    """Five or six bits per colour, which is not too many."""
    header = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    content = b"BM" + struct.pack("<IHHI", 74, 0, 0, 66) + header + masks + bytes(8)
    (tmp_path / "old.bmp").write_bytes(content)
    assert read_pictures(tmp_path, 2)[0].shape == (1, 3, 2, 2)


def test_what_is_not_a_picture_is_skipped_and_counted(tmp_path, caplog):
    Image.fromarray(CORNERS).save(tmp_path / "picture.png")
    Image.fromarray(CORNERS).save(tmp_path / "vector.eps")
    (tmp_path / "notes.txt").write_text("nothing to see")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait forever
    with caplog.at_level(logging.INFO):
        _, names = read_pictures(tmp_path, 6)
    assert names.tolist() == ["picture.png"]
    [record] = caplog.records
    assert record.getMessage().endswith(
        "skipped 4 files and folders that are not pictures: folder.png, notes.txt, pipe.png, vector.eps"
    )


def test_pictures_that_are_not_square_are_cut_and_counted(tmp_path, caplog):
    Image.fromarray(CORNERS).save(tmp_path / "square.png")
    wide = np.zeros((12, 20, 3), np.uint8)
    wide[:, 4:16] = CORNERS
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    found, names = read_pictures(tmp_path, 12)
    np.testing.assert_array_equal(found[names.tolist().index("wide.png")], CORNERS.transpose(2, 0, 1))
    [record] = caplog.records
    assert record.getMessage().endswith(": 2 of 3 pictures are not square: their centre was taken.")


def test_damaged_pictures_are_refused(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ParameterError, match=r"cut\.png: expected a whole picture, .* Copy it again"):
        read_pictures(tmp_path, 12)


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)  # refused at twice this
    Image.fromarray(CORNERS).save(tmp_path / "large.png")
    with pytest.raises(ParameterError, match=r"large\.png: expected a picture of reasonable size"):
        read_pictures(tmp_path, 12)
    monkeypatch.undo()
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "a" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    content = io.BytesIO()
    Image.fromarray(CORNERS).save(content, "PNG", pnginfo=text)
    (tmp_path / "large.png").write_bytes(content.getvalue())
    with pytest.raises(ParameterError, match=r"large\.png: expected a whole picture, .*too large"):
        read_pictures(tmp_path, 12)


def test_folders_without_pictures(tmp_path):
    with pytest.raises(
        ParameterError, match=r"prediction\.folder: expected a folder of pictures, found none"
    ):
        read_pictures(tmp_path / "absent", 12)
    with pytest.raises(
        ParameterError, match=r"expected pictures \(PNG, JPEG, .*\) in .*, found none that can be"
    ):
        read_pictures(tmp_path, 12)


def test_only_the_first_of_many_skipped_files_are_named(tmp_path, caplog):
    Image.fromarray(CORNERS).save(tmp_path / "picture.png")
    for number in range(9):
        (tmp_path / f"{number}.txt").touch()
    with caplog.at_level(logging.INFO):
        read_pictures(tmp_path, 6)
    assert "skipped 9 files" in caplog.text.replace("\n", " ")
    assert caplog.records[0].getMessage().endswith("4.txt, ...")
