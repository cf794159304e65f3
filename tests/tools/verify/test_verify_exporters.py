"""The table of the exporters' zoo: what is equal, refused and wrong is said, and a wrong layer is found."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import qdqnp
from qdqnp.executor.plan import BoundStep
from tools.models.make_exporters import made
from tools.verify import verify_exporters
from tools.verify.verify_exporters import EQUAL, PEER_REFUSES, REFUSED, WRONG, Outcome, differing_layers, main, summary


def test_a_session() -> None:
    words = ["--network", "mlp", "--style", "quantizer_qdq", "--profile", "ort", "--each"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "mlp_quantizer_qdq            ort                equal" in result.output
    assert "| `ort` | 1 | 0 | 0 | 0 | 0 |" in result.output


def test_a_layer_whose_fast_form_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, proto),) = made(("mlp",), ("quantizer_qdq",))
    model = qdqnp.load(proto)
    assert differing_layers(model, "ort", 1, 0) == []
    right = BoundStep.compute_in_run

    def wrong(self: BoundStep, *args: object) -> dict[str, np.ndarray]:
        made_ = right(self, *args)  # type: ignore[arg-type]
        return {name: array ^ 1 if self.step.op == "QLinearMatMul" else array for name, array in made_.items()}

    monkeypatch.setattr(BoundStep, "compute_in_run", wrong)
    labels = {step.label for step in model.program("ort").steps if step.op == "QLinearMatMul"}
    assert labels and set(differing_layers(model, "ort", 1, 0)) == labels


def test_the_tables() -> None:
    one = Outcome("m", "ort", EQUAL)
    outcomes = [one, replace(one, verdict=REFUSED, detail="no | rule"), replace(one, profile="exact", verdict=WRONG)]
    lines = list(summary([*outcomes, replace(one, verdict=PEER_REFUSES, detail="why")]))
    assert "| `ort` | 1 | 0 | 1 | 1 | 0 |" in lines
    assert "| `exact` | 0 | 0 | 0 | 0 | 1 |" in lines
    assert "| 1 | refused | no / rule |" in lines


def test_wrong_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_exporters, "outcome", lambda *_: Outcome("m", "ort", WRONG, "conv"))
    words = ["--network", "mlp", "--style", "weight_only", "--profile", "ort"]
    assert CliRunner().invoke(main, words).exit_code == 1
