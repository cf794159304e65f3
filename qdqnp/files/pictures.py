"""Read pictures of unknown origin: their size is known and bounded before a pixel is decoded."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from qdqnp.files.regular import open_regular
from qdqnp.limits import MAX_PICTURE_BYTES, MAX_PIXELS

# Pillow reads more formats; one of them starts another program (EPS).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

#: What may be said of a picture that is not one plain frame of 8-bit RGB.
GREY = "grey: its three channels are equal"
CMYK = "CMYK: converted by Pillow's formula, without a colour profile"
TRANSPARENT = "transparent: the transparency is dropped"
ANIMATED = "several frames: the first is taken"
TURNED = "an EXIF orientation, which is not applied"
TURNED_TIFF = "an orientation of a TIFF file, which is applied"

_ORIENTATION = 0x0112  # of EXIF, and of TIFF
_BITS_PER_SAMPLE = 258  # of TIFF


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture, and what was done to make 8-bit RGB of it."""

    #: uint8 (height, width, 3), RGB.
    pixels: NDArray[np.uint8]
    #: GREY, CMYK, TRANSPARENT, ANIMATED, TURNED, TURNED_TIFF, where they apply.
    notes: tuple[str, ...]


def read_picture(path: Path, pillow: Any) -> NDArray[np.uint8]:
    """Return a picture as uint8 (height, width, 3), RGB; the first frame of an animation.

        path: the file.
        pillow: the module PIL.Image, which only pictures need.

    Raises OSError where it is no regular file, ValueError where it is damaged, has wider channels than 8 bits, or more
    than MAX_PIXELS.
    """
    with open_regular(path) as file:
        if file.seek(0, io.SEEK_END) > MAX_PICTURE_BYTES:
            raise ValueError(f"a file of more than {MAX_PICTURE_BYTES} bytes")
        file.seek(0)
        return _decoded(file, pillow).pixels


def decode_picture(data: bytes, pillow: Any) -> Decoded:
    """Return the picture that a file's bytes hold, as `read_picture` does, and what is to be said of it.

        data: the bytes.
        pillow: the module PIL.Image.

    Raises ValueError as `read_picture` does.

    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("L", (4, 2), 7).save(file, "PNG")
    >>> found = decode_picture(file.getvalue(), Image)
    >>> found.pixels.shape, found.notes
    ((2, 4, 3), ('grey: its three channels are equal',))
    """
    return _decoded(io.BytesIO(data), pillow)


def _decoded(file: BinaryIO, pillow: Any) -> Decoded:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata; and Pillow's bound of the size is higher
            with pillow.open(file, formats=FORMATS) as image:
                _check(image)
                notes = _notes(image)
                pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
                return Decoded(pixels, tuple(notes if image.format == "TIFF" else [*notes, *_turned(image, TURNED)]))
    except pillow.UnidentifiedImageError as error:  # whose text has an address, another one each time
        raise ValueError(f"none of the formats {', '.join(FORMATS)}") from error
    except Exception as error:  # a damaged picture makes decoders raise almost anything
        raise ValueError(str(error) or type(error).__name__) from error


def _check(image: Any) -> None:
    width, height = image.size
    if str(image.mode)[0] in "IF":  # wider channels would be clipped, not scaled
        raise ValueError(f"Pillow's mode {image.mode}, not 8 bits for each channel")
    if _wide(image):  # Pillow would keep the higher byte of each
        raise ValueError("more than 8 bits for each channel, of which Pillow keeps 8; convert it to 8 bits")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{height}x{width} pixels, where at most {MAX_PIXELS} are read")


def _wide(image: Any) -> bool:
    """Tell whether the file has more than 8 bits for each channel, which the mode does not tell of colours."""
    if image.format == "TIFF":
        return max(map(int, image.tag_v2.get(_BITS_PER_SAMPLE, (8,)))) > 8
    last = image.tile[0][3] if image.tile else ""
    if image.format == "PNG":
        return ";16" in str(last)
    return image.format == "PPM" and isinstance(last, tuple) and int(last[-1]) > 255


def _notes(image: Any) -> list[str]:
    """Say what is not plain RGB, before the pixels are decoded."""
    mode, found = str(image.mode), []
    if mode in ("1", "L", "LA", "La"):
        found.append(GREY)
    if mode == "CMYK":
        found.append(CMYK)
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        found.append(TRANSPARENT)
    if getattr(image, "is_animated", False):
        found.append(ANIMATED)
    # of a TIFF file before its pixels are decoded: Pillow turns them, and forgets that it did
    return [*found, *(_turned(image, TURNED_TIFF) if image.format == "TIFF" else [])]


def _turned(image: Any, note: str) -> list[str]:
    try:
        return [note] if image.getexif().get(_ORIENTATION, 1) != 1 else []
    except Exception:  # damaged metadata, which nothing else reads, is no reason to refuse the pixels
        return []
