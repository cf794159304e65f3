"""Pictures with their classes, from an .npz of both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.errors import InputError, Problem
from qdqnp.inputs.pictures import list_pictures


@dataclass(frozen=True)
class Labelled:
    """Pictures with their classes."""

    #: uint8 (pictures, height, width, 3).
    x: NDArray[np.uint8]
    #: The class of each picture.
    y: NDArray[np.integer[Any]]


def read_labelled(path: Path, limit: int | None) -> Labelled:
    """Read the first `limit` pictures (or all) of an .npz with x (uint8 NHWC) and y (their classes)."""
    pictures = np.stack([picture.pixels() for picture in list_pictures(path)])
    with np.load(path, allow_pickle=False) as arrays:
        y = arrays.get("y")
    if y is None or y.dtype.kind not in "iu" or y.shape != (len(pictures),):
        got = "no y" if y is None else f"{y.dtype} {y.shape}"
        problem = Problem(str(path), f"an array y of {len(pictures)} integers, the classes of the pictures", got)
        raise InputError("The pictures have no labels", [problem])
    return Labelled(pictures[:limit], y[:limit])
