"""The work of an evaluation as a job of the engine: some inputs are decoded once, computed in every column, counted."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from qdqnp.engine.job import Blobs, Shard, key_of
from qdqnp.errors import QdqnpError
from qdqnp.evaluation.columns import OpenColumn
from qdqnp.evaluation.counts import Counts, no_counts
from qdqnp.evaluation.feeds import Feeder, MisfitError, decoded
from qdqnp.evaluation.libraries import check_libraries
from qdqnp.evaluation.sample import (
    DAMAGED,
    MISFIT,
    NO_LABEL,
    OUT_OF_RANGE,
    UNREADABLE,
    BadInput,
    DataSet,
    Remark,
    Sample,
)
from qdqnp.executor.threads import each
from qdqnp.model import Model, load
from qdqnp.numerics.profile_writer import to_document
from qdqnp.peers.ort.users import UserSession
from qdqnp.quant import Array

Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class EvaluationJob:
    """Computes inputs in every column, and counts."""

    #: The columns; the others are compared with the first.
    columns: tuple[OpenColumn, ...]
    #: The models' bytes by their sha256.
    models: Blobs
    #: The class of the scores that is class 0 of the labels.
    offset: int
    #: How many inputs are computed together where the model takes any number: neighbours in the data set, however it is
    #: split.
    batch: int
    #: Threads in each worker.
    threads: int = 1
    #: Releases of the libraries that a worker must have, by name.
    libraries: tuple[tuple[str, str], ...] = ()

    def identity(self) -> Mapping[str, Any]:
        columns = [
            {
                "model": column.key,
                "profile": None if column.profile is None else to_document(column.profile),
                "arithmetic": column.arithmetic,
                "preprocessing": None if column.preprocessing is None else asdict(column.preprocessing),
                "scores": column.scores.name,
            }
            for column in self.columns
        ]
        settings = {"offset": self.offset, "batch": self.batch, "libraries": dict(self.libraries)}
        return {"what": "evaluation", "columns": columns, **settings}

    def blobs(self) -> Mapping[str, bytes]:
        return self.models

    def prepare(self, blobs: Mapping[str, bytes]) -> Callable[[Sequence[Sample]], dict[str, Any]]:
        check_libraries(dict(self.libraries), self.columns)
        models = {key: load(data) for key, data in blobs.items()}
        runners = [_Runner(column, models[column.key], blobs[column.key], self.threads) for column in self.columns]
        return _Evaluator(self, runners)


def shards_of(data: DataSet, size: int) -> Iterator[Shard]:
    """Yield the inputs, so many together; the files are read when it is their turn."""
    for number, group in groupby(data.samples(None), lambda sample: sample.index // size):
        samples = list(group)
        yield Shard(number, samples, key_of([[s.index, s.name, s.label, _digest(s)] for s in samples]))


def _digest(sample: Sample) -> str:
    """Return the sha256 of what the model is fed."""
    found = hashlib.sha256()
    content = sample.content
    if isinstance(content, str):
        found.update(content.encode())
    elif isinstance(content, bytes):
        found.update(content)
    else:
        for name, array in (content if isinstance(content, Mapping) else {"": content}).items():
            found.update(repr((name, array.dtype.str, array.shape)).encode())
            found.update(np.ascontiguousarray(array).tobytes())
    return f"{type(content).__name__} {found.hexdigest()}"


class _Runner:
    """One column in a worker."""

    def __init__(self, column: OpenColumn, model: Model, data: bytes, threads: int) -> None:
        self.column, self._model, self._threads = column, model, threads
        program = model.program(column.profile or "ort")
        self.feeder = Feeder(program, column.preprocessing)
        self._session = UserSession(data, column.session, threads) if column.session else None
        self._lock = threading.Lock()  # a session answers one question at a time

    def scores(self, feeds: Sequence[Feeds]) -> Array:
        """Return the scores of inputs that may be computed together, (N, classes)."""
        size = self.column.batch or len(feeds)
        if len({array.shape for one in feeds for array in one.values()}) > len(feeds[0]):
            size = self.column.batch or 1  # of different sizes
        parts = [feeds[start : start + size] for start in range(0, len(feeds), size)]
        if self._session is not None:
            with self._lock:
                return np.concatenate([self._compute(part, self._threads) for part in parts])
        # threads have runs of their own, or share one: each of them does not have others in turn
        runs, in_each = (self._threads, 1) if len(parts) > 1 else (1, self._threads)
        return np.concatenate(list(each(partial(self._compute, threads=in_each), parts, runs)))

    def _compute(self, part: Sequence[Feeds], threads: int) -> Array:
        filled = [*part, *[part[-1]] * (self.column.batch - len(part))]  # the last run of a fixed batch
        joined = {name: np.concatenate([one[name] for one in filled]) for name in part[0]}
        wanted, profile = self.column.scores, self.column.profile
        if self._session is not None:
            made = self._session.outputs([wanted.name], joined)
        else:
            assert profile is not None
            made = self._model.run(joined, profile=profile, threads=threads)
        return wanted.rows(made[wanted.name], len(part))


class _LeftOutError(Exception):
    """An input cannot be evaluated."""

    def __init__(self, kind: str, why: str) -> None:
        self.kind, self.why = kind, why


class _Evaluator:
    """Computes and counts some inputs."""

    def __init__(self, job: EvaluationJob, runners: Sequence[_Runner]) -> None:
        self._job, self._runners = job, runners
        #: The labels that the scores of every column have a class for.
        self._known = range(min(runner.column.scores.classes for runner in runners) - job.offset)

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        counts = no_counts(len(self._runners))
        for _, group in groupby(samples, lambda sample: sample.index // self._job.batch):
            kept: list[Sample] = []
            made: list[list[Feeds]] = []
            for sample in group:
                try:
                    feeds, notes = self._made(sample)
                except _LeftOutError as error:
                    counts.bad.append(BadInput(sample.index, sample.name, error.kind, error.why))
                    continue
                counts.remarks += [Remark(sample.index, sample.name, note) for note in notes]
                kept.append(sample)
                made.append(feeds)
            if kept:
                self._count(kept, made, counts)
        return counts.as_json()

    def _made(self, sample: Sample) -> tuple[list[Feeds], tuple[str, ...]]:
        """Return what each column is fed of an input, and what is to be said of it."""
        if isinstance(sample.content, str):
            raise _LeftOutError(UNREADABLE, sample.content)
        if sample.label is None:
            raise _LeftOutError(NO_LABEL, "nothing says its class")
        if sample.label not in self._known:
            raise _LeftOutError(OUT_OF_RANGE, f"class {sample.label}, where classes are 0 to {self._known[-1]}")
        try:
            content, notes = decoded(sample.content)
        except ValueError as error:
            raise _LeftOutError(DAMAGED, str(error)) from error
        made: dict[Any, Feeds] = {}
        for runner in self._runners:
            if runner.feeder.key not in made:
                try:
                    made[runner.feeder.key] = runner.feeder.feeds(sample.name, content)
                except MisfitError as error:
                    raise _LeftOutError(MISFIT, f"column '{runner.column.name}': {error}") from error
        return [made[runner.feeder.key] for runner in self._runners], notes

    def _count(self, samples: Sequence[Sample], made: Sequence[Sequence[Feeds]], counts: Counts) -> None:
        names = [(sample.index, sample.name) for sample in samples]
        labels = [sample.label for sample in samples if sample.label is not None]
        first: Array | None = None
        for number, (runner, column) in enumerate(zip(self._runners, counts.columns, strict=True)):
            began = time.perf_counter()
            try:
                scores = runner.scores([one[number] for one in made])
            except QdqnpError as error:
                raise error.within(f"column '{runner.column.name}', inputs {names[0][1]} to {names[-1][1]}") from error
            column.seconds += time.perf_counter() - began
            first = scores if first is None else first
            column.count(names, labels, scores, first, self._job.offset)
        counts.inputs += len(samples)
