"""Inputs with the classes that they have: those of a folder as `evaluate` reads it, or those of .npz files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from qdqnp.api.arguments import AnyPath
from qdqnp.api.inputs import UNSCALED, Inputs, is_golden_set
from qdqnp.errors import InputError, Problem, Problems, printable
from qdqnp.evaluation.evaluate import offset_of
from qdqnp.evaluation.folders import FolderPictures, folder_pictures
from qdqnp.evaluation.sample import NO_LABEL
from qdqnp.files.paths import FOLDER, kind_of
from qdqnp.inputs.labels import labels_of
from qdqnp.inputs.pictures import Picture
from qdqnp.inputs.runs import Run, picture_runs
from qdqnp.layer_quality.outputs import classes_of
from qdqnp.program import Program
from qdqnp.quant import Array

#: Is told how many inputs were read, and how many there are.
Advance: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class LabelledRuns:
    """Runs of a model, and the classes of their inputs."""

    #: The runs.
    runs: Sequence[Run]
    #: The classes of the inputs of each run, as the model's scores count them; None where the inputs have none.
    labels: Sequence[Array] | None


def labelled_runs(
    program: Program,
    inputs: Inputs,
    labels: AnyPath | None = None,
    class_names: Sequence[str] | None = None,
    class_offset: int | None = None,
    advance: Advance = lambda done, total: None,
) -> LabelledRuns:
    """Return the runs of what was given, each of which can be read, with their classes where they have some.

        program: the model.
        inputs: what was given. One folder with class folders in it, or with a label file, has classes, as `evaluate`
            has it; so have .npz files with integers named y, label or labels.
        labels: the label file of a folder; None finds it.
        class_names: the names of the classes, in order.
        class_offset: the class of the scores that is class 0 of the labels; None is 0, but 1 where ImageNet's classes
            have a background before them.
        advance: told while the inputs are read once, to see that they can be.

    Raises InputError that lists all inputs that cannot be read, have no class, or one that the scores do not have.
    """
    folder = inputs.files[0] if len(inputs.files) == 1 and not inputs.arrays else None
    pictured = None
    if folder is not None and kind_of(folder) == FOLDER and not is_golden_set(folder):
        pictured = folder_pictures(folder, None if labels is None else Path(labels), class_names)
    if pictured is None and (labels is not None or class_names is not None):
        got = ", ".join(map(str, inputs.files)) or "arrays"
        raise InputError("labels that nothing has", [Problem("data", "one folder of pictures", got)])
    runs: Sequence[Run]
    known: Sequence[Array] | None
    problems = Problems()
    if pictured is not None:
        runs, known = _runs_of_folder(program, pictured, inputs, problems)
    else:
        runs = inputs.runs(program)
        known = labels_of(inputs.files, runs) if inputs.files and not inputs.arrays else None
    _check_readable(runs, advance, problems)
    size = classes_of(program)
    if known is None or size is None:
        problems.raise_if_any(_title(problems), InputError)
        return LabelledRuns(runs, known)
    every = np.concatenate(known) if known else np.zeros(0, np.int64)
    span = (int(every.min()), int(every.max())) if every.size else None
    names = None if pictured is None else pictured.class_names
    offset, said = offset_of([size], names, span, class_offset)
    for text in said:
        inputs.note(text)
    if names is not None and len(names) != size - offset:
        hint = "Class folders in the order of their names are all classes; a part of them needs --class-names."
        problem = Problem("classes", f"{size - offset}, as the model's scores have", str(len(names)), hint)
        raise InputError("the classes do not fit", [problem])
    _check_classes(runs, known, size - offset, problems)
    problems.raise_if_any(_title(problems), InputError)
    return LabelledRuns(runs, [one.astype(np.int64) + offset for one in known])


def _runs_of_folder(
    program: Program, found: FolderPictures, inputs: Inputs, problems: Problems
) -> tuple[list[Run], list[Array]]:
    for one in found.bad:
        problems.add(f"'{printable(one.name)}'", "a picture with a class", f"{one.kind}: {one.why}")
    for name in found.names:
        if name not in found.labels:
            problems.add(f"'{printable(name)}'", "a picture with a class", NO_LABEL)
    pictures = [Picture(printable(name), found.path / name) for name in found.names]
    runs = picture_runs(program, pictures, inputs.pictures)
    if any(run.unscaled for run in runs):
        inputs.note(UNSCALED)
    for text, ones in _by_text(found).items():
        inputs.note(f"{len(ones)} x {text}: {', '.join(ones[:3])}{' ...' if len(ones) > 3 else ''}")
    names = iter(found.names)
    return runs, [np.array([found.labels.get(next(names), 0) for _ in run.names], np.int64) for run in runs]


def _title(problems: Problems) -> str:
    return f"{problems.count} of the inputs cannot be measured"


def _by_text(found: FolderPictures) -> Mapping[str, list[str]]:
    by_text: dict[str, list[str]] = {}
    for remark in found.remarks:
        by_text.setdefault(remark.text, []).append(remark.name)
    return by_text


def _check_readable(runs: Sequence[Run], advance: Advance, problems: Problems) -> None:
    """Read all inputs once: what is found only after hours would be found too late."""
    for number, run in enumerate(runs, 1):
        try:
            run.feeds()
        except InputError as error:
            for problem in error.problems:
                problems.note(problem.where, problem.expected, problem.got, problem.hint)
        advance(number, len(runs))


def _check_classes(runs: Sequence[Run], labels: Sequence[Array], classes: int, problems: Problems) -> None:
    for run, here in zip(runs, labels, strict=True):
        for name, label in zip(run.names, here.tolist(), strict=True):
            if not 0 <= label < classes:
                problems.add(f"'{printable(os.fspath(name))}'", f"a class from 0 to {classes - 1}", label)
