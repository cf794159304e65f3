"""quality: which layer of an int8 network loses the accuracy of the float network?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdqnp.api.arguments import AnyModel, AnyPath, AnyProfile, name_of, opened, profile_with
from qdqnp.api.inputs import AnyInputs, AnyPreprocessing, inputs_of
from qdqnp.api.labelled import labelled_runs
from qdqnp.api.progress import LOG, Progress
from qdqnp.api.result import Result
from qdqnp.diagnosis.mapping import read_mapping
from qdqnp.errors import InputError, Problem
from qdqnp.inputs.runs import AllFeeds
from qdqnp.layer_quality.job import UNFUSED
from qdqnp.layer_quality.quality import MOST_GREEDY
from qdqnp.layer_quality.quality import quality as measured
from qdqnp.layer_quality.report import QualityReport
from qdqnp.quant import Array


@dataclass(frozen=True, repr=False, eq=False)
class QualityResult(Result):
    """What quantization costs, layer by layer."""

    #: Names of the two files.
    float_model: str
    int8_model: str
    #: The layers, the worst first.
    report: QualityReport

    columns = ("layer", "op", "tensor", "entire.sqnr", "single.sqnr", "own.sqnr", "saturated", "range_used")

    @property
    def exit_code(self) -> int:
        """Return 0, or 2 where nothing was measured."""
        return 0 if self.report.rows else 2

    def summary(self) -> str:
        return self.report.verdict()

    def document(self) -> dict[str, Any]:
        return {"float": self.float_model, "int8": self.int8_model, **self.report.as_json()}


def quality(
    float_model: AnyModel,
    int8_model: AnyModel,
    data: AnyInputs,
    *,
    labels: Iterable[Array | int] | AnyPath | None = None,
    class_names: Sequence[str] | None = None,
    class_offset: int | None = None,
    profile: AnyProfile = "ort",
    mapping: AnyPath | Mapping[str, str] | None = None,
    what_if: bool = False,
    greedy: int | None = None,
    preprocess: AnyPreprocessing | None = None,
    workers: int | None = 1,
    scheduler: str | None = None,
    executor: Executor | None = None,
    results: AnyPath | None = None,
    progress: Progress | None = None,
) -> QualityResult:
    """Measure what quantization costs, layer by layer, as `qdqnp quality` does.

        float_model: the float network: a path, bytes, an onnx.ModelProto, or what qdqnp.load returned.
        int8_model: the quantized network, likewise.
        data: inputs like those that the network is for: an array, arrays by name, a file, or several of these.
        labels: for each input the class, or the classes of its rows; or the label file of a folder of pictures. None
            takes those that .npz files have, and those that class folders or a label file tell, as `evaluate` does.
        class_names: the names of the classes of a folder, in order.
        class_offset: the class of the scores that is class 0 of labels in files.
        profile: the arithmetic of the int8 network.
        mapping: by tensor or layer of the int8 network, that of the float network: a file, or names by name.
        what_if: whether to make each layer float by itself, and to say what the outputs regain.
        greedy: how many layers to make float one after another, from 1 to 100; None for none.
        preprocess: what is done to pictures: a TOML file, its values by name, or a Preprocessing.
        workers: processes that compute; 1 is this one, None is one for each processor.
        scheduler: the address of a Dask cluster to compute on instead.
        executor: a concurrent.futures.Executor to compute in instead.
        results: a folder that keeps what is finished, from which an interrupted run goes on.
        progress: called with how many runs are done, and of how many.

    Raises ModelError where the networks do not fit each other, InputError for data that do not fit and a `greedy` out
    of its range.

    >>> import numpy as np
    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> x = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)
    >>> found = qdqnp.quality(shipped_model("dla46_c_float"), shipped_model("dla46_c_int8"), x)
    >>> found.report.inputs, len(found.rows())
    (1, 74)
    """
    if data is None:
        raise InputError("no data", [Problem("data", "inputs like those that the network is for", "none")])
    if greedy is not None and not 1 <= greedy <= MOST_GREEDY:
        problem = Problem("greedy", f"1 to {MOST_GREEDY} layers, or None", str(greedy))
        raise InputError("no such number of layers", [problem])
    real, codes = opened(float_model), opened(int8_model)
    given = inputs_of(data, None, 0, preprocess)
    stated, known = (labels, None) if isinstance(labels, str | os.PathLike) else (None, labels)
    found = labelled_runs(real.program(UNFUSED), given, stated, class_names, class_offset)
    if isinstance(mapping, Mapping) or mapping is None:
        names = dict(mapping or {})
    else:
        names = {key: mapped.entry for key, mapped in read_mapping(Path(mapping)).items()}
    LOG.info("measuring: %d inputs", len(found.runs))
    report = measured(
        real,
        codes,
        AllFeeds(found.runs),
        labels=found.labels if known is None else known,
        profile=profile_with(profile),
        mapping=names,
        what_if=what_if,
        greedy=greedy or 0,
        workers=workers,
        scheduler=scheduler,
        executor=executor,
        results=None if results is None else Path(results),
        advance=lambda done, total: None if progress is None else progress(done, total or None),
    )
    return QualityResult(name_of(float_model), name_of(int8_model), report)
