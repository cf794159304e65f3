"""Faults of a buffer, in the order in which the device's memory has it."""

from __future__ import annotations

import numpy as np
import pytest

from qdqnp.diagnosis.orders import orders
from tests.diagnosis.small import Array, outputs, report, row, tensors

NAME = "conv_22_q"  # 1x16x8x8
ORDERS = {order.text: order for order in orders((1, 16, 8, 8), blocks=False)}
BOTH = pytest.mark.parametrize("memory", list(ORDERS))


def named(changed: list[Array]) -> list[str]:
    return [str(finding) for finding in row(report({**tensors(), NAME: changed}), NAME).findings]


def told(memory: str) -> str:
    return ", NHWC" if memory == "NHWC" else ""


def changed_flat(memory: str, change: str) -> list[Array]:
    made, order = [], ORDERS[memory]
    for array in tensors()[NAME]:
        flat = order.flat(array)
        if change == "truncated":
            flat[700:] = -128
        elif change == "moved":
            flat = np.roll(flat, 3)
        elif change == "a row later":
            flat = np.roll(flat, 8 * 16 if memory == "NHWC" else 8)
        elif change == "padded":  # the first bytes of a buffer each row of which has 32 or 4 more
            row = 8 * 16 if memory == "NHWC" else 8
            lines = np.pad(flat.reshape(-1, row), ((0, 0), (0, row)), constant_values=99)
            flat = lines.reshape(-1)[: array.size]
        made.append(order.shaped(flat, array.shape))
    return made


@BOTH
def test_a_shift(memory: str) -> None:
    assert named(changed_flat(memory, "moved")) == [f"shifted by elements or bytes (3 elements later{told(memory)})"]
    (found,) = named(changed_flat(memory, "a row later"))
    assert found.startswith("row shifted (1 row later")


@BOTH
def test_what_was_not_written_to_its_end(memory: str) -> None:
    (found,) = named(changed_flat(memory, "truncated"))
    assert found.startswith("truncated (from element ") and found.endswith(f"{told(memory)})")
    assert 700 <= int(found.split()[3].rstrip(",")) < 732  # the first elements may be right by chance


@BOTH
def test_rows_that_are_longer(memory: str) -> None:
    (found,) = named(changed_flat(memory, "padded"))
    assert found == (
        "padded rows (256 elements for 128, NHWC)" if memory == "NHWC" else "padded rows (16 elements for 8)"
    )


@BOTH
def test_what_another_layer_left(memory: str) -> None:
    """A larger tensor in the same order; of the same shape it is the same tensor in every order."""
    other = next(
        name
        for name, (first, _) in tensors().items()
        if first.shape == (1, 16, 16, 16) or first.shape == (1, 8, 16, 16)
    )
    order = ORDERS[memory]
    made = []
    for theirs, own in zip(tensors()[other], tensors()[NAME], strict=True):
        flat = (np.moveaxis(theirs, 1, -1) if memory == "NHWC" else theirs).reshape(-1)[: own.size]
        made.append(order.shaped(flat, own.shape))
    assert named(made) == [f"another layer's tensor ('{other}'{told(memory)})"]


def test_channels_in_another_order(rng: np.random.Generator) -> None:
    order = rng.permutation(16)
    (found,) = named([array[:, order] for array in tensors()[NAME]])
    assert found.startswith("channels permuted (")
    assert named([array[:, ::-1] for array in tensors()[NAME]]) == ["channels permuted (in reverse)"]


def test_what_another_layer_left_in_a_vector() -> None:
    """A tensor of one pixel has one order; the larger one before it has two."""
    (gap,) = outputs("QLinearGlobalAveragePool")
    made = [
        np.moveaxis(planes, 1, -1).reshape(-1)[: own.size].reshape(own.shape)
        for planes, own in zip(tensors()["conv_22_q"], tensors()[gap], strict=True)
    ]
    assert [str(one) for one in row(report({**tensors(), gap: made}), gap).findings] == [
        "another layer's tensor ('conv_22_q', NHWC)"
    ]


def test_a_small_channel_that_is_wrong_by_itself_is_no_cache_line() -> None:
    """The last channel of a tensor of 2x2 has four bytes."""
    name = next(name for name in outputs("QLinearConv") if tensors()[name][0].shape[2:] == (2, 2))
    made = [array.copy() for array in tensors()[name]]
    for array in made:
        array[:, -1] ^= np.int8(37)
    found = row(report({**tensors(), name: made}), name)
    assert "stale cache line" not in [one.kind for one in found.findings]
    assert found.where.startswith("only channel")
