"""Arrays as a data set: those of an .npz file with their classes, or pairs of an input and its class from Python."""

from __future__ import annotations

import operator
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.errors import InputError, Problem, Problems
from qdqnp.evaluation.sample import Content, DataSet, Sample
from qdqnp.files.npy import Arrays, Header
from qdqnp.files.paths import reason
from qdqnp.files.regular import read_bytes
from qdqnp.inputs.arrays import input_arrays
from qdqnp.inputs.labels import NAMES, labels_name
from qdqnp.limits import MAX_PICTURE_BYTES

#: The array of an .npz file with the names of the classes.
CLASS_NAMES = "classes"


def npz_data(path: Path) -> DataSet:
    """Return what an .npz file holds: `y` (or `label`, `labels`), the classes as integers, and the inputs.

        path: the file. Its inputs are one array of pictures, uint8 (N, height, width, 1 or 3), of any name; or arrays
            by the names of the model's inputs, (N, ...). `classes`, the names of the classes, may be there too.

    Raises InputError for what is not so.
    """
    with input_arrays(path) as arrays:
        headers = {name: arrays.header(name) for name in arrays.names}
        stated = _labels_name(path, arrays, headers)
        labels = arrays.read(stated)
        named = _is_names(headers.get(CLASS_NAMES))
        names = [str(name) for name in arrays.read(CLASS_NAMES)] if named else None
    inputs = {name: header for name, header in headers.items() if name not in (stated, CLASS_NAMES)}
    pictured = [name for name, header in inputs.items() if is_pixels(header.dtype, header.shape[1:])]
    chosen = pictured if len(pictured) == 1 else list(inputs)
    problems = Problems()
    for name in chosen:
        if not headers[name].shape or headers[name].shape[0] != len(labels):
            problems.add(f"array '{name}' of {path.name}", f"{len(labels)} inputs, one for each class", headers[name])
    if not chosen or not len(labels):
        problems.add(f"file {path.name}", "inputs beside their classes", "none")
    problems.raise_if_any("the inputs do not fit their classes", InputError)

    def samples(wanted: Collection[int] | None) -> Iterator[Sample]:
        with input_arrays(path) as arrays:
            held = {name: arrays.read(name) for name in chosen}
        for index, label in enumerate(labels.tolist()):
            if wanted is None or index in wanted:
                rows = {name if len(held) > 1 else "": array[index] for name, array in held.items()}
                content: Content = rows[""] if len(pictured) == 1 else rows
                yield Sample(index, f"{path.name}[{index}]", label, content)

    span = int(labels.min()), int(labels.max())
    told_by = f"the array {stated}"
    return DataSet(path.name, len(labels), samples, told_by, len(pictured) == 1, class_names=names, span=span)


def _labels_name(path: Path, arrays: Arrays, headers: Mapping[str, Header]) -> str:
    name = labels_name(arrays)
    if name is None:
        there = next((f"'{name}' {headers[name]}" for name in NAMES if name in headers), "none")
        got = there if arrays.packed else "an array alone"
        hint = f"np.savez(FILE, x=pictures, {NAMES[0]}=classes) writes such a file."
        expected = f"an array {', '.join(NAMES[:-1])} or {NAMES[-1]} of integers (N,), the classes of the inputs"
        raise InputError("the inputs have no classes", [Problem(f"file {path.name}", expected, got, hint)])
    return name


def _is_names(header: Header | None) -> bool:
    return header is not None and header.dtype.kind == "U" and len(header.shape) == 1


def is_pixels(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
    """Return whether an array of this type and shape is a picture.

    >>> is_pixels(np.dtype(np.uint8), (32, 32, 3)), is_pixels(np.dtype(np.float32), (32, 32, 3))
    (True, False)
    """
    return dtype == np.uint8 and len(shape) == 3 and shape[-1] in (1, 3) and 0 not in shape


def pairs_data(pairs: Iterable[Any]) -> DataSet:
    """Return pairs of an input and its class as a data set; they are iterated over once, and never held together.

        pairs: of (input, class). An input is the path of a picture, the bytes of its file, its pixels as uint8 (height,
            width, 1 or 3), or an array as the model takes it, without the batch axis, or such arrays by input name. A
            class is an integer, or None where it is not known.

    >>> data = pairs_data([(np.zeros((2, 2, 3), np.uint8), 4)])
    >>> [(sample.name, sample.label) for sample in data.samples(None)]
    [('input 0', 4)]
    """
    held = pairs if isinstance(pairs, Collection) else None

    def samples(wanted: Collection[int] | None) -> Iterator[Sample]:
        for index, pair in enumerate(pairs):
            if wanted is None or index in wanted:
                yield _sample(index, pair)

    size = None if held is None else len(held)
    return DataSet(type(pairs).__name__, size, samples, "the pairs")


def _sample(index: int, pair: Any) -> Sample:
    try:
        given, stated = pair
        label = None if stated is None else operator.index(stated)
    except (TypeError, ValueError) as error:
        expected = "an input and its class, an integer or None"
        problem = Problem(f"item {index} of the data", expected, f"{type(pair).__name__}: {reason(error)}")
        raise InputError("the data are no pairs", [problem]) from error
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        name = path.name.encode("utf-8", "backslashreplace").decode("utf-8")
        try:
            return Sample(index, name, label, read_bytes(path, MAX_PICTURE_BYTES))
        except OSError as error:
            return Sample(index, name, label, reason(error))
    name = f"input {index}"
    if isinstance(given, bytes):
        return Sample(index, name, label, given)
    if isinstance(given, Mapping):
        return Sample(index, name, label, {str(key): np.asarray(array) for key, array in given.items()})
    array = np.asarray(given)
    return Sample(index, name, label, array if is_pixels(array.dtype, array.shape) else {"": array})
