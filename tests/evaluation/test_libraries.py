"""Workers need the releases of Pillow and onnxruntime that the evaluation began with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import PIL
import pytest

from qdqnp.engine import Shard, key_of, run_shards
from qdqnp.errors import EngineError
from qdqnp.evaluation.columns import columns_of, open_columns
from qdqnp.evaluation.evaluate import evaluate
from qdqnp.evaluation.job import EvaluationJob
from qdqnp.evaluation.libraries import libraries_of
from tests.evaluation.kit import network, pictures

PILLOW, ORT = ("pillow", PIL.__version__), ("onnxruntime", onnxruntime.__version__)


def job(libraries: tuple[tuple[str, str], ...]) -> EvaluationJob:
    columns, models = open_columns(columns_of({"a": (network(), "session")}), None, True)
    assert libraries_of(columns) == dict((PILLOW, ORT))
    return EvaluationJob(tuple(columns), models, 0, 1, 1, libraries)


def test_what_is_not_used_does_not_count() -> None:
    columns, _ = open_columns(columns_of(network()), None, False)
    assert columns[0].preprocessing is not None or libraries_of(columns) == {}
    assert libraries_of([replace(columns[0], preprocessing=None)]) == {}


def test_the_result_has_their_releases(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=pictures([0]), y=[0])
    found = evaluate({"a": network(), "b": (network(), "session")}, tmp_path / "d.npz")
    assert list(found.versions) == ["qdqnp", "numpy", "pillow", "onnxruntime"]
    assert found.versions["onnxruntime"] == onnxruntime.__version__


@pytest.mark.parametrize("other", [(PILLOW, ("onnxruntime", "0.1")), (("pillow", "0.1"), ORT)])
def test_a_worker_with_others_is_refused_with_both_named(other: tuple[tuple[str, str], ...]) -> None:
    shards = [Shard(0, [], key_of("nothing"))]
    assert run_shards(job((PILLOW, ORT)), shards, workers=1)[0]["inputs"] == 0
    with pytest.raises(EngineError) as caught:
        run_shards(job(other), shards, workers=1)
    name, stated = next(pair for pair in other if pair not in (PILLOW, ORT))
    assert f"expected {name} {stated}, as here, got {name} {dict((PILLOW, ORT))[name]}" in str(caught.value)


def test_results_of_others_are_not_taken() -> None:
    assert job((PILLOW, ORT)).identity() != job((PILLOW, ("onnxruntime", "0.1"))).identity()
