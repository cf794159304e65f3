"""NumPy broadcasting on shapes."""

from __future__ import annotations

from collections.abc import Sequence

from qdqnp.graph import Dim, Shape
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
