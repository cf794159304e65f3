"""An operator has a schema, attributes and shapes, and computes something.

The reader calls `attributes` and `infer` to check a model; the lowering calls `step` to put a node into a program; the
executor calls `shapes`, and `compute` or a faster form of it. Input arrays and shapes are parameters with names, in the
order of the step's operands; an optional input that is absent is None.

Subclasses with an `op` of their own register themselves: `registry.lookup` finds them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import ONNX, Shape
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck, parse_attributes
from qdqnp.program import Operand, Step
from qdqnp.quant import Array

#: Dtype and shape of each output.
Inferred = tuple[tuple[np.dtype[Any], Shape], ...]


class ShapeError(Exception):
    """Input shapes do not fit an operator."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got = expected, got


@dataclass(frozen=True)
class NoAttributes:
    """The attributes of operators without attributes."""


@dataclass(frozen=True, eq=False)
class Binding:
    """A step with the profile whose arithmetic it uses."""

    step: Step
    profile: Profile
    #: The step's constant inputs by name.
    consts: Mapping[str, Array]

    def constant(self, index: int) -> bool:
        """Tell whether an input is a constant."""
        operand = self.step.inputs[index] if index < len(self.step.inputs) else None
        return operand is not None and operand.name in self.consts


class Operator(ABC):
    """One ONNX (or com.microsoft) operator. Subclasses have no state; one instance of each is registered."""

    #: The operator's name in ONNX.
    op: ClassVar[str]
    domain: ClassVar[str] = ONNX
    #: The fewest and the most inputs.
    arity: ClassVar[tuple[int, int]] = (1, 1)
    Attributes: ClassVar[type] = NoAttributes
    #: Attributes that it cannot do without, as a small node has them; {} where there are none of its own.
    example: ClassVar[Mapping[str, Any]] = {}
    #: The shapes of its inputs, where small shapes of one form do not fit all; for docs/operators.md.
    example_shapes: ClassVar[tuple[Shape, ...]] = ()
    #: Attributes that change no number, accepted and dropped, for example QLinearConv's channels_last = 0 spelled out.
    ignored: ClassVar[frozenset[str]] = frozenset()
    #: The part of ONNX's operator that there is, for docs/operators.md; '' where it is the whole.
    only: ClassVar[str] = ""
    #: Whether outputs may share memory with inputs (Reshape, Transpose, Identity ...).
    views: ClassVar[bool] = False
    #: Whether the output is the input, unchanged.
    copies: ClassVar[bool] = False
    #: Whether the operator only moves or selects elements, so that bounds of its input's codes bound its output's.
    monotone: ClassVar[bool] = False
    #: Whether the operator only arranges the elements of its first input, or of all, whatever they are.
    arranges: ClassVar[bool] = False
    #: Whether each output element is computed from one element of each input, which broadcast.
    elementwise: ClassVar[bool] = False
    #: Whether the outputs depend on the shapes of the inputs alone.
    of_shapes: ClassVar[bool] = False
    #: Whether `infer` and `shapes` take sizes in the attributes that are not known (None, or a name).
    takes_unknown: ClassVar[bool] = False
    #: Bytes of memory that a run takes at most for each element that it reads, makes or works with (`work`).
    bytes_per_element: ClassVar[int] = 32
    #: The field of a profile that decides the operator's codes; '' where the operator computes none.
    rule: ClassVar[str] = ""
    #: Other fields of a profile that the operator looks at.
    reads: ClassVar[tuple[str, ...]] = ()
    #: The axis of the output that counts channels.
    channel_axis: ClassVar[int] = 1
    #: Which operand is the weights, for operators that sum products; else None.
    weight_operand: ClassVar[int | None] = None
    #: Which operand is the bias, for operators that sum products; else None.
    bias_operand: ClassVar[int | None] = None

    def __init_subclass__(cls, *, register: bool = True, **keywords: Any) -> None:
        """Take the operator into the registry, but for one that is given for a load (`register=False`)."""
        super().__init_subclass__(**keywords)
        if register and hasattr(cls, "op"):
            DEFINED.append(cls)

    # -- reading -----------------------------------------------------------------------------------------------
    def attributes(self, check: NodeCheck) -> Any:
        """Return the node's attributes as the operator's dataclass, with constant inputs such as Reshape's shape."""
        return parse_attributes(self.Attributes, check, self.ignored)

    @abstractmethod
    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        """Return dtype and shape of every output; refuse what is invalid or unsupported."""

    # -- lowering ----------------------------------------------------------------------------------------------
    def step(self, check: NodeCheck, attributes: Any) -> Step:
        """Return the node as a step. Operators with scale inputs fold them into their operands."""
        inputs = tuple(Operand(name) if name else None for name in check.node.inputs)
        outputs = tuple(Operand(name) for name in check.node.outputs if name)
        return self.make_step(check, attributes, inputs, outputs)

    def make_step(
        self, check: NodeCheck, attributes: Any, inputs: Sequence[Operand | None], outputs: Sequence[Operand]
    ) -> Step:
        return Step(self.op, self.domain, attributes, tuple(inputs), tuple(outputs), check.node.origins)

    # -- running -----------------------------------------------------------------------------------------------
    @abstractmethod
    def shapes(self, attributes: Any, *inputs: Any, **_: Any) -> tuple[Shape, ...]:
        """Return output shapes for input shapes; unknown sizes (None or names) stay unknown. Raises ShapeError."""

    @abstractmethod
    def compute(self, binding: Binding, *inputs: Any, **_: Any) -> tuple[Array, ...]:
        """Compute output arrays from input arrays: the definition. Inputs are not changed.

        Raises ProfileError where the profile does not define the operator for them.
        """

    def known(self, attributes: Any, *shapes: Array) -> Sequence[Array] | None:
        """Return what is known of the outputs from the shapes of the inputs, for operators that are `of_shapes`.

        Shapes are arrays of objects: numbers, names of sizes, and None. The result is None where nothing is known.
        """
        return None

    def check_profile(self, binding: Binding) -> None:  # noqa: B027 - most operators need nothing of a profile
        """Raise ProfileError where the profile does not define the operator, before anything is computed."""

    def check_scales(self, binding: Binding) -> None:  # noqa: B027 - most rules take all scales
        """Raise ProfileError where the profile's rule does not take the scales of a step, before anything is computed.

        Not asked of scales that a run alone knows.
        """

    def only_moves(self, step: Step) -> bool:
        """Tell whether a step only moves or selects elements, as `monotone` says of all that the operator does."""
        return self.monotone

    def fixed(self, binding: Binding) -> bool:
        """Tell whether the numbers of the arithmetic are the same for every input of the same shape."""
        return True

    def doubt(self, binding: Binding) -> str:
        """Return why the results are not promised to be exact for the profile; '' where they are."""
        return ""

    def error(self, binding: Binding, *inputs: Any, **_: Any) -> Array | None:
        """Bound how far two float32 computations of the output in different orders can be apart.

        The bound is float64 in the output's shape; None for operators whose results are always promised.
        """
        return None

    @abstractmethod
    def origin(self, step: Step, output: int, index: Index, *inputs: Any, **_: Any) -> Any:
        """Return which input elements an output element is made of, by their numbers.

            output: which of the step's outputs.
            index: the element's index in it.
            inputs: the step's inputs with each element's number in its place; all numbers differ, and none is 0.

        The answer is one number, or several, (terms,). Of a sum of products it is (terms, 2): an element of input 0,
        and the weight, of input 1, that it meets; a bias, of input 2, is (bias, 0). 0 stands for what no input has:
        padding, or a constant that is filled in. No other element may change the output element; an operator that is
        `monotone` gives one of these.
        """

    def index_places(self, attributes: Any, *inputs: Any) -> int:
        """Return how many places each index that is input 1 may name; 0 where it is no index, or sizes are unknown."""
        return 0

    def macs(self, attributes: Any, inputs: Sequence[Any], output: Any) -> int:
        """Count the multiply-accumulates for concrete shapes; 0 for operators that have none."""
        return 0

    def work(self, attributes: Any, inputs: Sequence[Any], output: Any) -> int:
        """Estimate the elements that a run handles besides its inputs and outputs, for concrete shapes.

        They stand for work memory, and for what takes as long. Only the bound on what a model may ask for reads the
        estimate; it is 0 where the outputs say enough.
        """
        return 0


#: Operators that are defined and that the registry has not taken in yet.
DEFINED: list[type[Operator]] = []
