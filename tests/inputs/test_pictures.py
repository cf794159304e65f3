"""Pictures become the arrays that the documented steps say; whatever is wrong with them is named."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import qdqnp
from qdqnp.errors import InputError
from qdqnp.inputs.pictures import (
    MAX_SIDE,
    METHODS,
    Picture,
    Preprocessing,
    batches,
    is_picture,
    list_pictures,
    picture_feeds,
    prepare,
    prepare_picture,
    preprocessing_from,
    read_preprocessing,
    resolved,
)
from qdqnp.inputs.shipped import CIFAR10, model_names, pictures, shipped_model
from qdqnp.program import Program
from tests.inputs.test_files import program
from tests.networks import dla

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def scaled_by_hand(pixels: np.ndarray, scale: float, divisor: float, mean: tuple, std: tuple) -> np.ndarray:
    """One element at a time, every intermediate result rounded to float32."""
    made = np.empty(pixels.shape, np.float32)
    for row, column, channel in np.ndindex(pixels.shape):
        value = np.float32(np.float32(int(pixels[row, column, channel])) * np.float32(scale))
        value = np.float32(value / np.float32(divisor))
        value = np.float32(value - np.float32(mean[channel]))
        made[row, column, channel] = np.float32(value / np.float32(std[channel]))
    return made


@pytest.fixture(scope="module")
def small() -> Program:
    """One input, float32 (1, 3, 16, 16)."""
    return qdqnp.load(dla()).program()


@pytest.mark.parametrize(("scale", "divisor"), [(1, 255), (1 / 255, 1), (0.017, 3)])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_scaling_is_the_documented_float32_formula(scale: float, divisor: float, layout: str) -> None:
    pixels = noise(9, 10)
    got = prepare(pixels, Preprocessing(layout=layout, scale=scale, divisor=divisor, mean=MEAN, std=STD))
    want = scaled_by_hand(pixels, scale, divisor, MEAN, STD)
    if layout == "NCHW":
        want = np.stack([want[..., channel] for channel in range(3)])
    assert got.dtype == np.float32 and got.flags.c_contiguous
    assert got.tobytes() == np.ascontiguousarray(want).tobytes()


def test_division_by_255_is_not_multiplication_by_its_inverse() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    divided = prepare(pixels, Preprocessing(color="gray", divisor=255))
    multiplied = prepare(pixels, Preprocessing(color="gray", scale=1 / 255))
    assert np.array_equal(divided.reshape(-1), np.arange(256, dtype=np.float32) / np.float32(255))
    assert np.count_nonzero(divided != multiplied) == 126


def test_mean_and_std_follow_the_order_of_the_channels() -> None:
    pixels = noise(3, 4)
    got = prepare(pixels, Preprocessing(color="BGR", layout="NCHW", mean=(1, 2, 3), std=(1, 2, 4)))
    assert np.array_equal(got[0], pixels[..., 2].astype(np.float32) - 1)
    assert np.array_equal(got[2], (pixels[..., 0].astype(np.float32) - 3) / 4)


def test_one_mean_and_std_serve_all_channels() -> None:
    pixels = noise(3, 4)
    one = prepare(pixels, Preprocessing(mean=(100.0,), std=(50.0,)))
    three = prepare(pixels, Preprocessing(mean=(100.0,) * 3, std=(50.0,) * 3))
    assert np.array_equal(one, three)


def test_uint8_passes_the_pixels() -> None:
    pixels = noise(5, 6)
    got = prepare(pixels, Preprocessing(dtype="uint8", layout="NCHW"))
    assert got.dtype == np.uint8 and np.array_equal(got, np.moveaxis(pixels, 2, 0))


def test_gray_is_pillows_and_gray_pictures_spread_to_three_channels() -> None:
    pixels = noise(40, 50)
    got = prepare(pixels, Preprocessing(color="gray", dtype="uint8"))
    assert np.array_equal(got[..., 0], np.asarray(Image.fromarray(pixels).convert("L")))
    spread = prepare(got, Preprocessing(color="BGR", dtype="uint8"))
    assert all(np.array_equal(spread[..., channel], got[..., 0]) for channel in range(3))
    assert np.array_equal(prepare(got, Preprocessing(color="gray", dtype="uint8")), got)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("color", ["RGB", "gray"])
def test_resize_to_an_exact_size_is_pillows(method: str, color: str) -> None:
    pixels = noise(20, 31, 3 if color == "RGB" else 1)
    got = prepare(pixels, Preprocessing(resize=(13, 17), method=method, color=color, dtype="uint8"))
    image = Image.fromarray(pixels if color == "RGB" else pixels[..., 0])
    want = np.asarray(image.resize((17, 13), getattr(Image.Resampling, method.upper())))
    assert got.shape[:2] == (13, 17) and np.array_equal(got.reshape(want.shape), want)


@pytest.mark.parametrize(
    ("height", "width", "resize", "size"),
    [(20, 31, 10, (10, 15)), (31, 20, 10, (15, 10)), (20, 20, 7, (7, 7)), (20, 31, 20, (20, 31)), (3, 7, 32, (32, 74))],
)
def test_resize_of_the_shorter_side_rounds_the_longer_down(
    height: int, width: int, resize: int, size: tuple[int, int]
) -> None:
    pixels = noise(height, width)
    got = prepare(pixels, Preprocessing(resize=resize, dtype="uint8"))
    want = np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))
    assert got.shape[:2] == size and np.array_equal(got, want)


@pytest.mark.parametrize(("height", "first"), [(8, 0), (9, 0), (10, 1), (11, 2), (12, 2), (13, 2), (15, 4)])
def test_crop_starts_at_half_the_rest_rounded_to_even(height: int, first: int) -> None:
    pixels = noise(height, 8)
    got = prepare(pixels, Preprocessing(crop=8, dtype="uint8"))
    assert np.array_equal(got, pixels[first : first + 8])
    turned = prepare(pixels.transpose(1, 0, 2), Preprocessing(crop=(8, 8), dtype="uint8"))
    assert np.array_equal(turned, pixels[first : first + 8].transpose(1, 0, 2))


def test_a_picture_file_through_all_steps(tmp_path: Path, small: Program) -> None:
    pixels = noise(40, 53)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    settings = resolved(Preprocessing(resize=20, crop=16, divisor=255, mean=MEAN, std=STD), small)
    got = picture_feeds(list_pictures(tmp_path / "p.png"), settings, small)
    image = np.asarray(Image.open(tmp_path / "p.png").resize((26, 20), Image.Resampling.BILINEAR))[2:18, 5:21]
    want = np.transpose(scaled_by_hand(image, 1, 255, MEAN, STD), (2, 0, 1))[np.newaxis]
    assert list(got) == ["input"] and np.array_equal(got["input"], want)


def test_the_shipped_pictures_need_no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    model = qdqnp.load(shipped_model("dla46_c_int8"))
    x, y, classes = pictures()
    assert x.shape == (40, 32, 32, 3) and len(classes) == 10
    settings = resolved(CIFAR10, model.program())
    feeds = picture_feeds([Picture("first", x[0])], settings, model.program())
    want = np.transpose(scaled_by_hand(x[0], 1, 255, MEAN, STD), (2, 0, 1))[np.newaxis]
    assert np.array_equal(feeds["input"], want)
    assert model.run(feeds)["output"].argmax() == y[0]
    with pytest.raises(InputError, match=r'pip install "qdqnp\[images\]"'):
        prepare(x[0], Preprocessing(resize=8))


def test_shipped_models_are_listed_and_others_refused() -> None:
    assert {"dla46_c_int8", "dla46x_c_int8", "dla60x_c_int8"} <= set(model_names())
    assert all(shipped_model(name).is_file() for name in model_names())
    with pytest.raises(InputError, match=r"dla46_c_int8"):
        shipped_model("../secret")


# Settings


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({"resize": 0}, ["resize"]),
        ({"resize": MAX_SIDE + 1}, ["resize"]),
        ({"resize": [3]}, ["resize"]),
        ({"resize": True}, ["resize"]),
        ({"resize": 2.5}, ["resize"]),
        ({"crop": [16, "16"]}, ["crop"]),
        ({"method": "cubic", "layout": "CHW", "color": "rgba"}, ["method", "layout", "color"]),
        ({"method": 3, "color": ["RGB"], "dtype": "int8"}, ["method", "color", "dtype"]),
        ({"scale": 0}, ["scale"]),
        ({"scale": float("nan"), "divisor": float("inf")}, ["scale", "divisor"]),
        ({"scale": 1e-60, "divisor": 1e60}, ["scale", "divisor"]),
        ({"scale": "1/255"}, ["scale"]),
        ({"mean": [1, 2]}, ["mean"]),
        ({"mean": "0", "std": [0.1, 0.0, 0.1]}, ["mean", "std"]),
        ({"std": -1, "mean": [True, 0, 0]}, ["mean", "std"]),
        ({"mean": 10**400}, ["mean"]),
        ({"dtype": "uint8", "scale": 2, "std": 3}, ["scale", "std"]),
        ({"size": 3, "means": 1, "resize": -1}, ["size", "means", "resize"]),
    ],
)
def test_every_bad_setting_is_listed_by_name(settings: dict, fields: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        preprocessing_from(settings, "x.toml")
    assert sorted(problem.where for problem in caught.value.problems) == sorted(f"'{f}' in x.toml" for f in fields)


def test_settings_made_in_python_are_checked_too() -> None:
    with pytest.raises(InputError, match=r"'std' in the preprocessing"):
        Preprocessing(std=(0.0,))


def test_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        'resize = 256\ncrop = [224, 200]\nmethod = "bicubic"\ncolor = "BGR"\nlayout = "NHWC"\ndtype = "float32"\n'
        "scale = 2\ndivisor = 255\nmean = 0.5\nstd = [0.25, 0.5, 1]\n"
    )
    assert read_preprocessing(file) == Preprocessing(
        256, "bicubic", (224, 200), "NHWC", "BGR", "float32", 2, 255, (0.5,), (0.25, 0.5, 1)
    )
    file.write_text("")
    assert read_preprocessing(file) == Preprocessing()


@pytest.mark.parametrize("content", [None, b"mean = ", b"\xff\xfe", b"mean = 1\nmean = 2"])
def test_a_bad_toml_file(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "p.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"a readable TOML file"):
        read_preprocessing(file)


# The model's input


@pytest.mark.parametrize(
    ("shape", "dtype", "want"),
    [
        ([1, 3, 8, 9], np.float32, ("NCHW", "RGB", "float32")),
        ([1, 8, 9, 3], np.float32, ("NHWC", "RGB", "float32")),
        ([1, 1, 8, 9], np.uint8, ("NCHW", "gray", "uint8")),
        (["n", "h", "w", 1], np.float32, ("NHWC", "gray", "float32")),
    ],
)
def test_defaults_come_from_the_models_input(shape: list, dtype: type, want: tuple) -> None:
    found = resolved(Preprocessing(), program(x=(dtype, shape)))
    assert (found.layout, found.color, found.dtype) == want


def test_pictures_of_an_nhwc_model(tmp_path: Path) -> None:
    net = program(x=(np.float32, [1, 8, 9, 3]))
    pixels = noise(8, 9)
    got = picture_feeds([Picture("p", pixels)], resolved(Preprocessing(), net), net)
    assert np.array_equal(got["x"], pixels[np.newaxis].astype(np.float32))


@pytest.mark.parametrize("shape", [[1, 3, 8, 3], [1, 4, 8, 8], [1, "c", "h", "w"]])
def test_an_unclear_layout_must_be_stated(shape: list) -> None:
    with pytest.raises(InputError, match=r"State the layout"):
        resolved(Preprocessing(), program(x=(np.float32, shape)))


def test_a_stated_layout_is_taken() -> None:
    assert resolved(Preprocessing(layout="NHWC"), program(x=(np.float32, [1, 3, 8, 3]))).layout == "NHWC"


def test_settings_that_contradict_the_model() -> None:
    net = program(x=(np.float32, [1, 1, 8, 8]))
    with pytest.raises(InputError, match=r"3 channels, for color RGB"):
        resolved(Preprocessing(color="RGB"), net)
    with pytest.raises(InputError, match=r"'mean' of the preprocessing: expected 1 number, or 1 for color gray, got 3"):
        resolved(Preprocessing(mean=MEAN), net)


@pytest.mark.parametrize(
    "inputs", [{"x": (np.float32, [1, 10])}, {"x": (np.float32, [1, 3, 8, 8]), "y": (np.float32, [1])}]
)
def test_models_that_take_no_pictures(inputs: dict) -> None:
    with pytest.raises(InputError, match=r"takes no pictures"):
        resolved(Preprocessing(), program(**inputs))


def test_pictures_of_another_size_are_refused_with_advice(small: Program) -> None:
    settings = resolved(Preprocessing(), small)
    with pytest.raises(InputError, match=r"picture a: expected 16x16 pixels .* got 8x16. Set resize to 16x16"):
        picture_feeds([Picture("a", noise(8, 16))], settings, small)


def test_a_crop_larger_than_the_picture(small: Program) -> None:
    settings = resolved(Preprocessing(crop=16), small)
    with pytest.raises(InputError, match=r"picture a: expected at least the 16x16 pixels of the crop, got 8x16"):
        picture_feeds([Picture("a", noise(8, 16))], settings, small)


def test_a_thin_picture_does_not_explode(small: Program) -> None:
    settings = resolved(Preprocessing(resize=256), small)
    with pytest.raises(InputError, match=f"at most {MAX_SIDE} pixels a side"):
        picture_feeds([Picture("a", noise(1, 5000))], settings, small)


def test_batches() -> None:
    six = [Picture(str(index), noise(8, 8, seed=index)) for index in range(6)]
    fixed = program(x=(np.float32, [2, 3, 8, 8]))
    assert [[picture.name for picture in batch] for batch in batches(six, fixed)] == [
        ["0", "1"],
        ["2", "3"],
        ["4", "5"],
    ]
    assert picture_feeds(six[:2], resolved(Preprocessing(), fixed), fixed)["x"].shape == (2, 3, 8, 8)
    assert len(batches(six, program(x=(np.float32, ["n", 3, 8, 8])))) == 6
    with pytest.raises(InputError, match=r"a multiple of 2"):
        batches(six[:5], fixed)


# Files


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".ppm", ".tiff"])
def test_lossless_formats(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(noise(5, 7)).save(tmp_path / f"p{suffix}")
    (found,) = list_pictures(tmp_path / f"p{suffix}")
    assert found.name == f"p{suffix}" and np.array_equal(found.pixels(), noise(5, 7))


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".gif"])
def test_lossy_formats_are_as_pillow_decodes_them(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(noise(5, 7)).save(tmp_path / f"p{suffix}")
    want = np.asarray(Image.open(tmp_path / f"p{suffix}").convert("RGB"))
    assert np.array_equal(list_pictures(tmp_path / f"p{suffix}")[0].pixels(), want)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK"])
def test_all_8_bit_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("p.tiff" if mode == "CMYK" else "p.png")
    image = Image.fromarray(noise(5, 7)).convert("L" if mode == "LA" else mode).convert(mode)
    image.save(file)
    assert np.array_equal(list_pictures(file)[0].pixels(), np.asarray(image.convert("RGB")))


def test_orientation_is_not_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (7, 5))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "p.jpg", exif=exif)
    assert list_pictures(tmp_path / "p.jpg")[0].pixels().shape == (5, 7, 3)


def test_a_folder_is_its_pictures_sorted(tmp_path: Path) -> None:
    for index, name in enumerate(["b.png", "a.bmp", "c.PPM"]):
        Image.fromarray(noise(4, 4, seed=index)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "deep.png").mkdir()
    assert is_picture(tmp_path) and not is_picture(tmp_path / "notes.txt")
    assert [picture.name for picture in list_pictures(tmp_path)] == ["a.bmp", "b.png", "c.PPM"]


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a folder holds no picture"):
        list_pictures(tmp_path)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def truncated(folder: Path) -> bytes:
    Image.fromarray(noise(64, 64)).save(folder / "whole.png")
    return (folder / "whole.png").read_bytes()[:2000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "none of the formats"),
        (b"no picture at all", "none of the formats"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "none of the formats"),
        ("truncated", "truncated"),
        (png_header(9500, 9500), "pixels, where at most 67108864 are read"),
        (png_header(60000, 60000), "decompression bomb"),
        (png_header(5, 5), "a readable picture"),
    ],
)
def test_bad_pictures(tmp_path: Path, content: bytes | str | None, message: str) -> None:
    file = tmp_path / "bad.png"
    if content is not None:
        file.write_bytes(truncated(tmp_path) if isinstance(content, str) else content)
    with pytest.raises(InputError, match=message) as caught:
        list_pictures(file)[0].pixels()
    assert str(file) in str(caught.value)


def test_wide_channels_are_refused_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / "p.png")
    with pytest.raises(InputError, match=r"8 bits for each channel"):
        list_pictures(tmp_path / "p.png")[0].pixels()


def test_without_pillow_a_picture_file_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(noise(4, 4)).save(tmp_path / "p.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r'pip install "qdqnp\[images\]"'):
        list_pictures(tmp_path / "p.png")[0].pixels()


def test_arrays_of_pictures(tmp_path: Path) -> None:
    many = np.stack([noise(4, 5, seed=index) for index in range(3)])
    np.savez(tmp_path / "many.npz", x=many, y=np.arange(3), names=np.array(["a", "b", "c"]))
    np.save(tmp_path / "many.npy", many)
    np.save(tmp_path / "one.npy", many[0])
    found = list_pictures(tmp_path / "many.npz")
    assert [picture.name for picture in found] == ["many.npz[0]", "many.npz[1]", "many.npz[2]"]
    assert all(np.array_equal(picture.pixels(), want) for picture, want in zip(found, many, strict=True))
    assert np.array_equal(list_pictures(tmp_path / "many.npy")[2].pixels(), many[2])
    (one,) = list_pictures(tmp_path / "one.npy")
    assert one.name == "one.npy" and np.array_equal(one.pixels(), many[0])


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"x": np.zeros((2, 3, 4, 4), np.uint8)},
        {"x": np.zeros((2, 4, 4, 3), np.float32)},
        {"x": np.zeros((0, 4, 4, 3), np.uint8)},
        {"x": np.zeros((2, 4, 4, 3), np.uint8), "z": np.zeros((2, 4, 4, 3), np.uint8)},
    ],
)
def test_arrays_that_are_no_pictures(tmp_path: Path, arrays: dict) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=r"one array uint8 \[N, height, width, 1 or 3\]"):
        list_pictures(tmp_path / "x.npz")


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"PK\x03\x04 no archive", b"\x93NUMPY\x01\x00\xff\xff"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_bad_array_files(tmp_path: Path, content: bytes | None, suffix: str) -> None:
    file = tmp_path / f"bad{suffix}"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"a readable \.npy or \.npz file"):
        list_pictures(file)


def test_an_archive_too_large_to_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((100, 10, 10, 3), np.uint8))
    monkeypatch.setattr("qdqnp.files.npy.UNPACKED", 1000)
    with pytest.raises(InputError, match=r"unpacked, where at most"):
        list_pictures(tmp_path / "x.npz")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_a_picture_is_a_regular_file(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "p.png")
    with pytest.raises(InputError, match=r"cannot read a picture"):
        Picture("p.png", tmp_path / "p.png").pixels()


def test_a_picture_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a pixel is decoded, whatever a pixel takes in the file."""
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        Image.new(mode, (8193, 1)).save(tmp_path / "p.png")
        data = bytearray((tmp_path / "p.png").read_bytes())
        data[20:24] = struct.pack(">I", 8192)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        (tmp_path / "p.png").write_bytes(data)
        with pytest.raises(InputError, match=r"8192x8193 pixels, where at most 67108864"):
            Picture("p.png", tmp_path / "p.png").pixels()


@pytest.mark.parametrize("size", [{"resize": (16384, 4097)}, {"resize": (4097, 4096)}, {}])
def test_what_a_model_would_get_is_bounded(size: dict[str, Any]) -> None:
    pixels = np.broadcast_to(np.uint8(1), (4097, 4096, 3) if not size else (1, 1, 3))
    with pytest.raises(InputError, match=r"at most (16777216|16384) pixels"):
        prepare_picture(Picture("p", pixels), Preprocessing(dtype="uint8", **size))
