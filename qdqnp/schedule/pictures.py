"""Which steps compute each picture of a batch by itself, and as if it were alone.

Of such a step two things are known. Its operator computes what has the index n along axis 0 from what has the index n
along axis 0 of its inputs, and in the same way whatever n and the size of that axis are: that is said here, operator by
operator. And with one picture in place of the batch, its shapes are the same but for axis 0. A step of any other
operator is computed on the whole batch, and so is all that reads what it makes: float32 matrix products, whose order of
additions depends on the number of rows, are among them, and functions whose last few elements take another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qdqnp.executor.plan import BoundStep
from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.ops.float import elementwise
from qdqnp.ops.float.average_pool import AveragePool
from qdqnp.ops.float.clip import Clip
from qdqnp.ops.float.conv import Conv
from qdqnp.ops.float.global_average_pool import GlobalAveragePool
from qdqnp.ops.float.global_max_pool import GlobalMaxPool
from qdqnp.ops.geometry.resizing import CROP
from qdqnp.ops.integer.dequantize_linear import DequantizeLinear, MicrosoftDequantizeLinear
from qdqnp.ops.integer.pairwise import PairwiseOperator
from qdqnp.ops.integer.qlinear_average_pool import QLinearAveragePool
from qdqnp.ops.integer.qlinear_concat import QLinearConcat
from qdqnp.ops.integer.qlinear_conv import QLinearConv
from qdqnp.ops.integer.qlinear_global_average_pool import QLinearGlobalAveragePool
from qdqnp.ops.integer.qlinear_requantize import QLinearRequantize
from qdqnp.ops.integer.quantize_linear import MicrosoftQuantizeLinear, QuantizeLinear
from qdqnp.ops.integer.unary import UnaryOperator
from qdqnp.ops.movement.concat import Concat
from qdqnp.ops.movement.flatten import Flatten
from qdqnp.ops.movement.identity import Identity
from qdqnp.ops.movement.max_pool import MaxPool
from qdqnp.ops.movement.reshape import Reshape
from qdqnp.ops.movement.resize import Resize
from qdqnp.ops.movement.split import Split
from qdqnp.ops.movement.squeeze import Squeeze
from qdqnp.ops.movement.transpose import Transpose
from qdqnp.ops.movement.unsqueeze import Unsqueeze
from qdqnp.ops.operator import Operator, ShapeError
from qdqnp.program import Operand
from qdqnp.quant import Quant

#: Tells of a step, given its inputs' shapes for the batch, whether it leaves axis 0 as it is.
Keeps = Callable[[BoundStep, list[Sizes]], bool]


def _always(bound: BoundStep, shapes: list[Sizes]) -> bool:
    return True


def _has_scales(bound: BoundStep, shapes: list[Sizes]) -> bool:
    operands = (bound.step.inputs[0], bound.step.outputs[0])
    return any(operand is not None and operand.quant is not None for operand in operands)


def _alike(bound: BoundStep, shapes: list[Sizes]) -> bool:
    """Elements of one index meet: all inputs have one shape, so that none is repeated along the batch."""
    return len(set(shapes)) == 1


def _pairs(bound: BoundStep, shapes: list[Sizes]) -> bool:
    """As `_alike`; and the operator does not exchange its operands for one picture alone."""
    assert isinstance(bound.operator, PairwiseOperator)
    alone = [(1, *shape[1:]) for shape in shapes]
    return _alike(bound, shapes) and bound.operator.swaps(*shapes) == bound.operator.swaps(*alone)


def _joins(bound: BoundStep, shapes: list[Sizes]) -> bool:
    """Inputs are joined, or one is cut, along another axis."""
    axis, rank = bound.step.attributes.axis, len(shapes[0])
    return axis is not None and -rank <= axis < rank and axis % rank != 0


def _turns(bound: BoundStep, shapes: list[Sizes]) -> bool:
    perm = bound.step.attributes.perm
    return perm is not None and perm[0] == 0


def _resizes(bound: BoundStep, shapes: list[Sizes]) -> bool:
    """Axis 0 is not among those that are resized; where all are, its factor is 1."""
    attributes, rank = bound.step.attributes, len(shapes[0])
    if attributes.coordinate_transformation_mode == CROP or attributes._late or attributes._roi:
        return False
    if attributes.axes:
        return all(axis % rank != 0 for axis in attributes.axes)
    return bool(attributes._scales) and attributes._scales[0] == 1


#: One sum, maximum, code or window of a channel's plane after the other; every input but the first is a constant.
_OF_PLANES: tuple[type[Operator], ...] = (
    QLinearConv,
    Conv,
    MaxPool,
    AveragePool,
    QLinearAveragePool,
    GlobalMaxPool,
    GlobalAveragePool,
    QLinearGlobalAveragePool,
    QLinearRequantize,
    Clip,
)
#: Codes to numbers and back; types smaller than int8 have scales of their own, which are not looked at here.
_OF_SCALES = (QuantizeLinear, MicrosoftQuantizeLinear, DequantizeLinear, MicrosoftDequantizeLinear)
#: The elements stay in their order: with the batch in front before and after, pictures stay whole.
_REARRANGED: tuple[type[Operator], ...] = (Reshape, Flatten, Squeeze, Unsqueeze, Identity)
KEEPS: Mapping[type[Operator], Keeps] = {
    **dict.fromkeys((*_OF_PLANES, *_REARRANGED), _always),
    **dict.fromkeys(_OF_SCALES, _has_scales),
    **dict.fromkeys(elementwise.OPERATORS, _alike),
    Concat: _joins,
    QLinearConcat: _joins,
    Split: _joins,
    Transpose: _turns,
    Resize: _resizes,
}


def _of_slices(quant: Quant, rank: int) -> bool:
    """Tell whether scales are those of slices that go through all pictures; blocks have scales for each."""
    return quant.axis is not None and quant.axis % rank != 0 and not quant.block_size


class Pictures:
    """What is known of the tensors of one picture, from step to step."""

    def __init__(self, batch: int, shapes: Mapping[str, Sizes], feeds: Iterable[str], consts: Iterable[str]) -> None:
        """Take feeds whose axis 0 has `batch` pictures for pictures. shapes: of every tensor, for the batch."""
        self._batch = batch
        self._shapes = shapes
        self._consts = frozenset(consts)
        #: The shape of each tensor whose pictures are apart, for one picture.
        self.single: dict[str, Sizes] = {}
        for name in feeds:
            if len(shapes[name]) > 1 and shapes[name][0] == batch:
                self.single[name] = (1, *shapes[name][1:])

    def add(self, bound: BoundStep) -> bool:
        """Tell whether a step computes each picture by itself; its outputs are pictures for the steps to come."""
        step = bound.step
        read = [operand for operand in step.inputs if operand is not None]
        pictured = [operand for operand in read if operand.name in self.single]
        if not pictured or pictured[0] is not step.inputs[0] or not self._fits(bound, read, pictured):
            return False
        try:
            made = bound.operator.shapes(step.attributes, *(self._single(operand) for operand in step.inputs))
            alone = [concrete(shape) for shape in made[: len(step.output_names)]]
        except ShapeError:
            return False
        together = [self._shapes[name] for name in step.output_names]
        if len(alone) != len(together) or any(
            not whole or whole != (self._batch, *one[1:]) or one[:1] != (1,)
            for one, whole in zip(alone, together, strict=True)
        ):
            return False
        self.single.update(zip(step.output_names, alone, strict=True))
        return True

    def _fits(self, bound: BoundStep, read: list[Operand], pictured: list[Operand]) -> bool:
        operator = bound.operator
        keeps = KEEPS.get(type(operator))
        if isinstance(operator, UnaryOperator):
            keeps = _always
        if isinstance(operator, PairwiseOperator):
            keeps = _pairs
        if keeps is None or any(operand.name not in self._consts for operand in read if operand not in pictured):
            return False
        scaled = [operand.quant for operand in (*pictured, *bound.step.outputs) if operand.quant is not None]
        shapes = [self._shapes[operand.name] for operand in read]
        if not all(quant.per_tensor or _of_slices(quant, len(shapes[0])) for quant in scaled):
            return False
        if type(operator) in _OF_PLANES:
            return len(pictured) == 1
        return len(pictured) == len(read) and keeps(bound, shapes)

    def _single(self, operand: Operand | None) -> Shape | None:
        return None if operand is None else self.single.get(operand.name, self._shapes[operand.name])


def picture_steps(
    steps: Iterable[BoundStep], batch: int, shapes: Mapping[str, Sizes], feeds: Iterable[str], consts: Iterable[str]
) -> tuple[list[BoundStep], list[BoundStep], Mapping[str, Any]]:
    """Divide steps into those that compute each picture by itself and the others, both in order.

        batch: how many pictures.
        shapes: of every tensor, for the batch.
        feeds: the tensors that a run starts from, by name.
        consts: the constants, by name.

    Returns the two, and the shapes of the first ones' tensors for one picture.
    """
    given = frozenset(feeds)
    pictures = Pictures(batch, shapes, given, consts)
    apart: list[BoundStep] = []
    together: list[BoundStep] = []
    for bound in steps:
        if not all(name in given for name in bound.step.output_names):
            (apart if pictures.add(bound) else together).append(bound)
    return apart, together, pictures.single
