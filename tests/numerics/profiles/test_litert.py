"""Profiles equal LiteRT's kernels on real networks, every operator fed the runtime's own tensors. Sums are int64."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from qdqnp.numerics.profiles import PROFILES
from tests.numerics.profiles.tflite_operators import ADD, AVERAGE, COMPUTE, CONV, DEPTHWISE, FULL, MEAN, activated
from tests.oracles import tflite
from tests.oracles.tflite import DEFAULT, OPTIMIZED, REFERENCE

# which profile each operator equals under each kind of kernels
EQUAL: Mapping[str, Mapping[str, str]] = {
    REFERENCE: dict.fromkeys((CONV, DEPTHWISE, FULL, ADD, AVERAGE, MEAN), "tflite"),
    OPTIMIZED: dict.fromkeys((CONV, DEPTHWISE, FULL), "tflite-ruy"),
    DEFAULT: dict.fromkeys((CONV, DEPTHWISE, FULL), "xnnpack-fp32"),
}


def compare(path: Path, resolver: str, seed: int, profiles: Mapping[str, str]) -> dict[str, Counter[str]]:
    """By kind of operator: how many operators and outputs were compared, and how many outputs differ."""
    found: dict[str, Counter[str]] = {}
    for op in tflite.operators(path, resolver, seed):
        if op.kind in profiles and op.output.values.dtype == np.int8:
            codes = activated(COMPUTE[op.kind](op, PROFILES[profiles[op.kind]]), op).reshape(op.output.values.shape)
            row = found.setdefault(op.kind, Counter())
            row["operators"] += 1
            row["outputs"] += codes.size
            row["differing"] += int((codes != op.output.values).sum())
    return found


@pytest.mark.skipif(bool(tflite.missing()), reason=tflite.missing())
@pytest.mark.parametrize("resolver", EQUAL)
def test_a_small_network(resolver: str) -> None:
    found = compare(tflite.MODELS / "mlperftiny_pretrainedResnet_quant.tflite", resolver, 1, EQUAL[resolver])
    assert found.keys() == EQUAL[resolver].keys() & {CONV, ADD, AVERAGE, FULL}
    assert {kind: row["differing"] for kind, row in found.items()} == dict.fromkeys(found, 0)


@pytest.mark.skipif(bool(tflite.missing()), reason=tflite.missing())
@pytest.mark.parametrize("resolver", [REFERENCE, OPTIMIZED])
def test_the_depthwise_network(resolver: str) -> None:
    found = compare(tflite.MODELS / "mlperftiny_kws_ref_model.tflite", resolver, 2, EQUAL[resolver])
    assert CONV in found
    assert {kind: row["differing"] for kind, row in found.items()} == dict.fromkeys(found, 0)


@pytest.mark.skipif(bool(tflite.missing()), reason=tflite.missing())
def test_another_profile_differs() -> None:
    path = tflite.MODELS / "mlperftiny_pretrainedResnet_quant.tflite"
    assert compare(path, REFERENCE, 1, {CONV: "tflite-single"})[CONV]["differing"] > 0


@pytest.mark.skipif(bool(tflite.missing()), reason=tflite.missing())
@pytest.mark.parametrize("resolver", EQUAL)
def test_fully_connected(resolver: str) -> None:
    """Ten outputs a run, so many runs: enough that the arithmetic of Conv gives other outputs."""
    path, total = tflite.MODELS / "mlperftiny_pretrainedResnet_quant.tflite", Counter[str]()
    for seed in range(60):
        total += compare(path, resolver, seed, {FULL: EQUAL[resolver][FULL]})[FULL]
    assert total["outputs"] == 600
    assert total["differing"] == 0


@pytest.mark.skipif(bool(tflite.missing()), reason=tflite.missing())
def test_fully_connected_is_not_requantized_as_conv_is() -> None:
    path = tflite.MODELS / "mlperftiny_pretrainedResnet_quant.tflite"
    runs = [compare(path, REFERENCE, seed, {FULL: "cmsis-nn"})[FULL]["differing"] for seed in range(60)]
    assert sum(runs) > 0
