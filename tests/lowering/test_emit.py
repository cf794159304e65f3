"""What cannot become a program is refused with every operator named once, and with what helps."""

from __future__ import annotations

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import ModelError
from qdqnp.graph import MICROSOFT
from qdqnp.ops.registry import operators
from tests.lowering.models import Net


def test_operators_that_the_lowering_makes_and_qdqnp_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(operators(), (MICROSOFT, "QLinearWhere"))
    net = Net()
    x = net.input((4, 8))
    for scale in (0.01, 0.02):
        chosen = net.node("Where", net.const(np.ones((4, 8), bool)), net.qdq(x, scale), net.qdq(x, scale * 3))
        net.output(net.q(chosen, 0.03))
    model = qdqnp.load(net.model())
    with pytest.raises(ModelError) as caught:
        model.program()
    assert [problem.where for problem in caught.value.problems] == [
        "operator com.microsoft.QLinearWhere",
    ]
    assert "2 nodes: " in caught.value.problems[0].got
    helps = "\n".join(caught.value.advice)
    assert "--profile ort-unfused" in helps and len(str(caught.value)) < 1000
    # which is true
    assert model.run(np.ones((4, 8), np.float32), profile="ort-unfused")
