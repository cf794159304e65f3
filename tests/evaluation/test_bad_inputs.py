"""Everything that may be wrong with pictures and labels is reported by name, counted, and fatal unless accepted."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdqnp.errors import InputError
from qdqnp.evaluation.evaluate import evaluate
from qdqnp.evaluation.result import BadInputsError
from qdqnp.inputs.pictures import Preprocessing
from tests.evaluation.kit import encoded, network, picture, png

DIVIDED = Preprocessing(divisor=8)


def wide_png(channels: int, kind: int) -> bytes:
    """A PNG of 4x4 with 16 bits a channel. kind: 0 grey, 2 RGB, 4 grey and alpha, 6 RGB and alpha."""
    rows = b"".join(b"\0" + bytes(range(channels * 8)) for _ in range(4))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 4, 4, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wide_tiff() -> bytes:
    """A TIFF of 4x4 RGB with 16 bits a channel."""
    data, bits = bytes(4 * 4 * 3 * 2), struct.pack("<3H", 16, 16, 16)
    tags = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 3, 8 + len(data)), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, 4), (279, 4, 1, len(data)), (284, 3, 1, 1)]
    listed = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(data) + len(bits))
    return head + data + bits + struct.pack("<H", len(tags)) + listed + bytes(4)


BAD = {
    "cut.png": png(0)[:50],
    "empty.png": b"",
    "text.jpg": b"not a picture",
    "wide-grey.png": wide_png(1, 0),
    "wide-rgb.png": wide_png(3, 2),
    "wide-la.png": wide_png(2, 4),
    "wide-rgba.png": wide_png(4, 6),
    "wide.ppm": b"P6 4 4 65535\n" + bytes(4 * 4 * 6),
    "wide.tif": wide_tiff(),
    "float.tif": encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"),
    "bomb.png": encoded(Image.new("1", (2**14, 2**14))),
    "large.png": encoded(Image.new("RGB", (5, 4))),
}


def folder(path: Path, files: dict[str, bytes], labels: dict[str, object] | None = None) -> Path:
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
    stated = {**dict.fromkeys(files, 0), **(labels or {})}
    lines = [f"{name},{label}" for name, label in stated.items() if label is not None]
    (path / "labels.csv").write_text("\n".join(["file,class", *lines]))
    return path


def test_every_bad_picture_is_named_counted_and_fatal(tmp_path: Path) -> None:
    data = folder(tmp_path / "d", {**BAD, "good.png": png(0)})
    with pytest.raises(BadInputsError) as caught:
        evaluate(network(), data, preprocessing=DIVIDED)
    found = caught.value.evaluation
    assert found.inputs == 1 and sorted(one.name for one in found.bad) == sorted(BAD)
    kinds = {kind: len(ones) for kind, ones in found.about_bad().items()}
    assert kinds == {"no readable picture": len(BAD) - 1, "does not fit the model": 1}
    assert f"{len(BAD)} inputs were not evaluated" in caught.value.title and "skip_bad" in str(caught.value)
    assert all(f"'{name}'" in str(caught.value) for name in BAD)
    accepted = evaluate(network(), data, preprocessing=DIVIDED, skip_bad=True)
    assert accepted == found and accepted.columns[0].top1 == 1
    for one in found.bad:
        assert ("8 bits" in one.why) == (one.name.startswith(("wide", "float"))), one


def test_labels_that_are_missing_or_no_class(tmp_path: Path) -> None:
    files = {f"{number}.png": png(0) for number in range(5)}
    data = folder(tmp_path / "d", files, {"1.png": None, "2.png": 3, "3.png": 1000, "lost.png": 1})
    with pytest.raises(BadInputsError) as caught:
        evaluate(network(), data, preprocessing=DIVIDED)
    found = caught.value.evaluation
    assert [(one.name, one.kind) for one in found.bad] == [
        ("lost.png", "a label without a picture"),
        ("1.png", "no label"),
        ("2.png", "a label out of range"),
        ("3.png", "a label out of range"),
    ]
    assert found.inputs == 2 and "classes are 0 to 2" in found.bad[2].why


def test_a_folder_of_bad_pictures_alone(tmp_path: Path) -> None:
    data = folder(tmp_path / "d", {"a.png": b""})
    with pytest.raises(BadInputsError):
        evaluate(network(), data)
    with pytest.raises(InputError, match="nothing was evaluated"):
        evaluate(network(), data, skip_bad=True)


def test_negative_labels_and_arrays_that_do_not_fit() -> None:
    x = np.zeros((3, 4, 4), np.float32)
    pairs = [(x, 0), (x, -1), (x[:, :3], 0), (x.astype(np.float64), 0), ({"z": x, "x": x[0]}, 0), ({"y": x, "z": x}, 0)]
    found = evaluate({"a": (network(), "ort")}, pairs, skip_bad=True)
    assert found.inputs == 1 and [one.index for one in found.bad] == [1, 2, 3, 4, 5]
    assert "float64" in found.bad[2].why and "column 'a'" in found.bad[4].why


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


COLOUR, OTHER = Image.fromarray(picture(1)), Image.fromarray(picture(0))
#: Pictures that are more than 8-bit RGB, and what is said of them.
NOTED = {
    "grey.png": (encoded(COLOUR.convert("L")), ["grey"]),
    "bilevel.png": (encoded(COLOUR.convert("1")), ["grey"]),
    "alpha.png": (encoded(COLOUR.convert("RGBA")), ["transparent"]),
    "grey-alpha.png": (encoded(COLOUR.convert("LA")), ["grey", "transparent"]),
    "palette.png": (encoded(COLOUR.convert("P")), []),
    "cmyk.jpg": (encoded(COLOUR.convert("CMYK"), "JPEG"), ["CMYK"]),
    "animated.gif": (encoded(COLOUR, "GIF", save_all=True, append_images=[OTHER]), ["several frames"]),
    "pages.tif": (encoded(COLOUR, "TIFF", save_all=True, append_images=[OTHER]), ["several frames"]),
    "turned.jpg": (encoded(COLOUR, "JPEG", exif=turned()), ["an EXIF orientation"]),
    "turned.png": (encoded(COLOUR, "PNG", exif=turned()), ["an EXIF orientation"]),
    "turned.tif": (encoded(COLOUR, "TIFF", exif=turned()), ["an orientation of a TIFF"]),
    "plain.ppm": (encoded(COLOUR, "PPM"), []),
    "narrow.ppm": (b"P6 4 4 100\n" + bytes(4 * 4 * 3), []),
}


def test_what_is_done_to_other_pictures_is_said(tmp_path: Path) -> None:
    data = folder(tmp_path / "d", {name: data for name, (data, _) in NOTED.items()})
    found = evaluate(network(), data, preprocessing=DIVIDED)
    said: dict[str, list[str]] = {name: [] for name in NOTED}
    for one in found.remarks:
        said[one.name].append(one.text)
    for name, (_, wanted) in NOTED.items():
        assert len(said[name]) == len(wanted), (name, said[name])
        assert all(text.startswith(start) for text, start in zip(said[name], wanted, strict=True)), said[name]
    assert found.inputs == len(NOTED)
    assert {text: len(ones) for text, ones in found.about_remarks().items() if text.startswith("grey")} == {
        "grey: its three channels are equal": 3
    }
