"""What cannot become a program is refused with every operator named once, and with what helps."""

from __future__ import annotations

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import ModelError
from tests.lowering.models import Net


def test_operators_that_the_lowering_makes_and_qdqnp_lacks() -> None:
    net = Net()
    x = net.input((4, 8))
    net.output(*(net.node("MatMul", net.node("Relu", x), net.weight(8, 5, scale=s)) for s in (0.01, 0.02)))
    model = qdqnp.load(net.model())
    with pytest.raises(ModelError) as caught:
        model.program()
    assert [problem.where for problem in caught.value.problems] == [
        "operator com.microsoft.MatMulNBits",
    ]
    assert "2 nodes: " in caught.value.problems[0].got
    helps = "\n".join(caught.value.advice)
    assert "quantize_static" in helps and "--profile ort-unfused" in helps and len(str(caught.value)) < 1000
    # which is true
    assert model.run(np.ones((4, 8), np.float32), profile="ort-unfused")
