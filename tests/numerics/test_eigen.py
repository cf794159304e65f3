"""Eigen's sums, by an oracle that adds up one number after the other, and its functions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qdqnp.numerics import eigen, libm
from tests.ops.case import same

Array = np.ndarray[Any, np.dtype[Any]]
F = np.float32


def reduced(row: Array, operation: Callable[[Any, Any], Any], offset: int) -> np.float32:
    """One row that begins `offset` elements behind an aligned one."""
    head = min(-offset % 4, len(row))
    registers = [row[start : start + 4] for start in range(head, len(row) - 3, 4)]
    rest = [*row[:head], *row[head + 4 * len(registers) :]]
    if not registers:
        total, rest = row[0], list(row[1:])
    else:
        pairs = len(registers) // 2
        parts = [registers[0 : 2 * pairs : 2], registers[1 : 2 * pairs : 2]] if pairs else [registers[:1]]
        lanes = []
        for lane in range(4):
            chains = []
            for part in parts:
                value = part[0][lane]
                for register in part[1:]:
                    value = operation(value, register[lane])
                chains.append(value)
            value = operation(*chains) if pairs else chains[0]
            lanes.append(operation(value, registers[-1][lane]) if pairs and len(registers) % 2 else value)
        total = operation(operation(lanes[0], lanes[2]), operation(lanes[1], lanes[3]))
    for value in rest:
        total = operation(total, value)
    return F(total)


@pytest.mark.parametrize(("ufunc", "operation"), [(np.add, operator.add), (np.multiply, operator.mul)])
@pytest.mark.parametrize("count", [*range(1, 21), 37, 64, 101])
def test_sums_and_products(ufunc: np.ufunc, operation: Callable[[Any, Any], Any], count: int) -> None:
    rows = np.random.default_rng(count).normal(0, 1, (12, count)).astype(F)
    first = np.arange(12) * count
    wanted = [reduced(row, operation, int(start)) for row, start in zip(rows, first % 4, strict=True)]
    assert same(eigen.reduced(rows, ufunc, first), np.array(wanted, F))
    assert same(eigen.reduced(rows, ufunc), np.array([reduced(row, operation, 0) for row in rows], F))


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 8, 30])
def test_what_fills_no_register_is_the_c_librarys(count: int) -> None:
    x = np.random.default_rng(count).uniform(0.1, 5, count).astype(F)
    whole = count // 4 * 4
    for function, scalar in ((eigen.exp, libm.exp), (eigen.log, libm.log)):
        found = function(x)
        assert same(found[whole:], scalar(x[whole:]))
        assert same(found[:whole], function(np.append(x, F(1)))[:whole])


def test_functions_are_close() -> None:
    x = np.linspace(-80, 80, 4000, dtype=F)
    assert np.abs(eigen.exp(x) / np.exp(x.astype(np.float64)) - 1).max() < 2.0**-22
    x = np.geomspace(1e-30, 1e30, 4000, dtype=F)
    wanted = np.log(x.astype(np.float64))
    assert (np.abs(eigen.log(x) - wanted) <= 2 * np.spacing(np.abs(wanted).astype(F)) + 1e-9).all()
