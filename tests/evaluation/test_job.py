"""What identifies an evaluation's work, and its inputs: where anything of it differs, nothing kept may be taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdqnp.evaluation.arrays import npz_data, pairs_data
from qdqnp.evaluation.columns import ModelColumn, open_columns
from qdqnp.evaluation.job import EvaluationJob, shards_of
from qdqnp.inputs.pictures import Preprocessing
from qdqnp.numerics.profile_toml import from_toml
from tests.evaluation.kit import COLOURS, network, picture

X = np.arange(48, dtype=np.float32).reshape(3, 4, 4)


def job(**changes: Any) -> EvaluationJob:
    columns, models = open_columns(
        [ModelColumn("a", network(), "tflite")], Preprocessing(divisor=8), True, host_float=True
    )
    (column,) = columns
    of_column = {key: changes.pop(key) for key in list(changes) if hasattr(column, key) and key != "batch"}
    return replace(EvaluationJob((replace(column, **of_column),), models, 0, 16), **changes)


CHANGES: list[dict[str, Any]] = [
    {"key": "another model"},
    {"profile": from_toml('base = "tflite"\nconv.precision = "float32"', "mine")},
    {"profile": None},
    {"arithmetic": "onnxruntime 0.1"},
    {"preprocessing": Preprocessing(divisor=4)},
    {"preprocessing": None},
    {"offset": 1},
    {"batch": 8},
    {"libraries": (("pillow", "0.1"),)},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_whatever_changes_a_result_changes_the_identity(change: dict[str, Any]) -> None:
    assert job(**change).identity() != job().identity()


def test_the_output_of_the_scores_and_the_order_of_columns_are_part_of_it() -> None:
    scores = replace(job().columns[0].scores, name="other")
    assert job(scores=scores).identity() != job().identity()
    models = [ModelColumn("a", network()), ModelColumn("b", network(COLOURS[::-1]))]
    columns, held = open_columns(models, None, True)
    first, second = (EvaluationJob(tuple(ordered), held, 0, 1) for ordered in (columns, columns[::-1]))
    assert first.identity() != second.identity()


def test_names_of_columns_and_threads_change_nothing() -> None:
    assert job(name="b").identity() == job(threads=7).identity() == job().identity()


def keys(pairs: Sequence[Any], size: int = 4) -> list[str]:
    return [shard.key for shard in shards_of(pairs_data(pairs), size)]


@pytest.mark.parametrize(
    "other",
    [
        [(X, 1)],
        [(X, None)],
        [(X.view(np.int32), 0)],
        [(X.reshape(3, 2, 8), 0)],
        [(np.negative(X), 0)],
        [({"x": X}, 0)],
        [(X.tobytes(), 0)],
        [(X, 0), (X, 0)],
    ],
    ids=["label", "no label", "dtype", "shape", "values", "name", "bytes", "two"],
)
def test_whatever_an_input_is_changes_the_key_of_its_shard(other: Sequence[Any]) -> None:
    assert keys(other) != keys([(X, 0)]) == keys([(X.copy(), 0)])


def test_the_place_and_the_name_of_an_input_are_part_of_the_key(tmp_path: Path) -> None:
    first, second = keys([(X, 0), (X, 0)], 1)
    assert first != second
    for name in ("d.npz", "e.npz"):
        np.savez(tmp_path / name, x=[picture(0)], y=[0])
    one, other = (next(shards_of(npz_data(tmp_path / name), 4)).key for name in ("d.npz", "e.npz"))
    assert one != other
