"""Hashes of values: equal for equal parts, whichever process made them, and for nothing else."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.engine import digest
from qdqnp.numerics.profiles import PROFILES
from tests.networks import dla


@dataclass
class One:
    value: Any


@dataclass
class Other:
    value: Any


DIFFERENT: list[Any] = [
    None,
    True,
    1,
    1.0,
    "1",
    b"1",
    "",
    [],
    {},
    [[]],
    [[], []],
    ["a", "b"],
    ["ab"],
    ["a", "b", "c"],
    [["a", "b"], "c"],
    ["a", ["b", "c"]],
    {"a": "b"},
    {"a": "b", "c": "d"},
    {"c": "d", "a": "b"},
    One(1),
    Other(1),
    One(2),
    0.0,
    -0.0,
    float("nan"),
    "\ud800",
    np.int8(1),
    np.zeros(2, np.int8),
    np.zeros(2, np.uint8),
    np.zeros((1, 2), np.int8),
    np.zeros((2, 1), np.int8),
    np.float32([0.0, -0.0]),
    np.float32([0.0, 0.0]),
    np.array([1, "N", None], object),
    np.array([1, "M", None], object),
    np.dtype(np.int8),
    "int8",
]


def test_different_values_have_different_hashes() -> None:
    found = [digest(value) for value in DIFFERENT]
    assert len(set(found)) == len(DIFFERENT)
    assert len({digest(1, 2), digest([1, 2]), digest(12), digest(2, 1)}) == 4


def test_equal_values_have_equal_hashes() -> None:
    assert [digest(value) for value in pickle.loads(pickle.dumps(DIFFERENT))] == [digest(value) for value in DIFFERENT]
    array = np.arange(12).reshape(3, 4)
    assert digest(array.T) == digest(np.ascontiguousarray(array.T)) != digest(array)
    assert digest({"a": 1}) == digest(MappingProxyType({"a": 1}))
    assert digest({"a", "b", "c"}) == digest(frozenset(["c", "a", "b"])) != digest({"a", "b"})


def test_what_has_no_parts_has_no_hash() -> None:
    with pytest.raises(TypeError, match="no hash of object"):
        digest(object())


def test_a_model_and_a_profile_have_one_hash_in_every_process() -> None:
    """Hashes of texts are random in each process, and so is the order of a set."""
    code = "import qdqnp; from qdqnp.engine import digest; from tests.networks import dla;"
    code += "from qdqnp.numerics.profiles import PROFILES;"
    code += "print(digest(qdqnp.load(dla(seed=1)).graph, *PROFILES.values()))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    model = qdqnp.load(dla(seed=1))
    assert digest(model.graph, *PROFILES.values()) == other
    assert digest(pickle.loads(pickle.dumps(model)).graph, *PROFILES.values()) == other
    assert digest(qdqnp.load(dla(seed=2)).graph) != digest(model.graph)
    assert len({digest(profile) for profile in PROFILES.values()}) == len(PROFILES)


def test_the_order_of_a_set_is_not_part_of_it() -> None:
    one, other = {0, 8}, {8, 0}
    assert list(one) != list(other)  # they share a place in CPython's table
    assert digest(one) == digest(other) == digest(frozenset(one)) != digest({0, 9})
