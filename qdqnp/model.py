"""Model is what `qdqnp.load` returns. It runs and traces a model under a profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.errors import InputError, Problems
from qdqnp.executor.events import Events
from qdqnp.executor.plan import Plan
from qdqnp.executor.settle import settled
from qdqnp.executor.threads import ONE
from qdqnp.executor.walk import Notes
from qdqnp.graph import Graph
from qdqnp.kernels.strategy import AUTO
from qdqnp.lowering import LOWERINGS, Lowering, lower
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.ops.given import given_operators
from qdqnp.ops.operator import Operator
from qdqnp.program import Program, Step, Tensor
from qdqnp.quant import Array, shifted
from qdqnp.reader import read
from qdqnp.reader.proto import CutModel, EquippedModel, Source
from qdqnp.schedule.schedules import Schedules

Inputs = Mapping[str, Array] | Array


class Trace(Mapping[str, Array]):
    """Every tensor of one run by ONNX name, in the order in which they were made; inputs first, constants left out.

    The attributes hold more about each layer, by the name of the tensor that the layer made.
    """

    def __init__(self, tensors: Mapping[str, Array], notes: Notes) -> None:
        self._tensors = dict(tensors)
        #: int32 sums with bias; empty unless asked for.
        self.accumulators: dict[str, Array] = notes.accumulators or {}
        #: What was counted inside the layer; empty unless asked for.
        self.events: dict[str, Events] = notes.events or {}
        #: The numbers that the layer's arithmetic used (multiplier and shift; A, BC, S1, S2).
        self.parameters: dict[str, Mapping[str, Any]] = notes.parameters

    def __getitem__(self, name: str) -> Array:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


class Model:
    """A loaded model. It is immutable; `run` and `trace` may be called from several threads at once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._programs: dict[Lowering, Program] = {}
        self._plans: dict[tuple[Profile, Lowering, str], Plan] = {}
        self._settled: dict[tuple[Profile, Lowering], Lowering] = {}
        self._schedules: dict[Plan, Schedules] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the graph alone; programs and plans are made again where they are needed."""
        return Model, (self.graph,)

    def program(self, profile: str | Profile = "ort", lowering: str | Lowering | None = None) -> Program:
        """Return the steps that run under a profile.

        lowering: the lowering to use instead of the one that the profile names.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
        >>> len(model.program("ort").steps), len(model.program("ort-unfused").steps)
        (75, 342)
        """
        chosen = self._lowering(profile_named(profile), lowering)
        if chosen not in self._programs:  # no lock, which a fork would leave locked: two threads may both do it
            self._programs.setdefault(chosen, lower(self.graph, chosen))
        return self._programs[chosen]

    def plan(
        self, profile: str | Profile = "ort", lowering: str | Lowering | None = None, strategy: str = AUTO
    ) -> Plan:
        """Return the program bound to the profile; `plan.steps[i].evaluate(inputs)` runs one step alone.

        lowering: the lowering to use instead of the one that the profile names.
        strategy: how integer sums are computed; 'auto', or one that must be provable for every layer.

        >>> import numpy as np
        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
        >>> step = model.plan().steps[1]
        >>> step.step.label, step.step.op
        ('base_layer.0', 'QLinearConv')
        >>> made = step.evaluate({"input_QuantizeLinear_Output": np.zeros((1, 3, 32, 32), np.int8)})
        >>> [(name, array.shape) for name, array in made.items()]
        [('base_layer.2_QuantizeLinear_Output', (1, 16, 32, 32))]
        """
        named = profile_named(profile)
        key = (named, self._lowering(named, lowering), strategy)
        if key not in self._plans:
            self._plans.setdefault(key, Plan(self.program(named, lowering), named, strategy))
        return self._plans[key]

    def _lowering(self, profile: Profile, lowering: str | Lowering | None) -> Lowering:
        """Return the lowering that the profile's steps come from."""
        chosen = _lowering(profile, lowering)
        key = (profile, chosen)
        if key not in self._settled:
            self._settled.setdefault(key, settled(self.graph, profile, chosen))
        return self._settled[key]

    def run(
        self,
        inputs: Inputs,
        *,
        profile: str | Profile = "ort",
        lowering: str | Lowering | None = None,
        strategy: str = AUTO,
        codes: bool = False,
        threads: int | None = ONE,
    ) -> dict[str, Array]:
        """Run the model and return its outputs by ONNX name.

            inputs: arrays by name, or the array itself where the model has one input; float32, or directly the integer
                codes of the quantizer that reads the input.
            profile: the arithmetic, by name or as a value.
            lowering: the lowering to use instead of the one that the profile names.
            strategy: how integer sums are computed; 'auto', or one that must be provable for every layer.
            threads: how many pictures of a batch are computed at a time, None for as many as there are processors. One
                picture is computed by one thread, and BLAS is held to one where threadpoolctl is installed, but for
                None where no batch is divided. No result depends on it.
            codes: if True, return the integer codes of each output instead of its float32 values.

        Raises InputError for inputs that do not fit, ModelError and ProfileError where the model cannot run under the
        profile, ProofError for a forced strategy that is not exact.

        >>> import numpy as np
        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
        >>> x = np.zeros((1, 3, 32, 32), np.float32)
        >>> model.run({"input": x})["output"].shape
        (1, 10)
        >>> model.run(x, profile="tflite", codes=True)["output"].dtype
        dtype('int8')
        """
        plan = self.plan(profile, lowering, strategy)
        feeds = feeds_for(plan, inputs)
        names = code_outputs(plan.program) if codes else {name: name for name in plan.program.outputs}
        found = self._scheduled(plan).run(feeds, set(names.values()), threads)
        consts, tensors = plan.consts, plan.program.tensors
        arrays = {name: found[kept] if kept in found else consts[kept].copy() for name, kept in names.items()}
        return {name: tensors[names[name]].as_in_file(array) for name, array in arrays.items()}

    def trace(
        self,
        inputs: Inputs,
        *,
        profile: str | Profile = "ort",
        lowering: str | Lowering | None = None,
        strategy: str = AUTO,
        accumulators: bool = False,
        events: bool = False,
        threads: int | None = ONE,
    ) -> Trace:
        """Run the model and return every tensor of the run.

            accumulators: whether the trace holds the int32 sums with bias.
            events: whether the trace holds what was counted inside each layer.

        The other arguments and the errors are those of `run`.

        >>> import numpy as np
        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
        >>> trace = model.trace(np.zeros((1, 3, 32, 32), np.float32), accumulators=True, events=True)
        >>> conv = "base_layer.2_QuantizeLinear_Output"
        >>> trace[conv].dtype, trace.accumulators[conv].dtype
        (dtype('int8'), dtype('int32'))
        >>> sorted(trace.parameters[conv]), trace.events[conv].past_2_23
        (['multiplier'], 0)
        """
        plan = self.plan(profile, lowering, strategy)
        notes = Notes({} if accumulators else None, {} if events else None)
        return Trace(self._scheduled(plan).trace(feeds_for(plan, inputs, keep_all=True), notes, threads), notes)

    def _scheduled(self, plan: Plan) -> Schedules:
        return self._schedules.setdefault(plan, Schedules(plan))


def load(
    source: Source, outputs: str | Sequence[str] | None = None, operators: Iterable[type | Operator] = ()
) -> Model:
    """Read and check an ONNX model.

    outputs: the name of a tensor, or several, that are the outputs in place of those of the file. What only the rest of
        the model needs is not looked at, so that an operator that qdqnp does not have, or sizes that depend on data,
        cost only what is behind them.
    operators: classes of operators that qdqnp does not have, in the manner of onnx's OpRun, or Operators. This model
        alone knows them; qdqnp.ops.given says what such a class needs.

    Raises ModelError, which lists every problem of the file.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
    >>> model.graph.inputs, model.graph.outputs
    (('input',), ('output',))
    >>> first = qdqnp.load(shipped_model("dla46_c_int8"), outputs=["base_layer.2_QuantizeLinear_Output"])
    >>> len(model.program().steps), len(first.program().steps)
    (75, 2)
    """
    if outputs is not None:
        source = CutModel(source, (outputs,) if isinstance(outputs, str) else tuple(outputs))
    return Model(read(equipped(source, operators)))


def equipped(source: Source, operators: Iterable[type | Operator]) -> Source:
    """Return a source with operators of the user's. Raises ModelError for classes that are none."""
    given = given_operators(operators)
    return EquippedModel(source, given) if given else source


def _lowering(profile: Profile, lowering: str | Lowering | None) -> Lowering:
    chosen = lowering if lowering is not None else profile.lowering
    return LOWERINGS[chosen] if isinstance(chosen, str) else chosen


def feeds_for(plan: Plan, inputs: Inputs, keep_all: bool = False) -> dict[str, Array]:
    """Return the arrays to start from, by tensor name: the inputs, or codes in place of the output of their quantizer.

        keep_all: whether every tensor is kept to the end, as in a trace.

    Raises InputError, which lists every input that is missing, unknown, or of the wrong dtype, rank or shape.
    """
    program = plan.program
    given = _by_name(program, inputs)
    problems = Problems()
    feeds: dict[str, Array] = {}
    sizes: dict[str, tuple[str, int]] = {}
    for name in program.inputs:
        if name not in given:
            problems.add(f"input '{name}'", "an array", "nothing", f"Pass one by name; {_listing(program)}")
            continue
        array = np.asarray(given[name])
        tensor = program.tensors[name]
        quantizers = [] if array.dtype == tensor.dtype else _quantizers(program, tensor, array)
        if array.dtype != tensor.dtype and not quantizers:
            problems.add(f"input '{name}'", _dtypes(program, tensor), array.dtype, "Convert it with astype().")
        elif _fits(array, tensor, sizes, problems):
            targets = [step.output_names[0] for step in quantizers] or [name]
            feeds.update((target, shifted(array, program.tensors[target].dtype)) for target in targets)
    for name in given:
        if name not in program.inputs:
            problems.add(f"input '{name}'", "a name of the model's inputs", "another", _listing(program))
    problems.raise_if_any("the inputs do not fit the model", InputError)
    values = {name: np.asarray(given[name]) for name in plan.size_inputs}
    plan.admit({name: np.shape(given[name]) for name in program.inputs}, keep_all, values)
    return feeds


def _by_name(program: Program, inputs: Inputs) -> Mapping[str, Array]:
    if isinstance(inputs, Mapping):
        return inputs
    if len(program.inputs) != 1:
        problems = Problems()
        problems.add("inputs", "a mapping by name", type(inputs).__name__, _listing(program))
        problems.raise_if_any("the model has not exactly one input", InputError)
    return {program.inputs[0]: np.asarray(inputs)}


def _listing(program: Program) -> str:
    listed = [f"'{name}' {program.tensors[name].dtype}{_dims(program.tensors[name])}" for name in program.inputs[:20]]
    more = len(program.inputs) - len(listed)
    return f"The model's inputs: {', '.join(listed)}{f' and {more} more' if more else ''}"


def _dims(tensor: Tensor) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in tensor.shape) + "]"


def _readers(program: Program, name: str) -> list[Step]:
    return [step for step in program.steps if name in step.input_names]


def _quantizers(program: Program, tensor: Tensor, array: Array) -> Sequence[Step]:
    """Return the QuantizeLinear steps whose codes `array` may replace.

    They are all readers of the input where all are such steps and alike; else the result is empty.
    """
    readers = _readers(program, tensor.name)
    quants = [step.outputs[0].quant for step in readers if step.quantizes]
    if not readers or len(quants) != len(readers) or tensor.name in program.outputs:
        return []
    first = quants[0]
    alike = first is not None and all(quant is not None and quant.same_as(first) for quant in quants)
    return readers if alike and _file_dtype(program, readers[0]) == array.dtype else []


def codes_taken(program: Program, tensor: Tensor) -> np.dtype[Any] | None:
    """Return the dtype of the codes that a run takes in place of an input; None where its readers make no codes."""
    step = next((step for step in _readers(program, tensor.name) if step.quantizes), None)
    return None if step is None else _file_dtype(program, step)


def _file_dtype(program: Program, quantizer: Step) -> np.dtype[Any]:
    """Return the dtype of a QuantizeLinear's codes in the model file."""
    made = program.tensors[quantizer.output_names[0]]
    return made.file_dtype or made.dtype


def _dtypes(program: Program, tensor: Tensor) -> str:
    readers = _readers(program, tensor.name)
    quants = {str(_file_dtype(program, step)) for step in readers if step.quantizes}
    return " or ".join([str(tensor.dtype), *(f"{kind} codes" for kind in sorted(quants))])


def _fits(array: Array, tensor: Tensor, sizes: dict[str, tuple[str, int]], problems: Problems) -> bool:
    """Check rank and sizes; a symbolic size must be the same wherever its name stands."""
    where = f"input '{tensor.name}'"
    if array.ndim != len(tensor.shape):
        problems.add(where, f"rank {len(tensor.shape)}, shape {_dims(tensor)}", f"shape {list(array.shape)}")
        return False
    good = True
    for axis, (size, want) in enumerate(zip(array.shape, tensor.shape, strict=True)):
        if isinstance(want, int) and size != want:
            problems.add(f"{where}, axis {axis}", str(want), size)
            good = False
        elif isinstance(want, str) and sizes.setdefault(want, (where, size))[1] != size:
            first, value = sizes[want]
            problems.add(f"{where}, axis {axis} ('{want}')", f"{value}, as in {first}", size)
            good = False
    return good


def code_outputs(program: Program) -> dict[str, str]:
    """Return the name of the tensor that holds the codes of each output, by output name.

    This tensor is the input of the output's final DequantizeLinear, or the output itself. Raises InputError for outputs
    that do not have codes.
    """
    problems = Problems()
    found: dict[str, str] = {}
    for name in program.outputs:
        maker = program.makers.get(name)
        if maker is not None and maker.dequantizes and maker.inputs[0] is not None:
            found[name] = maker.inputs[0].name
        elif program.tensors[name].dtype.kind in "iub":
            found[name] = name
        else:
            problems.add(
                f"output '{name}'",
                "the result of a DequantizeLinear, or codes",
                f"the result of {maker.op if maker else 'no step'}",
                "Ask for float outputs.",
            )
    problems.raise_if_any("outputs without codes", InputError)
    return found
