"""Read pictures of unknown origin: their size is known and bounded before a pixel is decoded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.files.regular import open_regular
from qdqnp.limits import MAX_PICTURE_BYTES, MAX_PIXELS

# Pillow reads more formats; one of them starts another program (EPS).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


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
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of damaged metadata; and Pillow's bound of the size is higher
                with pillow.open(file, formats=FORMATS) as image:
                    _check(image)
                    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
        except Exception as error:  # a damaged picture makes decoders raise almost anything
            raise ValueError(str(error) or type(error).__name__) from error


def _check(image: Any) -> None:
    width, height = image.size
    if str(image.mode)[0] in "IF":  # wider channels would be clipped, not scaled
        raise ValueError(f"Pillow's mode {image.mode}, not 8 bits for each channel")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{height}x{width} pixels, where at most {MAX_PIXELS} are read")
