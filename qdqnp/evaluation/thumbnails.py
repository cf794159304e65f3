"""Small pictures of inputs whose class flipped, as text that a page can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection

import numpy as np

from qdqnp.evaluation.feeds import decoded
from qdqnp.evaluation.result import Evaluation
from qdqnp.evaluation.sample import DataSet
from qdqnp.inputs.pictures import pillow

#: Pixels of the longer side, and pictures of one page.
SIDE, MOST = 64, 200


def thumbnails(evaluation: Evaluation, data: DataSet) -> dict[int, str]:
    """Return the pictures of the first inputs that flipped in any column, by their place in the data set: each as a
    `data:` address of a PNG. Inputs that are no pictures, and data that can be iterated over only once, have none.

        evaluation: what was found.
        data: what was evaluated.

    Raises InputError where Pillow is missing.
    """
    flipped = sorted({flip.index for column in evaluation.columns for flip in column.flips})[:MOST]
    return _made(data, frozenset(flipped)) if flipped else {}


def _made(data: DataSet, wanted: Collection[int]) -> dict[int, str]:
    found = {}
    for sample in data.samples(wanted):
        try:
            pixels = decoded(sample.content)[0] if not isinstance(sample.content, str) else None
        except ValueError:  # the file has changed since
            continue
        if not isinstance(pixels, np.ndarray):
            continue
        image = pillow().fromarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
        image.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        image.save(file, "PNG")
        found[sample.index] = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    return found
