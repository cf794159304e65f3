"""An operator, a rule and a golden format that only this file knows: every command works with them.

A device made to the same plan, but with a narrower multiplier, is found, named, explained and told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.cli import cli
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.dump_writer import write_dump
from qdqnp.diagnosis.explain.explain import explain
from qdqnp.diagnosis.faults import SMALL
from qdqnp.diagnosis.faults.rounding import TRUNCATION
from qdqnp.diagnosis.identify.device import open_device
from qdqnp.diagnosis.identify.fit import fit
from qdqnp.diagnosis.identify.identify import identify
from qdqnp.diagnosis.reference import reference_from
from qdqnp.golden_sets import Options, read, write
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.formats import WRITERS, ReadableWriter
from qdqnp.golden_sets.tensor import Document, GoldenTensor
from qdqnp.graph import Shape
from qdqnp.numerics.choices import choice
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.questions import SumWeights
from qdqnp.numerics.rounding import ROUNDINGS, Quotient
from qdqnp.numerics.rule import _FAMILIES, Rule
from qdqnp.numerics.rules.requantize.protocol import Requantizer, SumContext
from qdqnp.numerics.status import INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, shifted, signs
from qdqnp.ops.geometry.matrix import MatrixAttributes, MatrixProduct, gemm_shape, matrix_weights
from qdqnp.ops.integer.asking import PlacedProducts, SumOperator
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Inferred
from qdqnp.ops.registry import operators
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array, Codes, Int64, Quant, Signs
from qdqnp.stimuli import for_layer
from qdqnp.stimuli import write as write_stimuli
from qdqnp.stimuli.goals import REACHED

EXAMPLE = "com.example"


# -- the operator ------------------------------------------------------------------------------------------------------
class QLinearDense(SumOperator):
    """y = requantize(x times w transposed, + bias): (x, x_scale, x_zp, w, w_scale, w_zp, bias, y_scale, y_zp)."""

    op = "QLinearDense"
    domain = EXAMPLE
    arity = (9, 9)
    rule = "gemm"
    sums_over = MatrixProduct

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        dtype = check.dtype_in(0, EIGHT_BIT, "x")
        return ((dtype, self.shapes(attributes, check.value(0).shape, check.value(3).shape)[0]),)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        names, dtype = check.node.inputs, check.value(0).dtype
        x, w, y = check.quant(1, 2, dtype), check.quant(4, 5, check.value(3).dtype, axis=0), check.quant(7, 8, dtype)
        operands = (Operand(names[0], x), Operand(names[3], w), Operand(names[6]))
        return self.make_step(check, attributes, operands, (Operand(check.node.outputs[0], y),))

    def shapes(self, attributes: Any, x: Shape, w: Shape, bias: Shape | None = None) -> tuple[Shape, ...]:
        return (gemm_shape(MatrixAttributes(transB=1), x, w, bias),)

    def weights(self, step: Step, w: Codes) -> SumWeights:
        return matrix_weights(w.T, step.quant(1))

    def products(self, step: Step, x: Codes, w: Codes, bias: Array | None = None) -> Sequence[PlacedProducts]:
        quants = step.quant(0), step.quant(1)
        return [PlacedProducts(MatrixProduct(x, w.T, *quants, lambda row, k: (row, k), lambda k, column: (column, k)))]


# -- the rule ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ShortMultiplier(Rule, family="requantize"):
    """acc * A / 2^(bits - 1), with A = floor(M * 2^(bits - 1)), rounded once."""

    bits: int = choice(of=(12, 16, 20), kind="multiplier width", text="a multiplier of {value} bits")
    rounding: str = choice("half-even", of=ROUNDINGS, kind="tie rule", text="{value}")
    status: str = choice(INFERRED, of=STATUSES)

    def bind(self, context: SumContext) -> Requantizer:
        real = float(context.x.scale) * context.w.scale.astype(np.float64) / float(context.output.scale)
        return ShortMultiplied(self, np.floor(np.ldexp(real, self.bits - 1)).astype(np.int64), context)


@dataclass(frozen=True, eq=False)
class ShortMultiplied(BoundRule):
    """The bound ShortMultiplier."""

    rule: ShortMultiplier
    a: Int64
    context: SumContext
    expression: None = None
    slope: None = None

    @property
    def bias(self) -> Int64 | None:
        return self.context.wide_bias

    @property
    def y(self) -> Quant:
        return self.context.output

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multiplier": self.a}

    def accumulator(self, sums: Int64) -> Int64:
        return sums if self.bias is None else sums + self.bias

    def quotient(self, sums: Int64) -> Quotient:
        return Quotient(self.accumulator(sums) * self.a, self.rule.bits - 1)

    def stages(self, sums: Int64) -> list[StageValue]:
        quotient = self.quotient(sums)
        rounded = quotient.rounded(self.rule.rounding)
        return [
            StageValue("acc", self.accumulator(sums)),
            StageValue("rounded", rounded, quotient.exact),
            *shifted(rounded, self.y),
        ]

    def ties(self, sums: Int64) -> Signs:
        quotient = self.quotient(sums)
        return signs(quotient.value, quotient.is_tie())


# -- the format --------------------------------------------------------------------------------------------------------
class TextWriter(ReadableWriter, name="text"):
    """A number a line."""

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        if stored.dtype.kind == "i":
            lines = "".join(f"{code}\n" for code in stored.reshape(-1).tolist())
            self._folder.append(f"text/{entry.tensor.key}.{case:05d}.txt", lines.encode())

    def place(self, entry: Entry) -> Document:
        tensor = entry.stored.tensor
        number = "{case}" if tensor.varies else "00000"
        return {"file": f"text/{tensor.key}.{number}.txt"} if tensor.dtype.startswith("int") else {}

    @staticmethod
    def read(file: BinaryIO, tensor: GoldenTensor, place: Mapping[str, Any], case: int, cases: int) -> bytes:
        return np.array(file.read().split(), tensor.dtype).tobytes()


RULE = ShortMultiplier(16)
OURS = replace(PROFILES["exact"], name="ours", summary="a device of ours", source="this test", gemm=RULE)
# What went wrong on it.
TRUNCATING = replace(OURS, name="truncating", gemm=replace(RULE, rounding="floor"))


# Defining the classes has registered them. Until the tests of this file run they are taken out again: other tests list
# what there is.
OPERATOR = operators().pop((EXAMPLE, "QLinearDense"))
WRITER = WRITERS.pop("text")
FAMILY = _FAMILIES["requantize"]
FAMILY.remove(ShortMultiplier)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(operators(), (EXAMPLE, "QLinearDense"), OPERATOR)
    monkeypatch.setitem(WRITERS, "text", WRITER)
    monkeypatch.setitem(_FAMILIES, "requantize", [*FAMILY, ShortMultiplier])
    monkeypatch.setitem(PROFILES, "ours", OURS)  # type: ignore[arg-type]


def model_bytes() -> bytes:
    """Two layers of the new operator: (2, 6) to (2, 5) to (2, 4)."""
    rng = np.random.default_rng(5)
    constants, nodes = [], []

    def const(name: str, value: Any, dtype: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    for name, x, y, inner, outer in (("first", "x", "h", 6, 5), ("second", "h", "y", 5, 4)):
        # powers of two meet ties; others need more bits than the multiplier has
        scales = 2.0 ** rng.integers(-8, -6, outer) if name == "first" else rng.uniform(0.004, 0.016, outer)
        arguments = [x, const(f"{name}_xs", 1, np.float32), const(f"{name}_xz", 3, np.int8)]
        arguments += [const(f"{name}_w", rng.integers(-127, 128, (outer, inner)), np.int8)]
        arguments += [const(f"{name}_ws", scales, np.float32), const(f"{name}_wz", 0, np.int8)]
        arguments += [const(f"{name}_b", rng.integers(-2000, 2000, outer), np.int32)]
        arguments += [const(f"{name}_ys", 1, np.float32), const(f"{name}_yz", 3, np.int8)]
        nodes.append(helper.make_node("QLinearDense", arguments, [y], name, domain=EXAMPLE))
    x, y = (helper.make_tensor_value_info(n, TensorProto.INT8, s) for n, s in (("x", (2, 6)), ("y", (2, 4))))
    graph = helper.make_graph(nodes, "dense", [x], [y], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(EXAMPLE, 1)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return made


MODEL = model_bytes()
CONSTANTS = {item.name: numpy_helper.to_array(item) for item in onnx.load_from_string(MODEL).graph.initializer}
FEEDS = [{"x": codes} for codes in np.random.default_rng(6).integers(-128, 128, (3, 2, 6)).astype(np.int8)]


def by_hand(layer: str, x: Array) -> Array:
    """The layer in Python's integers."""
    w, bias, scales = (CONSTANTS[f"{layer}_{what}"] for what in ("w", "b", "ws"))
    rows = []
    for row in x.tolist():
        sums = [sum((c - 3) * v for c, v in zip(row, ws, strict=True)) for ws in w.tolist()]
        real = [(s + b) * int(scale * 2**15) / 2**15 for s, b, scale in zip(sums, bias.tolist(), scales, strict=True)]
        rows.append([min(127, max(-128, round(value) + 3)) for value in real])  # round() is half to even
    return np.array(rows, np.int8)


def device_dump(folder: Path) -> Path:
    """Tensors of a device whose second layer rounds down."""
    model = qdqnp.load(MODEL)
    second = model.plan(TRUNCATING).steps[1]
    right = [model.trace(feeds, profile=OURS) for feeds in FEEDS]
    write_dump(folder, {"h": [t["h"] for t in right], "y": [second.evaluate(t)["y"] for t in right]})
    return folder


def test_run_and_trace() -> None:
    model = qdqnp.load(MODEL)
    for feeds in FEEDS:
        trace = model.trace(feeds, profile=OURS, accumulators=True, events=True)
        np.testing.assert_array_equal(trace["h"], by_hand("first", feeds["x"]), strict=True)
        np.testing.assert_array_equal(trace["y"], by_hand("second", trace["h"]), strict=True)
        np.testing.assert_array_equal(model.run(feeds, profile="ours")["y"], trace["y"], strict=True)
        assert trace.parameters["y"]["multiplier"].dtype == np.int64
        sums = (trace["h"].astype(np.int64) - 3) @ CONSTANTS["second_w"].astype(np.int64).T + CONSTANTS["second_b"]
        np.testing.assert_array_equal(trace.accumulators["y"], sums)
        assert trace.events["y"].accumulator_max == trace.accumulators["y"].max()


def test_named_profiles_answer_the_new_operator_too() -> None:
    """Its questions are ones that every rule of sums answers."""
    model = qdqnp.load(MODEL)
    codes = {name: model.run(FEEDS[0], profile=name)["y"] for name in ("exact", "ort", "tflite", "neural-art")}
    assert {array.shape for array in codes.values()} == {(2, 4)}
    assert np.abs(codes["exact"].astype(int) - codes["ort"]).max() <= 1


def test_golden_vectors_in_the_new_format(tmp_path: Path) -> None:
    write(tmp_path / "set", MODEL, FEEDS, len(FEEDS), profile="ours", options=Options(formats=("text",)))
    found, model = read(tmp_path / "set"), qdqnp.load(MODEL)
    assert {"weight", "bias", "parameter", "accumulator", "output"} <= {tensor.role for tensor in found.tensors}
    for case, feeds in enumerate(FEEDS):
        trace = model.trace(feeds, profile=OURS)
        for name in ("h", "y"):
            np.testing.assert_array_equal(found.array(found.find(name), case), trace[name], strict=True)
    (weight,) = [tensor for tensor in found.tensors if tensor.name == "second_w"]
    np.testing.assert_array_equal(found.array(weight), CONSTANTS["second_w"], strict=True)


def test_a_faulty_dump_is_compared(tmp_path: Path) -> None:
    write(tmp_path / "set", MODEL, FEEDS, len(FEEDS), profile="ours", options=Options(formats=("text",)))
    reference = reference_from(tmp_path / "set")
    dump = read_dump(device_dump(tmp_path / "dump"))
    report = compare(reference, align(dump, reference.targets, len(FEEDS)))
    first, second = report.rows
    assert first.status == "equal" and first.single.elements == 30
    assert second.status == "fault" and second.few
    assert [finding.kind for finding in second.findings] == [SMALL, TRUNCATION]
    assert report.as_json()["first_divergence"] == "y"


def test_identify_and_fit(tmp_path: Path) -> None:
    write(tmp_path / "set", MODEL, FEEDS, len(FEEDS), profile="ours", options=Options(formats=("text",)))
    trace = [qdqnp.load(MODEL).trace(feeds, profile=TRUNCATING) for feeds in FEEDS]
    write_dump(tmp_path / "dump", {name: [t[name] for t in trace] for name in ("h", "y")})
    model, runs = open_device(tmp_path / "set", tmp_path / "dump")
    assert identify(model, runs, [*PROFILES.values(), TRUNCATING]).everywhere == ["truncating"]
    (found,) = fit(model, runs).fits
    assert found.chosen == replace(TRUNCATING.gemm, status=INFERRED)


def test_explain() -> None:
    model = qdqnp.load(MODEL)
    want, got = (model.trace(FEEDS[0], profile=profile)["h"] for profile in (OURS, TRUNCATING))
    index = tuple(int(i) for i in np.argwhere(want != got)[0])
    found = explain(model, FEEDS[0], "first", index, [OURS, PROFILES["tflite"]], got=int(got[index]))
    ours, tflite = found.accounts
    assert ours.code == want[index] and [line.name for line in ours.lines] == ["acc", "rounded", "unclipped", "y"]
    assert TRUNCATION in {cause.kind for cause in ours.causes}
    assert tflite.code is not None and found.term_count == 6
    row, column = index  # where the operator's elements come from: it has said no more than what it multiplies
    assert {(term.x_index, term.w_index) for term in found.terms} == {((row, k), (column, k)) for k in range(6)}


def test_stimulate(tmp_path: Path) -> None:
    found = for_layer(qdqnp.load(MODEL), "first", OURS, against=(OURS, TRUNCATING))
    assert {verdict.verdict for verdict in found.verdicts} == {REACHED}
    assert {"extremes", "ties", "differences"} <= {stimulus.kind for stimulus in found.stimuli}
    write_stimuli(tmp_path / "set", found, MODEL, OURS, name="dense.onnx", options=Options(formats=("text",)))
    # the layer as a model of its own, run on what was written, meets what was promised
    alone, again = qdqnp.load(found.model), read(tmp_path / "set")
    differing = 0
    for case, stimulus in enumerate(found.stimuli):
        feeds = again.feeds(case)
        ours, other = (alone.run(feeds, profile=profile)["h"] for profile in (OURS, TRUNCATING))
        assert np.count_nonzero(ours != other) == stimulus.differing
        differing += stimulus.differing
    assert differing


@pytest.mark.parametrize("command", ["inspect", "run", "golden", "stimulate", "explain"])
def test_the_command_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(MODEL)
    np.save(tmp_path / "x.npy", FEEDS[0]["x"])
    more = {
        "run": ["--input", str(tmp_path / "x.npy"), "--profile", "ours"],
        "golden": ["--out", str(tmp_path / "set"), "--format", "text", "--profile", "ours"],
        "stimulate": ["--out", str(tmp_path / "set"), "--layer", "second", "--profile", "ours", "--format", "text"],
        "explain": ["--layer", "second", "--index", "0,1", "--profiles", "ours,tflite"],
    }
    result = CliRunner().invoke(cli, [command, str(tmp_path / "net.onnx"), *more.get(command, [])])
    assert result.exit_code == 0, result.output
