"""The tables of docs/conformance.md: reasons, rows, and tickets that ONNX Runtime and qdqnp answer as expected."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.conformance.make import make
from qdqnp.conformance.table import LAYERS
from qdqnp.conformance.verdict import CLASSES
from qdqnp.peers.runtimes.names import RUNTIMES
from tools.verify.conformance_table import (
    REASONS,
    TICKETS,
    differences,
    kept,
    own_summary,
    reason_of,
    refusals,
    section,
    summary,
    why_refused,
)


def test_reasons_name_runtimes_operators_and_classes_that_there_are() -> None:
    for runtime, op, form, kind, why in REASONS:
        assert runtime in ("", *RUNTIMES) and op in ("", *LAYERS) and form in ("", "integer", "qdq")
        assert kind in CLASSES and why
    assert reason_of("tract", "QuantizeLinear", "integer", "saturation").endswith("(ticket)")
    assert reason_of("qdqnp", "MaxPool", "integer", "specification") == "not explained"


@pytest.mark.parametrize("ticket", TICKETS, ids=lambda ticket: ticket.name)
def test_what_tickets_expect_is_what_onnxruntime_and_qdqnp_give(ticket: object) -> None:
    ort = pytest.importorskip("onnxruntime")
    model = ticket.build()  # type: ignore[attr-defined]
    onnx.checker.check_model(model)
    data, expected = model.SerializeToString(), ticket.expected  # type: ignore[attr-defined]
    feeds = dict(ticket.inputs)  # type: ignore[attr-defined]
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, feeds)[0], expected)
    assert np.array_equal(qdqnp.load(data).run(feeds)["y"], expected)
    assert set(ticket.runtimes) <= set(RUNTIMES)  # type: ignore[attr-defined]


def test_rows(tmp_path: Path) -> None:
    cases = [
        {"case": "ort/MaxPool/a", "form": "qdq", "verdict": "wrong", "kind": "rounding", "as_profile": "exact"},
        {"case": "ort/QGemm/b", "form": "integer", "verdict": "refused", "told": "TractError: Unimplemented(QGemm) x"},
    ]
    one = {"runtime": "reference", "version": "onnx 1", "counts": {"right": 3, "wrong": 1, "refused": 1, "failed": 0}}
    score = {**one, "classes": {"rounding": 1}, "cases": cases}
    assert summary([score])[-1] == "| `reference` | onnx 1 | 3 | 1 | 1 | 0 | rounding 1 |"
    assert "| MaxPool | qdq | rounding | 1 | `exact` |" in differences([score])[-1]
    twin = {**score, "runtime": "reference-default"}
    assert len(differences([score, twin])) == len(differences([score])) == 3
    more = {**twin, "cases": [*cases, {**cases[0], "case": "ort/MaxPool/c"}]}
    assert "| `reference-default` | MaxPool | qdq | rounding | 2 |" in differences([score, more])[-1]
    assert refusals([score])[-1] == "| `reference` | 1 | it does not have the operator | QGemm (integer) 1 |"
    assert why_refused("some other text") == "not explained"


def test_scores_that_are_there_are_kept_while_the_pack_is_the_same(tmp_path: Path) -> None:
    pack, folder = tmp_path / "pack", tmp_path / "scores"
    make(pack, operators=["Flatten"], limit=2)
    first = kept(pack, folder, "qdqnp", "ort", None)
    assert first["counts"] == {"right": 2, "wrong": 0, "refused": 0, "failed": 0}
    (path,) = folder.iterdir()
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "score": "as it was"}))
    assert kept(pack, folder, "qdqnp", "ort", None) == "as it was"
    make(tmp_path / "other", operators=["Flatten"], limit=1)
    assert kept(tmp_path / "other", folder, "qdqnp", "ort", None)["counts"]["right"] == 1
    row = own_summary([first])[-1]
    assert row == "| `ort` | 2 | 2 | 0 | 0 | 0 |"
    text = section([first], [first], ["| ticket |"])
    assert text.startswith("2 cases under `ort`") and row in text and text.endswith("| ticket |")
