"""NumPy broadcasting on shapes."""

from __future__ import annotations

from collections.abc import Sequence

from qdqnp.graph import Dim, Shape, Sizes
from qdqnp.ops.operator import ShapeError


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """Broadcast shapes as NumPy does; an unknown size meets 1 or anything and stays unknown."""
    rank = max(len(shape) for shape in shapes)
    result: list[Dim] = []
    for axis in range(-rank, 0):
        dims = [shape[axis] for shape in shapes if -axis <= len(shape)]
        numbers = {dim for dim in dims if isinstance(dim, int) and dim != 1}
        if len(numbers) > 1:
            raise ShapeError("shapes that broadcast together", " and ".join(str(list(s)) for s in shapes))
        others = [dim for dim in dims if not isinstance(dim, int)]
        result.append(numbers.pop() if numbers else (others[0] if others else 1))
    return tuple(result)


def innermost_run(a: Sizes, b: Sizes) -> tuple[int, int | None]:
    """Return how many elements ONNX Runtime computes in one go of two arrays, and which of them it repeats there.

    It is 0 for the first, 1 for the second, None where both advance; of two single elements the first is repeated. A
    run ends where one of the arrays advances that did not, or the other way round. Axes of one element in both end
    none, but for those that one of the arrays does not have, and the last one of an array beside a scalar.
    core/providers/cpu/math/element_wise_ops.h (Broadcaster).

    >>> innermost_run((2, 3, 4), (3, 4)), innermost_run((2, 3, 1), (4,)), innermost_run((3, 1, 2), (1,))
    ((12, None), (4, 0), (2, 1))
    """
    shared, single = min(len(a), len(b)), ((1, 1),)
    both = tuple(zip(reversed(a), reversed(b), strict=False))
    axes = [pair for pair in both if pair != (1, 1)] or list(single[:shared])
    axes += [(one, 1) for one in reversed(a[: len(a) - shared])] + [(1, one) for one in reversed(b[: len(b) - shared])]
    first, *others = axes or single
    runs = [max(first)] * 2
    for array in (0, 1):
        for axis in others:
            if (axis[array] > 1) != (first[array] > 1):
                break
            runs[array] *= max(axis)
    return min(runs), 0 if first[0] == 1 else 1 if first[1] == 1 else None


def may_equal(a: Shape, b: Shape) -> bool:
    """Tell whether two shapes are equal as far as their sizes are known."""
    known = [(one, other) for one, other in zip(a, b, strict=False) if isinstance(one, int) and isinstance(other, int)]
    return len(a) == len(b) and all(one == other for one, other in known)


def first_is_scalar(a: Shape, b: Shape) -> bool:
    """Tell whether ONNX Runtime's broadcasting takes a for the scalar operand of the innermost span.

    ONNX Runtime looks at the axes that both shapes have, from the last on, for one longer than 1 (rank 0 counts as one
    axis of size 1). If a is 1 there, or such an axis does not exist, a is the scalar. Compared on all pairs of small
    shapes.
    """
    for size_a, size_b in zip(reversed(a or (1,)), reversed(b or (1,)), strict=False):
        if size_a != 1 or size_b != 1:
            return size_a == 1
    return True
