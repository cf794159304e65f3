"""Model is what `qdqnp.load` returns. It runs and traces a model under a profile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from qdqnp.errors import InputError, Problem
from qdqnp.executor.plan import Plan
from qdqnp.executor.settle import settled
from qdqnp.executor.threads import ONE
from qdqnp.executor.walk import Notes
from qdqnp.feeds import Inputs, sizes_text
from qdqnp.feeds import code_outputs as code_outputs
from qdqnp.feeds import codes_taken as codes_taken
from qdqnp.feeds import feeds_for as feeds_for
from qdqnp.find import find_step
from qdqnp.graph import Graph
from qdqnp.kernels.strategy import AUTO
from qdqnp.layers import ModelLayer, ModelTensor, layer_of, layers_of, tensor_of
from qdqnp.lowering import LOWERINGS, Lowering, lower
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.ops.given import given_operators
from qdqnp.ops.operator import Operator
from qdqnp.program import Program
from qdqnp.quant import Array
from qdqnp.reader import read
from qdqnp.reader.cut import given_inputs
from qdqnp.reader.edits import edits_of
from qdqnp.reader.proto import CutModel, EditedModel, EquippedModel, Source, source_name
from qdqnp.schedule.schedules import Schedules
from qdqnp.trace import Trace as Trace


class Model:
    """A loaded model. It is immutable; `run` and `trace` may be called from several threads at once."""

    def __init__(self, graph: Graph, source: Source | None = None) -> None:
        self.graph = graph
        #: What it was loaded from; None where it was not loaded.
        self.source = source
        self._programs: dict[Lowering, Program] = {}
        self._plans: dict[tuple[Profile, Lowering, str], Plan] = {}
        #: The same plans by what they were asked for with: a profile takes longer to hash than its name.
        self._asked: dict[tuple[str | Profile, str | Lowering | None, str], Plan] = {}
        self._settled: dict[tuple[Profile, Lowering], Lowering] = {}
        self._schedules: dict[Plan, Schedules] = {}

    def __repr__(self) -> str:
        name = source_name(self.source) if self.source is not None else ""
        ends = []
        for names in (self.graph.inputs, self.graph.outputs):
            tensors = [self.graph.values[one] for one in names]
            ends.append(", ".join(f"{one.name} {one.dtype}{sizes_text(one.shape)}" for one in tensors[:3]))
        return f"<Model {name or 'without a name'}: {len(self.graph.nodes)} nodes, from {ends[0]} to {ends[1]}>"

    @property
    def inputs(self) -> tuple[ModelTensor, ...]:
        """Return the inputs, in the order of the file."""
        program = self.program()
        return tuple(tensor_of(program, name) for name in program.inputs)

    @property
    def outputs(self) -> tuple[ModelTensor, ...]:
        """Return the outputs, in the order of the file."""
        program = self.program()
        return tuple(tensor_of(program, name) for name in program.outputs)

    @property
    def layers(self) -> tuple[ModelLayer, ...]:
        """Return the layers under the profile 'ort', in the order in which they run."""
        return layers_of(self.program())

    def layer(self, name: str, profile: str | Profile = "ort") -> ModelLayer:
        """Return one layer.

            name: its label, ONNX node, tensor or number, or a glob of one, see qdqnp.find.
            profile: the arithmetic whose steps are meant.

        Raises InputError, which says which names are near.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
        >>> found = model.layer("level0.0")
        >>> found.op, found.shape, found.dtype, found.zero_point, model["level0.0"].name == found.name
        ('QLinearConv', (1, 16, 32, 32), dtype('int8'), -128, True)
        """
        program = self.program(profile)
        return layer_of(program, find_step(program, name))

    def __getitem__(self, name: str) -> ModelLayer:
        if not isinstance(name, str):  # for Python takes what has items by number for a sequence
            what = "a layer is named by a text, such as model['conv1'] or model['0']"
            raise TypeError(f"{what}, not by {type(name).__name__}")
        return self.layer(name)

    def __contains__(self, name: object) -> bool:
        """Tell whether `layer` finds a layer of that name."""
        try:
            return isinstance(name, str) and bool(self.layer(name))
        except InputError:
            return False

    def between(self, start: str | None = None, end: str | None = None) -> Model:
        """Return the part of the model from one layer to another, both included, as a model of its own.

            start: the first layer; what it reads are the inputs. None begins with the model's own.
            end: the last layer; what it makes are the outputs. None ends with the model's own.

        What does not come from `start`, such as the other side of a residual, is computed from the model's inputs,
        which stay. Raises InputError for layers that there are not, and where no way leads from `start` to `end`.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
        >>> part = model.between("level0.0", "level1.0")
        >>> [layer.label for layer in part.layers], part.inputs[0].dtype
        (['level0.0', 'level1.0'], dtype('int8'))
        """
        program = self.program()
        first = None if start is None else program.steps[find_step(program, start)]
        given = () if first is None else given_inputs(self.graph, first)
        outputs = self.graph.outputs if end is None else program.steps[find_step(program, end)].output_names
        found = load(CutModel(self._known_source(), outputs, given))
        passed = found.graph.outputs if end is not None else ()  # an input that is an output: `end` is before `start`
        unused = [one.name for one in given if one.name not in found.graph.inputs or one.name in passed]
        if unused:
            where = "the outputs" if end is None else f"'{end}'"
            problem = Problem(f"layer '{start}'", f"one that {where} depends on", f"'{unused[0]}' does not lead there")
            raise InputError("no part of the model", [problem])
        return found

    def replace(
        self,
        layer: str,
        *,
        weight: Array | None = None,
        bias: Array | None = None,
        scale: float | Array | None = None,
        zero_point: int | Array | None = None,
    ) -> Model:
        """Return the model with other constants of one layer: what if?

            layer: the layer, as `layer` takes it.
            weight: codes of the dtype and shape of the layer's; or real values, which are rounded to them in its scale.
            bias: likewise.
            scale: float32, of the codes that the layer makes. Biases of the layers that read them keep their values.
            zero_point: likewise, a code.

        Raises InputError where the layer has no such constant in the file or shares it, and for values that do not fit.

        >>> import numpy as np
        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
        >>> wider = model.replace("level0.0", scale=2 * model["level0.0"].scale)
        >>> wider["level0.0"].scale == 2 * model["level0.0"].scale
        True
        """
        program = self.program()
        index = find_step(program, layer)
        values = {"weight": weight, "bias": bias, "scale": scale, "zero_point": zero_point}
        edits = edits_of(self.graph, program, index, **values)
        return load(EditedModel(self._known_source(), tuple(edits)))

    def _known_source(self) -> Source:
        """Return what the model was loaded from. Raises InputError for one of a graph alone."""
        if self.source is None:
            problem = Problem("model", "what qdqnp.load returned", "a Model of a graph alone")
            raise InputError("the model's file is not known", [problem])
        return self.source

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the graph and its source; programs and plans are made again where they are needed."""
        return Model, (self.graph, self.source)

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
        asked = (profile, lowering, strategy)
        found = self._asked.get(asked)
        if found is None:
            named = profile_named(profile)
            key = (named, self._lowering(named, lowering), strategy)
            if key not in self._plans:
                self._plans.setdefault(key, Plan(self.program(named, lowering), named, strategy))
            found = self._asked[asked] = self._plans[key]
        return found

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
            threads: how many compute at a time, None for as many as there are processors: the pictures of a batch, or
                rows of one picture in layers that are large enough. BLAS is held to one thread where threadpoolctl is
                installed, but for None where the model is computed step by step. No result depends on it.
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
        return Trace(
            self._scheduled(plan).trace(feeds_for(plan, inputs, keep_all=True), notes, threads), notes, plan.program
        )

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
    source = equipped(source, operators)
    return Model(read(source), source)


def equipped(source: Source, operators: Iterable[type | Operator]) -> Source:
    """Return a source with operators of the user's. Raises ModelError for classes that are none."""
    given = given_operators(operators)
    return EquippedModel(source, given) if given else source


def _lowering(profile: Profile, lowering: str | Lowering | None) -> Lowering:
    chosen = lowering if lowering is not None else profile.lowering
    return LOWERINGS[chosen] if isinstance(chosen, str) else chosen
