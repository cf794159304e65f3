"""evaluate: how accurate is a model on labelled inputs, under several arithmetics at once?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdqnp.api.arguments import AnyPath
from qdqnp.api.inputs import AnyPreprocessing, preprocessing_of
from qdqnp.api.progress import LOG, Progress
from qdqnp.api.result import Result
from qdqnp.evaluation.evaluate import BATCH
from qdqnp.evaluation.evaluate import evaluate as evaluated
from qdqnp.evaluation.result import Evaluation


@dataclass(frozen=True, repr=False, eq=False)
class EvaluateResult(Result):
    """What is right, and what differs, in each column."""

    #: The columns, and what was not evaluated.
    report: Evaluation

    columns = ("name", "model", "arithmetic", "top1.share", "top5.share", "same_class.share", "same_bits.share")

    def summary(self) -> str:
        told = [f"{one.name} {100 * (one.share(one.top1) or 0):.2f} %" for one in self.report.columns]
        bad = f"; {len(self.report.bad)} inputs were not evaluated" if self.report.bad else ""
        return f"top-1 of {self.report.inputs} inputs of {self.report.data}: {', '.join(told)}{bad}"

    def document(self) -> dict[str, Any]:
        return {**self.report.as_json(), "speed": self.report.speed()}

    def items(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.document()["columns"]
        return found


def evaluate(
    models: object,
    data: object,
    *,
    preprocess: AnyPreprocessing | None = None,
    labels: AnyPath | None = None,
    class_names: Sequence[str] | None = None,
    class_offset: int | None = None,
    scores: str | None = None,
    host_float: bool = False,
    batch: int = BATCH,
    threads: int = 1,
    skip_bad: bool = False,
    workers: int | None = 1,
    scheduler: str | None = None,
    executor: Executor | None = None,
    results: AnyPath | None = None,
    progress: Progress | None = None,
) -> EvaluateResult:
    """Compute labelled inputs with one or more models and arithmetics, and count what is right and what differs.

        models: a path, bytes, an onnx.ModelProto, or what qdqnp.load returned; several of these; or by the name of a
            column a model, or a pair of a model and an arithmetic: a profile, or 'session' for ONNX Runtime.
        data: a folder of pictures, an .npz file with `y`, `label` or `labels`, or pairs of an input and its class.
        preprocess: what is done to pictures: a TOML file, its values by name, or a Preprocessing.
        labels: a file that says the class of each picture of a folder; None looks for one.
        class_names: the names of the classes, in order; None takes those that the data have.
        class_offset: the class of the scores that is class 0 of the labels.
        scores: the output that holds the scores; None finds it.
        host_float: whether what a profile does not define runs in float32.
        batch: inputs that are computed together where a model takes any number.
        threads: inputs that each worker computes at a time.
        skip_bad: whether inputs that cannot be evaluated are only listed.
        workers: processes that compute; 1 is this one, None is one for each processor.
        scheduler: the address of a Dask cluster to compute on instead.
        executor: a concurrent.futures.Executor to compute in instead.
        results: a folder that keeps what is finished, from which an interrupted run goes on.
        progress: called with how many inputs are done; how many there are is not known.

    Raises InputError for columns and data that are not valid, and, at the end, BadInputsError with the result where
    inputs could not be evaluated; ModelError and ProfileError.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import CIFAR10, pictures_path, shipped_model
    >>> columns = {"ort": shipped_model("dla46_c_int8"), "board": (shipped_model("dla46_c_int8"), "neural-art")}
    >>> qdqnp.evaluate(columns, pictures_path(), preprocess=CIFAR10)
    <EvaluateResult: top-1 of 40 inputs of cifar10_pictures.npz: ort 87.50 %, board 87.50 %>
    """
    LOG.info("evaluating")
    report = evaluated(
        models,
        data,
        preprocessing=preprocessing_of(preprocess),
        labels=labels,
        class_names=class_names,
        class_offset=class_offset,
        scores=scores,
        host_float=host_float,
        batch=batch,
        threads=threads,
        skip_bad=skip_bad,
        workers=workers,
        scheduler=scheduler,
        executor=executor,
        results=None if results is None else Path(results),
        notify=None if progress is None else lambda counts: progress(counts.inputs, None),
    )
    return EvaluateResult(report)
