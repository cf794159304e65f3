"""Finds the compiled form of a step: by what the step asks, not by its name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdqnp.executor.fast.tables import NOTHING, FastPairs, FastSingles
from qdqnp.executor.plan import BoundStep
from qdqnp.graph import Sizes
from qdqnp.numerics.questions import Means, Pairs
from qdqnp.ops.geometry.pool import PoolAttributes
from qdqnp.ops.geometry.windows import window_for
from qdqnp.ops.integer.asking import IntegerOperator
from qdqnp.ops.integer.unary import SinglesOperator
from qdqnp.program import Operand
from qdqnp.quant import EIGHT_BIT, Quant, all_codes
from qdqnp.schedule.addition import addition
from qdqnp.schedule.depthwise import Depthwise, is_depthwise
from qdqnp.schedule.form import Form
from qdqnp.schedule.image import Image
from qdqnp.schedule.joined import CodeTable, Joined, Rescaling, composed, rescale
from qdqnp.schedule.layer import ConvolvedLayer, layer_of
from qdqnp.schedule.maxima import Maxima
from qdqnp.schedule.means import averaged
from qdqnp.schedule.moved import Move, moves
from qdqnp.schedule.pairs import Added
from qdqnp.schedule.planes import FEW, Planes, is_planar
from qdqnp.schedule.pointwise import Pointwise, is_pointwise
from qdqnp.schedule.rows import KernelRows, fits
from qdqnp.schedule.store import Shortcut
from qdqnp.schedule.winograd import Winograd

Convolved = Pointwise | Planes | Depthwise | KernelRows


class Chooser:
    """Chooses forms for the steps of one plan and one set of shapes.

    images: the images so far, by name; a tensor of codes that is none yet may become one for a convolution.
    room: how many bytes the weights of all convolutions may take.
    prefer: the form that every convolution takes that has it; None for the fastest.
    """

    def __init__(
        self,
        shapes: Mapping[str, Sizes],
        images: Mapping[str, Image],
        room: int,
        prefer: type[Convolved] | None = None,
    ) -> None:
        self._prefer = prefer
        self._shapes = shapes
        self._images = images
        self._room = room

    def form(self, bound: BoundStep) -> Form | None:
        """Return the compiled form of a step; None where it has none that is proven."""
        step = bound.step
        if len(step.outputs) != 1 or not self._is_picture(step.output_names[0]):
            return None
        if is_maximum(bound):
            x = self._there(step.inputs[0])
            return None if x is None else self.maxima(bound, x, step.output_names[0])
        if step.outputs[0].quant is None or not self._eight_bit(step.outputs[0].quant):
            return None
        if isinstance(bound.kernel, FastPairs):
            return self._added(bound)
        if isinstance(bound.kernel, FastSingles):
            return self._joined(bound)
        if isinstance(bound.operator, IntegerOperator) and bound.operator.asks is Means:
            return self._averaged(bound)
        return self._convolution(bound)

    def moves(self, bound: BoundStep) -> tuple[Image, list[Move]] | None:
        """Return which image a step moves, and what of it; None where it does something else."""
        x = self._there(bound.step.inputs[0]) if bound.step.inputs else None
        found = moves(bound, x) if x is not None else None
        return None if x is None or found is None else (x, found)

    def _is_picture(self, name: str) -> bool:
        shape = self._shapes[name]
        return len(shape) == 4 and shape[0] == 1 and 0 not in shape

    @staticmethod
    def _eight_bit(quant: Quant | None) -> bool:
        return quant is not None and quant.per_tensor and quant.dtype in EIGHT_BIT

    def _image(self, operand: Operand | None) -> Image | None:
        """Return the image of an operand as it is read; None where it is no picture, or is an image of another kind."""
        if operand is None or not self._is_picture(operand.name):
            return None
        there = self._images.get(operand.name)
        if operand.quant is None:
            return there
        if not self._eight_bit(operand.quant):
            return None
        read = Image.of(operand.name, self._shapes[operand.name], operand.quant)
        return read if there is None or there == read else None

    def _made(self, operand: Operand) -> Image:
        assert operand.quant is not None
        return Image.of(operand.name, self._shapes[operand.name], operand.quant)

    def _convolution(self, bound: BoundStep) -> Form | None:
        x = self._image(bound.step.inputs[0])
        layer = layer_of(bound, x, self._made(bound.step.outputs[0]), self._room) if x is not None else None
        form = None if layer is None else convolved(layer, x is not None and x.name not in self._images, self._prefer)
        self._room -= 0 if form is None else form.layer.weight_bytes
        return form

    def _there(self, operand: Operand | None) -> Image | None:
        """Return the image of an operand if it is one so far: only convolutions are worth a conversion."""
        return self._image(operand) if operand is not None and operand.name in self._images else None

    def maxima(self, bound: BoundStep, x: Image, name: str) -> Maxima | None:
        """Return what takes the maximum of an image under a step's windows, under a name; None where it is none."""
        if len(bound.step.attributes.kernel_shape) != 2:
            return None
        _, channels, height, width = self._shapes[bound.step.output_names[0]]
        window = window_for(bound.step.attributes, bound.step.attributes.kernel_shape, (x.height, x.width))
        if min(window.pads) < 0:
            return None
        y = Image(name, height, width, channels, x.dtype, x.zero_point)
        return Maxima(bound.step.label, x, y, window)

    def _averaged(self, bound: BoundStep) -> Form | None:
        x, y = self._there(bound.step.inputs[0]), self._made(bound.step.outputs[0])
        if x is None or (y.height, y.width) != (1, 1) or y.channels != x.channels:
            return None
        assert isinstance(bound.operator, IntegerOperator)
        codes = np.zeros((1, x.channels, x.height, x.width), x.dtype)
        (part,) = bound.operator.questions(bound.step, codes)
        assert isinstance(part.question, Means)
        return averaged(bound.step.label, x, y, part.question, bound.profile)

    def _added(self, bound: BoundStep) -> Form | None:
        left, right = (self._there(operand) for operand in bound.step.inputs)
        made = self._made(bound.step.outputs[0])
        if left is None or right is None or not _same_size(left, right) or left.channels != right.channels:
            return None
        assert isinstance(bound.operator, IntegerOperator)
        (part,) = bound.operator.questions(bound.step, NOTHING, NOTHING)
        assert isinstance(part.question, Pairs)
        return Added(bound.step.label, left, right, made, addition(part.question, bound.profile))

    def _joined(self, bound: BoundStep) -> Form | None:
        made = self._made(bound.step.outputs[0])
        parts = [self._there(operand) for operand in bound.step.inputs]
        found = [part for part in parts if part is not None and _same_size(part, made)]
        if len(found) < len(parts) or sum(part.channels for part in found) != made.channels:
            return None
        return Joined(bound.step.label, found, made, [self._rescale(bound, index) for index in range(len(found))])

    @staticmethod
    def _rescale(bound: BoundStep, index: int) -> Rescaling | CodeTable:
        assert isinstance(bound.operator, SinglesOperator)
        x = bound.step.quant(index)
        question = bound.operator.single(bound.step, index, all_codes(x.dtype))
        return rescale(x, bound.step.y, np.asarray(question.answer(bound.profile)))


def is_maximum(bound: BoundStep) -> bool:
    """Tell whether a step is the maximum under windows."""
    return isinstance(bound.step.attributes, PoolAttributes) and bound.operator.monotone


def _same_size(a: Image, b: Image) -> bool:
    return (a.height, a.width) == (b.height, b.width)


def convolved(layer: ConvolvedLayer, from_codes: bool, prefer: type[Convolved] | None = None) -> Convolved | None:
    """Return the form of a convolution; None where none is exact.

    from_codes: whether its input is no image so far.
    prefer: the form to take if it is exact for the layer; None for the fastest.
    """
    exact = exact_forms(layer, from_codes)
    if prefer in exact:
        return prefer(layer)
    few = layer.x.channels < FEW
    return next((form(layer) for form in exact if few or form is not Planes), None)


def exact_forms(layer: ConvolvedLayer, from_codes: bool) -> list[type[Convolved]]:
    """Return every form that is exact for a convolution, the fastest first, but for `Planes` of many channels."""
    fitting: dict[type[Convolved], bool] = {
        Planes: from_codes and is_planar(layer),
        Pointwise: is_pointwise(layer),
        Depthwise: is_depthwise(layer),
        Winograd: fits(layer) and bool(layer.winograd_proof),
        KernelRows: fits(layer),
    }
    return [form for form, fit in fitting.items() if fit]


def with_addition(form: Convolved, added: Added) -> Convolved:
    """Return a convolution that also adds another image to its output, as `added` does."""
    mine = added.inputs.index(form.output.name)
    shortcut = Shortcut(added.reads[1 - mine], added.addition if mine == 0 else added.addition.swapped())
    return type(form)(form.layer.with_shortcut(shortcut, added.output))


def function_with_addition(form: Joined, added: Added) -> Joined | None:
    """Return x * f(x) as one function of x, for the form of f and what reads x and f(x); None where it is not that."""
    found, mine = form.function_of(), added.inputs.index(form.output.name)
    if found is None or added.inputs[1 - mine] != found[0].name:
        return None
    x, function = found
    return Joined(
        added.label, [x], added.output, [composed(x, function, added.addition if mine else added.addition.swapped())]
    )
