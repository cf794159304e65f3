"""Attention and RotaryEmbedding: heads that share keys, masks of every rank, a past, what output 3 shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.ops import draw
from tests.ops.case import Case, one_node
from tests.ops.cases.functions import reals


def attention(rng: draw.Rng) -> Case:
    batch, groups, each, size, value_size = (draw.size(rng, most) for most in (2, 2, 3, 9, 9))
    queries, keys, past = draw.size(rng, 6), draw.size(rng, draw.pick(rng, (6, 20))), draw.size(rng, 4)
    heads = groups * each
    flat, remembers = draw.chance(rng, 0.4), draw.chance(rng, 0.3)
    total = keys + past if remembers else keys

    def tensor(name: str, count: int, positions: int, elements: int) -> tuple[str, Any]:
        shape = (batch, positions, count * elements) if flat else (batch, count, positions, elements)
        return name, reals(rng, shape)

    arguments: list[tuple[str, Any] | None] = [
        tensor("x", heads, queries, size),
        tensor("k", groups, keys, size),
        tensor("v", groups, keys, value_size),
        ("m", _mask(rng, (batch, heads, queries, total))) if draw.chance(rng, 0.6) else None,
    ]
    if remembers:
        arguments += [
            ("pk", reals(rng, (batch, groups, past, size))),
            ("pv", reals(rng, (batch, groups, past, value_size))),
        ]
    shows = draw.chance(rng, 0.3)
    others = ["present_key", "present_value"] if remembers else ["", ""] if shows else []
    attributes = {
        "q_num_heads": heads if flat else None,
        "kv_num_heads": groups if flat else None,
        "is_causal": draw.pick(rng, (None, 0, 1)),
        "scale": draw.pick(rng, (None, 1.0, 0.3)),
        "qk_matmul_output_mode": draw.pick(rng, (None, 0, 1, 2, 3)) if shows else None,
    }
    given = [item[0] for item in arguments if item is not None]
    return one_node(
        "Attention",
        arguments,
        given,
        opset=draw.pick(rng, (23, 24)),
        others=[*others, "shown"] if shows else others,
        **attributes,
    )


def rotary_embedding(rng: draw.Rng) -> Case:
    """Pairs of neighbours and of halves, of some elements and of all; angles by position, and those that it names."""
    batch, heads, positions, size = draw.size(rng, 2), draw.size(rng, 3), draw.size(rng, 5), 2 * draw.size(rng, 20)
    flat, named, some = (draw.chance(rng, 0.4) for _ in range(3))
    turned = 2 * draw.size(rng, size // 2) if some else size
    cache = (7, turned // 2) if named else (batch, positions, turned // 2)
    arguments = [
        ("x", reals(rng, (batch, positions, heads * size) if flat else (batch, heads, positions, size))),
        ("c", reals(rng, cache)),
        ("s", reals(rng, cache)),
        ("n", rng.integers(0, 7, (batch, positions))) if named else None,
    ]
    return one_node(
        "RotaryEmbedding",
        arguments,
        [item[0] for item in arguments if item is not None],
        opset=23,
        interleaved=draw.pick(rng, (None, 0, 1)),
        num_heads=heads if flat or some else None,
        rotary_embedding_dim=turned if some else None,
    )


def _mask(rng: draw.Rng, shape: tuple[int, ...]) -> Any:
    """A mask of every rank that broadcasts to the scores: what is seen, or what is added."""
    dims = shape[-draw.pick(rng, (2, 3, 4)) :]
    dims = (*(draw.pick(rng, (1, size)) for size in dims[:-2]), *dims[-2:])
    if draw.chance(rng, 0.5):
        return rng.random(dims) < draw.pick(rng, (0.5, 0.9))
    return reals(rng, dims)


ATTENTION: Mapping[str, Callable[[draw.Rng], Case]] = {"Attention": attention, "RotaryEmbedding": rotary_embedding}
