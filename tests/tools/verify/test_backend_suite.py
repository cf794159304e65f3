"""ONNX's own backend suite through `qdqnp.backend`, whole: what does not pass is listed, by reason."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qdqnp.backend import QdqnpBackend
from qdqnp.peers.ort.session import OFF, open_session
from tools.verify import backend_suite
from tools.verify.backend_suite import ALL, DIFFERS, PASSED, REFUSED, CaseOutcome

#: Cases of the newest release of which a list is kept.
LEAST_PASSED = {"1.21": 1349, "1.23": 1442}


@pytest.fixture(scope="module")
def outcomes() -> list[CaseOutcome]:
    return backend_suite.run_suite()


def test_every_case_is_as_the_list_says(outcomes: list[CaseOutcome]) -> None:
    release = backend_suite.release()
    listed = backend_suite.read_exclusions(release)
    known = {name for reasons in json.loads(backend_suite.EXCLUSIONS.read_text())[ALL].values() for name in reasons}
    wrong = backend_suite.unexpected(outcomes, listed)
    if release not in LEAST_PASSED:  # another release of onnx has other cases; those that the list knows still count
        wrong = [text for text in wrong if text.split()[0] in known or f" {DIFFERS}: " in text or " FAILED: " in text]
    assert not wrong, "\n".join(wrong)


def test_as_many_node_cases_pass_as_the_documents_say(outcomes: list[CaseOutcome]) -> None:
    passed = sum(outcome.verdict == PASSED for outcome in outcomes if outcome.kind == "node")
    assert passed >= LEAST_PASSED.get(backend_suite.release(), 1349)
    assert {outcome.kind for outcome in outcomes} == {"node", "pytorchconverted", "pytorchoperator", "real", "simple"}


class BesideOnnxRuntime(backend_suite.Answering):
    """Answers with ONNX Runtime's outputs, once qdqnp has the same."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Any:
        ours = QdqnpBackend.prepare(model, device)
        session = open_session(model.SerializeToString(), OFF, {})

        def run(inputs: list[np.ndarray]) -> tuple[np.ndarray, ...]:
            names = [item.name for item in session.get_inputs()]
            theirs = session.run(None, dict(zip(names, inputs, strict=True)))
            if not all(np.allclose(a, b, 1e-3, 1e-7) for a, b in zip(ours.run(inputs), theirs, strict=True)):
                raise ValueError("qdqnp does not do as ONNX Runtime does")
            return tuple(theirs)

        return SimpleNamespace(run=run)


def test_onnx_runtime_contradicts_the_data_of_the_cases_that_differ(outcomes: list[CaseOutcome]) -> None:
    differing = [outcome for outcome in outcomes if outcome.verdict == DIFFERS]
    named = "|".join(f"{outcome.name}_cpu$" for outcome in differing)
    assert differing and backend_suite.run_suite(named, BesideOnnxRuntime) == differing


def test_a_case_that_begins_to_pass_or_changes_its_reason_is_told() -> None:
    listed = {"test_a": ("this",), "test_b": ("this",), "test_c": ("this",)}
    found = backend_suite.unexpected(
        [
            CaseOutcome("test_a", "node", PASSED),
            CaseOutcome("test_b", "node", REFUSED, "that"),
            CaseOutcome("test_c", "node", REFUSED, "this"),
            CaseOutcome("test_d", "node", DIFFERS, "other"),
            CaseOutcome("test_e", "node", PASSED),
        ],
        listed,
    )
    assert found == [
        "test_a passes, and is listed: this",
        "test_b refused: that; listed: this",
        "test_d differs: other, and is not listed",
    ]


class Wrong(backend_suite.Answering):
    """Answers with one more than the right outputs."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Any:
        right = QdqnpBackend.prepare(model, device)
        return SimpleNamespace(run=lambda inputs: tuple(output + 1 for output in right.run(inputs)))


def test_a_wrong_result_is_seen_by_the_suite() -> None:
    assert [o.verdict for o in backend_suite.run_suite("test_relu_cpu")] == [PASSED]
    assert [o.verdict for o in backend_suite.run_suite("test_relu_cpu", Wrong)] == [DIFFERS]


def test_a_list_of_an_older_release_holds_what_is_its_own() -> None:
    document = {"newest": "1.23", ALL: {"this": ["test_a"]}, "only": {}}
    seen = [CaseOutcome("test_a", "node", REFUSED, "this"), CaseOutcome("test_b", "node", DIFFERS, "that")]
    older = backend_suite.exclusions_of(seen, "1.21", document)
    assert older == {**document, "only": {"1.21": {"that": ["test_b"]}}}
    newer = backend_suite.exclusions_of(seen, "1.30", document)
    assert newer == {"newest": "1.30", ALL: {"that": ["test_b"], "this": ["test_a"]}, "only": {}}
