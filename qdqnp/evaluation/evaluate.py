"""Evaluate models on labelled inputs, in several columns at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.engine.job import Workplace
from qdqnp.engine.run import each_shard
from qdqnp.errors import InputError, Problem, Problems
from qdqnp.evaluation.arrays import npz_data, pairs_data
from qdqnp.evaluation.columns import OpenColumn, columns_of, open_columns
from qdqnp.evaluation.counts import Counts, no_counts
from qdqnp.evaluation.folders import folder_data
from qdqnp.evaluation.job import EvaluationJob, shards_of
from qdqnp.evaluation.libraries import libraries_of
from qdqnp.evaluation.result import BadInputsError, ColumnResult, Evaluation, top5_of
from qdqnp.evaluation.sample import DataSet
from qdqnp.files.paths import FILE, FOLDER, kind_of
from qdqnp.inputs.pictures import Preprocessing, is_picture
from qdqnp.version import __version__

#: Inputs that are computed together where a model takes any number, and batches of a shard.
BATCH, BATCHES_A_SHARD = 16, 2
#: The scores of networks that count a background as class 0, before these classes of ImageNet.
_IMAGENET = 1000

#: Called with what is counted so far.
Notify = Callable[[Counts], None]


class EvaluationOptions(Workplace, total=False):
    """Keyword arguments of `evaluate` that functions pass on to it: what the classes are, and where it is computed."""

    #: A file that says the class of each picture of a folder.
    labels: str | os.PathLike[str] | None
    #: The names of the classes, in order.
    class_names: Sequence[str] | None
    #: The class of the scores that is class 0 of the labels.
    class_offset: int | None
    #: The output that holds the scores.
    scores: str | None
    #: Inputs that are computed together where a model takes any number.
    batch: int
    #: Inputs that each worker computes at a time.
    threads: int
    #: Whether inputs that cannot be evaluated are only listed.
    skip_bad: bool


def data_of(given: object, labels: Path | None = None, class_names: Sequence[str] | None = None) -> DataSet:
    """Return the data set that a caller of `evaluate` names: a folder, an .npz file, pairs, or a DataSet.

        given: the path, pairs of an input and its class (see `pairs_data`), or a DataSet.
        labels: the label file of a folder; None finds it.
        class_names: the names of the classes, in order.

    Raises InputError for what is none of these, and what does not go together.

    >>> from qdqnp.inputs.shipped import pictures_path
    >>> data_of(pictures_path()).size
    40
    """
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        if kind_of(path) == FOLDER:
            return folder_data(path, labels, class_names)
        if kind_of(path) != FILE or is_picture(path):
            got = "nothing there" if not kind_of(path) else "a picture" if kind_of(path) == FILE else "no file"
            expected = "a folder of pictures with their classes, or an .npz file of inputs and classes"
            raise InputError("no data", [Problem(f"data {path}", expected, got)])
        if labels is not None:
            problem = Problem("labels", "none beside a file of arrays, which has its own", str(labels))
            raise InputError("labels that nothing has", [problem])
        return npz_data(path)
    if isinstance(given, DataSet):
        return given
    if isinstance(given, Iterable):
        return pairs_data(given)
    expected = "a folder, an .npz file, or pairs of an input and its class"
    raise InputError("no data", [Problem("data", expected, type(given).__name__)])


def evaluate(
    models: object,
    data: object,
    *,
    preprocessing: Preprocessing | None = None,
    labels: str | os.PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    class_offset: int | None = None,
    scores: str | None = None,
    host_float: bool = False,
    batch: int = BATCH,
    threads: int = 1,
    skip_bad: bool = False,
    workers: int | None = 1,
    scheduler: str | None = None,
    results: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    notify: Notify | None = None,
) -> Evaluation:
    """Compute labelled inputs with one or more models and arithmetics, and count what is right and what differs.

        models: a path, bytes, an onnx.ModelProto or a Model; a sequence of these or of ModelColumns; or a mapping of
            column names to models, or to pairs of a model and an arithmetic: a profile, or 'session' for ONNX Runtime.
        data: a folder of pictures, an .npz file with `y`, `label` or `labels`, or any iterable of pairs of an input and
            its class.
        preprocessing: what is done to pictures; None leaves them at 0 to 255.
        labels: a file that says the class of each picture of a folder; None looks for one.
        class_names: the names of the classes, in order; None takes those that the data have.
        class_offset: the class of the scores that is class 0 of the labels; None is 0, but 1 where scores have 1,001
            classes and the labels the 1,000 of ImageNet.
        scores: the output that holds the scores, (N, classes); None finds it.
        host_float: whether what a profile does not define runs in float32, as on a host.
        batch: inputs that are computed together where a model takes any number.
        threads: how many inputs each worker computes at a time.
        skip_bad: whether inputs that cannot be evaluated are only listed.
        workers: processes on this machine, None for as many as there are processors; 1 is this process.
        scheduler: the address of a Dask scheduler, instead of processes.
        results: a folder that keeps what is finished.
        executor: who computes, where the caller has an executor.
        notify: called with what is counted so far, now and then.

    Raises InputError for columns and data that are not valid, and, at the end, BadInputsError with the result where
    inputs could not be evaluated; what a model raises for an input, and what the engine raises.

    >>> from qdqnp.inputs.shipped import CIFAR10, pictures_path, shipped_model
    >>> model = shipped_model("dla46_c_int8")
    >>> columns = {"ort": model, "board": (model, "neural-art")}
    >>> found = evaluate(columns, pictures_path(), preprocessing=CIFAR10)
    >>> [(column.name, column.top1, column.same_class, column.same_bits) for column in found.columns]
    [('ort', 35, 40, 40), ('board', 35, 40, 0)]
    """
    began = time.perf_counter()
    _check(batch, class_offset)
    given = data_of(data, None if labels is None else Path(labels), class_names)
    columns, held = open_columns(columns_of(models), preprocessing, given.pictures, scores, host_float)
    names = class_names if class_names is not None else given.class_names
    offset, notes = offset_of([column.scores.classes for column in columns], names, given.span, class_offset)
    classes = _classes(columns, names, offset)
    if any(column.preprocessing is not None and _unscaled(column.preprocessing) for column in columns):
        notes.append("pictures are passed as 0 to 255, unscaled")
    counts = no_counts(len(columns))

    def progress(_: object, partial: dict[str, Any]) -> None:
        counts.add(partial)
        if notify is not None:
            notify(counts)

    libraries = libraries_of(columns)
    job = EvaluationJob(tuple(columns), held, offset, batch, threads, tuple(libraries.items()))
    for _ in each_shard(
        job,
        shards_of(given, batch * BATCHES_A_SHARD),
        executor=executor,
        workers=workers,
        scheduler=scheduler,
        results=None if results is None else Path(results),
        progress=progress,
    ):
        pass
    versions = {"qdqnp": __version__, "numpy": np.__version__, **libraries}
    seconds = time.perf_counter() - began
    made = _result(given, columns, counts, names, classes, offset, batch, notes, versions, seconds)
    if made.bad and not skip_bad:
        raise BadInputsError(made)
    if not made.inputs:
        raise InputError("nothing was evaluated", [Problem(given.name, "inputs", f"{len(made.bad)} that are bad")])
    return made


def _check(batch: int, class_offset: int | None) -> None:
    problems = Problems()
    if batch < 1:
        problems.add("batch", "1 or more", batch)
    if class_offset is not None and class_offset < 0:
        problems.add("class_offset", "0 or more", class_offset)
    problems.raise_if_any("the evaluation cannot be done so", InputError)


def _unscaled(settings: Preprocessing) -> bool:
    return settings.dtype == "float32" and not settings.scales


def offset_of(
    sizes: Iterable[int], names: Sequence[str] | None, span: tuple[int, int] | None, stated: int | None
) -> tuple[int, list[str]]:
    """Return the class of the scores that is class 0 of the labels, and what is to be said of it.

        sizes: how many classes scores have.
        names: the names of the classes of the labels; None where there are none.
        span: the smallest and the largest label; None where they are not known.
        stated: what the user says; None where nothing is said.

    Raises InputError where it is not clear.

    >>> offset_of([10], None, (0, 9), None), offset_of([1001], None, (0, 999), None)[0]
    ((0, []), 1)
    """
    if stated is not None:
        return stated, [f"class 0 of the labels is class {stated} of the scores, as stated"] if stated else []
    if set(sizes) != {_IMAGENET + 1}:
        return 0, []
    if (names is not None and len(names) == _IMAGENET) or span == (0, _IMAGENET - 1):
        return 1, ["the scores have 1001 classes and the labels 1000: class 0 of the scores is taken for a background"]
    if (names is not None and len(names) == _IMAGENET + 1) or (span is not None and span[1] == _IMAGENET):
        return 0, []
    hint = "State it: --class-offset 1 if class 0 is a background that no label counts, else --class-offset 0."
    got = "unknown" if span is None else f"{span[0]} to {span[1]}"
    problem = Problem("scores of 1001 classes", "labels that show whether class 0 is a background", got, hint)
    raise InputError("the class of a label is not clear", [problem])


def _classes(columns: Sequence[OpenColumn], names: Sequence[str] | None, offset: int) -> int:
    """Return the number of classes. Raises InputError where columns, or the class names, have another one."""
    problems = Problems()
    first = columns[0].scores.classes
    for column in columns:
        here = column.scores.classes
        where = f"column '{column.name}', output '{column.scores.name}'"
        if here != first:
            problems.add(where, f"{first} classes, as column '{columns[0].name}'", here)
        elif here <= offset:
            problems.add(where, f"more classes than the offset, {offset}", here)
        elif names is not None and len(names) != here - offset:
            hint = "Class folders in the order of their names are all classes; a part of them needs --class-names."
            problems.add(where, f"{len(names) + offset} classes, for {len(names)} class names", here, hint)
    problems.raise_if_any("the classes do not fit", InputError)
    return first - offset


def _result(
    data: DataSet,
    columns: Sequence[OpenColumn],
    counts: Counts,
    names: Sequence[str] | None,
    classes: int,
    offset: int,
    batch: int,
    notes: Sequence[str],
    versions: Mapping[str, str],
    seconds: float,
) -> Evaluation:
    made = []
    for column, counted in zip(columns, counts.columns, strict=True):
        cells = [(label, here, count) for (label, here), count in counted.confusion.items()]
        made.append(
            ColumnResult(
                name=column.name,
                model=column.model,
                sha256=column.key,
                arithmetic=column.arithmetic,
                preprocessing=None if column.preprocessing is None else asdict(column.preprocessing),
                scores=column.scores.name,
                inputs=counts.inputs,
                top1=counted.top1,
                top5=top5_of(counted.top5, classes),
                same_class=counted.same_class,
                same_bits=counted.same_bits,
                flips=tuple(sorted(counted.flips, key=lambda flip: flip.index)),
                confusion=tuple(sorted(cells, key=lambda cell: (cell[0], cell[1] is None, cell[1] or 0))),
                seconds=counted.seconds,
            )
        )
    return Evaluation(
        data=data.name,
        told_by=data.told_by,
        inputs=counts.inputs,
        classes=classes,
        class_names=None if names is None else tuple(names),
        class_offset=offset,
        batch=batch,
        columns=tuple(made),
        bad=tuple(sorted([*data.bad, *counts.bad])),
        remarks=tuple(sorted([*data.remarks, *counts.remarks])),
        notes=tuple(notes),
        versions=versions,
        seconds=seconds,
    )
