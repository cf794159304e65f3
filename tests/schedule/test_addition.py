"""What answers pairs of codes and single codes on images, against the rule itself on all of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.questions import Pairs
from qdqnp.quant import Quant
from qdqnp.schedule.addition import Addition, PairTable, addition
from qdqnp.schedule.image import centered
from qdqnp.schedule.joined import CodeTable, rescale

NOTHING = np.zeros(0, np.uint8)


def quant(rng: np.random.Generator, dtype: type) -> Quant:
    info = np.iinfo(dtype)
    zero = int(rng.choice([info.min, info.max, (info.min + info.max + 1) // 2, int(rng.integers(info.min, info.max))]))
    return Quant(np.dtype(dtype), np.float32(rng.uniform(0.01, 0.1)), np.array(zero, dtype))


@pytest.mark.parametrize(
    ("rule", "profile"),
    [
        *((rule, name) for rule in ("add", "mul") for name in ("ort", "exact", "tflite", "cmsis-nn", "xnnpack-fp32")),
        ("add", "neural-art-1.1.3"),
        ("add", "tosa-single"),
    ],
)
def test_pairs_are_answered_as_by_the_rule(rule: str, profile: str) -> None:
    rng = np.random.default_rng(3)
    seen: Counter[str] = Counter()
    for _ in range(6):
        dtype = np.int8 if rng.integers(2) else np.uint8
        a, b, y = (quant(rng, dtype) for _ in range(3))
        question = Pairs(rule, "layer", (a, b, y), NOTHING, NOTHING)
        wanted = np.asarray(question.everything().answer(PROFILES[profile])).astype(np.int64)
        found = addition(question, PROFILES[profile])
        seen[type(found).__name__] += 1
        left, right = np.repeat(centered(a), 256), np.tile(centered(b), 256)
        for each, one, two in ((found, left, right), (found.swapped(), right, left)):
            # a tile of rows that do not touch, and memory of the left operand as that of the result
            tile = np.empty((256, 300), np.float32)[:, :256]
            tile[...] = one.reshape(256, 256)
            each(tile, two.reshape(256, 256), tile, np.empty((256, 256), np.float32))
            np.testing.assert_array_equal(np.rint(tile).reshape(-1), wanted - int(y.zero_point))
    if (rule, profile) == ("add", "neural-art-1.1.3"):
        assert seen == {PairTable.__name__: 6}


def test_sums_near_to_a_half_are_moved_to_the_side_of_the_rule() -> None:
    # the ratios of these scales alone round a pair the other way, with whatever factors nearby
    scales = (np.float32(0.9), np.float32(1 / 6), np.float32(1))
    quants = tuple(Quant(np.dtype(np.int8), scale, np.array(-128, np.int8)) for scale in scales)
    found = addition(Pairs("add", "layer", quants, NOTHING, NOTHING), PROFILES["ort"])
    assert isinstance(found, Addition)
    assert found.offset


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_any_function_of_a_code_is_answered(dtype: type) -> None:
    rng = np.random.default_rng(4)
    x, y = quant(rng, dtype), quant(rng, dtype)
    answers = rng.integers(0, 256, 256, np.uint8).view(dtype)
    found = rescale(x, y, answers)
    assert isinstance(found, CodeTable)
    values = centered(x).reshape(16, 2, 8)
    out = np.empty((16, 2, 10), np.float32)[..., :8]
    found(values, np.empty_like(values), out)
    np.testing.assert_array_equal(out.reshape(-1), answers.astype(np.float32) - np.float32(int(y.zero_point)))
