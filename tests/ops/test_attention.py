"""Attention beside what tests/ops/test_floats.py draws: lengths, the softcap, rows without a key, float16, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qdqnp
from tests.ops.case import Case, computed, one_node
from tests.oracles import ort

F = np.float32


def attending(rng: np.random.Generator, *others: Any, opset: int = 24, **attributes: Any) -> Case:
    """Two batches of two heads: three positions that look at five."""
    arguments = [(name, rng.normal(0, 1, (2, 2, size, 4)).astype(F)) for name, size in (("x", 3), ("k", 5), ("v", 5))]
    given = [name for name, _ in arguments]
    return one_node("Attention", [*arguments, *others], given, opset=opset, **attributes)


def promised(case: Case) -> bool:
    return qdqnp.load(case.model).plan("ort-unfused").promises["y"].exact


@pytest.mark.parametrize("causal", [0, 1])
def test_lengths_are_close_to_onnx_runtime(causal: int, rng: np.random.Generator) -> None:
    lengths = ("n", np.array([4, 3]))
    case = attending(rng, None, None, None, lengths, is_causal=causal)
    np.testing.assert_allclose(computed(case), ort.run(case.model, case.inputs)["y"], 1e-5, 1e-6)
    assert not promised(case)


def test_a_softcap_is_close_and_not_promised(rng: np.random.Generator) -> None:
    case = attending(rng, softcap=0.5)
    np.testing.assert_allclose(computed(case), ort.run(case.model, case.inputs)["y"], 1e-5, 1e-6)
    assert not promised(case) and promised(attending(rng))


def test_a_position_that_sees_nothing_is_zero(rng: np.random.Generator) -> None:
    seen = np.ones((3, 5), bool)
    seen[1] = False
    case = attending(rng, ("m", seen))
    found = computed(case)
    assert not found[:, :, 1].any() and found[:, :, 0].all()
    assert np.array_equal(found, ort.run(case.model, case.inputs)["y"])


@pytest.mark.parametrize(
    ("others", "attributes", "told"),
    [
        ((("m", np.ones((3, 4), bool)),), {}, "attn_mask of sizes"),
        ((), {"kv_num_heads": 3}, "number of heads"),
        ((), {"scale": -1.0}, "more than 0"),
        ((), {"qk_matmul_output_mode": 4}, "0, 1, 2 or 3"),
        ((None, ("p", np.zeros((2, 2, 1, 4), F))), {}, "together"),
        ((None, None, None, ("n", np.array([1]))), {}, "nonpad_kv_seqlen of sizes"),
    ],
)
def test_refusals(others: Any, attributes: Any, told: str, rng: np.random.Generator) -> None:
    with pytest.raises(qdqnp.ModelError, match=told):
        qdqnp.load(attending(rng, *others, **attributes).model)


def test_a_length_beyond_the_keys_is_refused(rng: np.random.Generator) -> None:
    case = attending(rng, None, None, None, ("n", np.array([6, 1])))
    with pytest.raises(qdqnp.ProfileError, match=r"in \[0, 5\]"):
        computed(case)
