"""Score every runtime that is installed on the conformance pack, and write the tables of docs/conformance.md.

    python -m tools.verify.conformance_table --scores scores --write docs/conformance.md --tickets tickets

Runtimes that are not installed are named and left out. Other runtimes are scored on the pack of profile ort, qdqnp on
the pack of each of its profiles. Scores in the folder that are of the same pack are not made again: an interrupted
run goes on. The tickets are models of one layer for what seems a fault of a runtime, each run here.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from onnx import helper, numpy_helper

from qdqnp.conformance.make import make
from qdqnp.conformance.pack import PACK
from qdqnp.conformance.scoring import VERDICTS, opened, score
from qdqnp.conformance.verdict import CLASSES, FORM, ROUNDING, SATURATION, SPECIFICATION
from qdqnp.errors import PeerError
from qdqnp.files.npy import npy_bytes
from qdqnp.numerics.profiles import PROFILES
from qdqnp.peers.runtimes.names import RUNTIMES
from qdqnp.peers.runtimes.outcome import Ran
from qdqnp.quant import Array
from tools.verify.node_tests import with_section

BEGIN, END = "<!-- scores, by tools.verify.conformance_table -->", "<!-- end of scores -->"
OWN = "qdqnp"
#: The end of a runtime's name that is another one as a user opens it.
DEFAULT = "-default"
F, U8, I8 = np.float32, np.uint8, np.int8
Document = dict[str, Any]

#: Why wrong answers of a class occur, by runtime ('' for any), operator ('' for any) and form ('' for any).
REASONS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "",
        "MatMulIntegerToFloat",
        "qdq",
        ROUNDING,
        "the product is one of float32 numbers, not integer sums times a scale",
    ),
    (
        "onnxruntime-unfused",
        "",
        "qdq",
        ROUNDING,
        "the float operator runs between the pair: its arithmetic rounds more often",
    ),
    ("reference", "", "qdq", ROUNDING, "the float operator is computed in float32 or float64, then quantized"),
    (
        "reference",
        "QLinearConv",
        "integer",
        ROUNDING,
        "the zero point is added before the rounding, so halves depend on it",
    ),
    (
        "reference",
        "QLinearMatMul",
        "integer",
        ROUNDING,
        "the zero point is added before the rounding, so halves depend on it",
    ),
    (
        "reference",
        "QuantizeLinear",
        "",
        SATURATION,
        "float32 beyond int32 is converted before it is saturated (ticket)",
    ),
    (
        "",
        "DynamicQuantizeLinear",
        "",
        SPECIFICATION,
        "of zeros alone ONNX's formula is 0 / 0; ONNX Runtime makes the scale 1",
    ),
    ("tract", "QLinearSoftmax", "qdq", SATURATION, "Softmax between a pair gives other numbers (ticket)"),
    ("tract", "QLinearSoftmax", "qdq", SPECIFICATION, "Softmax between a pair gives other numbers (ticket)"),
    ("tract", "QuantizeLinear", "", SATURATION, "float32 beyond int32 is converted before it is saturated (ticket)"),
    ("tract", "QuantizeLinear", "", ROUNDING, "x times the reciprocal of the scale is not x divided by the scale"),
    ("tract", "", "qdq", ROUNDING, "the float operator is computed in float32, then quantized"),
    ("tract", "QLinearMatMul", "integer", ROUNDING, "the multiplier is rounded otherwise; the real value is as near"),
    ("openvino", "QLinearSoftmax", "integer", ROUNDING, "the exact Softmax, not ONNX Runtime's table"),
    (
        "openvino",
        "QuantizeLinear",
        "",
        ROUNDING,
        "the zero point is added before the rounding, so halves depend on it (ticket)",
    ),
    ("openvino", "DynamicQuantizeLinear", "", ROUNDING, "halves are rounded up, not to even (ticket)"),
    ("openvino", "QLinearAveragePool", "qdq", SATURATION, "padding that counts is code 0, not the zero point (ticket)"),
    (
        "openvino",
        "QLinearAveragePool",
        "qdq",
        SPECIFICATION,
        "padding that counts is code 0, not the zero point (ticket)",
    ),
    ("openvino", "QLinearSoftmax", "integer", SPECIFICATION, "results beyond the codes wrap (ticket)"),
    ("openvino", "DynamicQuantizeMatMul", "", SPECIFICATION, "the activations are quantized otherwise"),
    (
        "openvino",
        "MatMulIntegerToFloat",
        "",
        SPECIFICATION,
        "activations are quantized in groups while it runs, unless that is switched off",
    ),
    ("openvino", "", "integer", SATURATION, "results beyond the codes wrap, they are not saturated (ticket)"),
    ("openvino", "", "integer", SPECIFICATION, "results beyond the codes wrap, they are not saturated (ticket)"),
    (
        "openvino",
        "",
        "integer",
        ROUNDING,
        "the real value is rounded once: halves and products in float32 come out otherwise",
    ),
    ("openvino", "", "qdq", ROUNDING, "the float operator runs with its quantization folded in, rounded otherwise"),
)

#: Why a model is refused, by what a runtime says of it.
REFUSED: Mapping[str, str] = {
    "from domain 'com.microsoft' is unknown": "it does not have the operator",
    "Unimplemented(": "it does not have the operator",
    "No conversion rule found": "it does not have the operator",
    "number of dequantization scale elements": "scales of weights by channel are sought along axis 1, not 0 (ticket)",
    "Scalar value can't be derived": "scales of weights by column are not taken",
    "No suitable implementations": "its CPU plugin has no kernel for what it made of the layer",
}


# -- scores ------------------------------------------------------------------------------------------------------------
def scores_of(pack: Path, folder: Path | None, limit: int | None) -> Iterator[Document]:
    """Yield the score of each other runtime that is installed, as JSON has it."""
    for name in RUNTIMES:
        if name == OWN:
            continue
        try:
            yield kept(pack, folder, name, "ort", limit)
        except PeerError as error:
            click.echo(f"left out: {error.problems[0]}", err=True)


def own_scores(folder: Path | None, limit: int | None) -> Iterator[Document]:
    """Yield, for each profile of qdqnp, its score on the pack of that profile."""
    for profile in PROFILES:
        with tempfile.TemporaryDirectory() as place:
            made = make(Path(place) / "pack", [profile], limit=limit)
            yield kept(made.out, folder, OWN, profile, None)


def kept(pack: Path, folder: Path | None, name: str, profile: str, limit: int | None) -> Document:
    """Return the score of a runtime on a pack: the one in the folder where that is of the same pack, else a new one."""
    of = {"pack": hashlib.sha256((pack / PACK).read_bytes()).hexdigest(), "limit": limit}
    path = None if folder is None else folder / f"{name}-under-{profile}.json"
    if path is not None and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["of"] == of:
            found: Document = before["score"]
            return found
    found = score(pack, name, profile, limit=limit).as_json()
    click.echo(f"{name} under {profile}: {found['counts']}", err=True)
    if path is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"of": of, "score": found}), encoding="utf-8")
    return found


def own_summary(scores: Sequence[Document]) -> list[str]:
    """Return a row for each profile."""
    lines = [f"| profile | cases | {' | '.join(VERDICTS)} |", f"|---|--:|{'--:|' * len(VERDICTS)}"]
    for one in scores:
        counts = " | ".join(f"{one['counts'][verdict]:,}" for verdict in VERDICTS)
        lines.append(f"| `{one['profile']}` | {sum(one['counts'].values()):,} | {counts} |")
    return lines


def summary(scores: Sequence[Document]) -> list[str]:
    lines = [
        f"| runtime | version | {' | '.join(VERDICTS)} | wrong in |",
        f"|---|---|{'--:|' * len(VERDICTS)}---|",
    ]
    for one in scores:
        kinds = ", ".join(f"{kind} {one['classes'][kind]}" for kind in CLASSES if one["classes"].get(kind))
        counts = " | ".join(f"{one['counts'][verdict]:,}" for verdict in VERDICTS)
        version = one["version"].split("-releases")[0].split("-2")[0]
        lines.append(f"| `{one['runtime']}` | {version} | {counts} | {kinds} |")
    return lines


def differences(scores: Sequence[Document]) -> list[str]:
    """Return a row for each operator, form and class in which a runtime is wrong, with the reason; of a runtime that is
    another with its default options, those rows alone that the other one does not have."""
    lines = ["| runtime | operator | form | class | cases | as | why |", "|---|---|---|---|--:|---|---|"]
    groups = {one["runtime"]: _wrong_in(one) for one in scores}
    for one in scores:
        wrong = [case for case in one["cases"] if case["verdict"] == "wrong"]
        same = groups.get(one["runtime"].removesuffix(DEFAULT), {}) if one["runtime"].endswith(DEFAULT) else {}
        for (op, form, kind), count in sorted(groups[one["runtime"]].items()):
            if same.get((op, form, kind)) == count:
                continue
            those = [
                case for case in wrong if (case["case"].split("/")[1], case["form"], case["kind"]) == (op, form, kind)
            ]
            named = sorted({case["as_profile"] for case in those} - {""})
            lines.append(
                f"| `{one['runtime']}` | {op} | {form} | {kind} | {count} | {', '.join(f'`{n}`' for n in named)} | "
                f"{reason_of(one['runtime'], op, form, kind)} |"
            )
    return lines


def _wrong_in(one: Document) -> Counter[tuple[str, str, str]]:
    """Return how many wrong answers there are, by operator, form and class."""
    wrong = (case for case in one["cases"] if case["verdict"] == "wrong")
    return Counter((case["case"].split("/")[1], case["form"], case["kind"]) for case in wrong)


def reason_of(runtime: str, op: str, form: str, kind: str) -> str:
    """Return why a runtime's answers are wrong in this way; the class alone where nothing is known."""
    for name, operator, shape, of_class, why in REASONS:
        if (
            kind == of_class
            and name in ("", runtime, runtime.removesuffix(DEFAULT))
            and operator in ("", op)
            and shape in ("", form)
        ):
            return why
    return {ROUNDING: "rounded otherwise", FORM: CLASSES[FORM]}.get(kind, "not explained")


def refusals(scores: Sequence[Document]) -> list[str]:
    """Return a row for each runtime and reason: the operators that it refuses, by form, with the number of cases."""
    lines = ["| runtime | refused | why | operators |", "|---|--:|---|---|"]
    for one in scores:
        refused = [case for case in one["cases"] if case["verdict"] in ("refused", "failed")]
        whys = {case["case"]: why_refused(case["told"]) for case in refused}
        for why, count in Counter(whys.values()).most_common():
            those = (case for case in refused if whys[case["case"]] == why)
            groups = Counter((case["case"].split("/")[1], case["form"]) for case in those)
            told = ", ".join(f"{op} ({form}) {number}" for (op, form), number in sorted(groups.items()))
            lines.append(f"| `{one['runtime']}` | {count} | {why} | {told} |")
    return lines


def why_refused(told: str) -> str:
    """Return why a runtime refuses a model, by what it says."""
    return next((why for text, why in REFUSED.items() if text in told), "not explained")


# -- tickets -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Ticket:
    """What seems a fault of a runtime, as a ticket could hold it."""

    name: str
    runtimes: tuple[str, ...]
    title: str
    #: What the specification says, or ONNX Runtime does.
    because: str
    build: Callable[[], onnx.ModelProto]
    inputs: Mapping[str, Array]
    #: The first output.
    expected: Array


def _model(nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, Array], output: Any, shape: Sequence[int],
           constants: Mapping[str, Any]) -> onnx.ModelProto:  # fmt: skip
    kinds = {np.dtype(t): helper.np_dtype_to_tensor_dtype(np.dtype(t)) for t in (F, U8, I8)}
    infos = [helper.make_tensor_value_info(name, kinds[array.dtype], array.shape) for name, array in inputs.items()]
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    y = helper.make_tensor_value_info("y", kinds[np.dtype(output)], shape)
    graph = helper.make_graph(list(nodes), "ticket", infos, [y], given)
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), output.split(), op, **attributes)


HALF = {"x": np.array([0.5], F)}
FAR = {"x": np.array([3e38, -3e38], F)}
EVEN = {"x": np.array([0, 255, 2.5], F)}
BIG = {"x": np.array([200], U8), "w": np.array([200], U8)}
PLANE = {"x": np.full((1, 1, 2, 2), -128, I8)}
CHANNEL = {"x": np.array([[[[2]]]], U8)}
ALIKE = {"x": np.zeros((1, 10), U8)}
TICKETS = (
    Ticket(
        "quantize_half",
        ("openvino",),
        "QuantizeLinear adds the zero point before it rounds",
        "ONNX: x / y_scale is rounded to the nearest even, then y_zero_point is added: rint(0.5) + 1",
        lambda: _model([_node("QuantizeLinear", "x s z", "y")], HALF, U8, [1], {"s": F(1), "z": U8(1)}),
        HALF,
        np.array([1], U8),
    ),
    Ticket(
        "quantize_far",
        ("reference", "tract"),
        "QuantizeLinear of float32 beyond int32 does not saturate",
        "ONNX: y = saturate(round(x / y_scale) + y_zero_point), to [0, 255] of uint8",
        lambda: _model([_node("QuantizeLinear", "x s z", "y")], FAR, U8, [2], {"s": F(1), "z": U8(255)}),
        FAR,
        np.array([255, 0], U8),
    ),
    Ticket(
        "dynamic_half",
        ("openvino",),
        "DynamicQuantizeLinear rounds halves up",
        "ONNX: 'rounding to nearest ties to even'; the scale is 1 and the zero point 0 here: rint(2.5)",
        lambda: _model([_node("DynamicQuantizeLinear", "x", "y s z")], EVEN, U8, [3], {}),
        EVEN,
        np.array([0, 255, 2], U8),
    ),
    Ticket(
        "conv_channels",
        ("openvino",),
        "QLinearConv whose weights have a scale for each output channel is refused",
        "ONNX: w_scale is a scalar, or has the size of output channels; w has the shape (M, C / group, kH, kW)",
        lambda: _model(
            [_node("QLinearConv", "x s z w ws wz s z", "y")],
            CHANNEL,
            U8,
            [1, 2, 1, 1],
            {
                "s": F(1),
                "z": U8(0),
                "w": np.array([3, 3], I8).reshape(2, 1, 1, 1),
                "ws": np.array([1, 2], F),
                "wz": np.zeros(2, I8),
            },
        ),
        CHANNEL,
        np.array([6, 12], U8).reshape(1, 2, 1, 1),
    ),
    Ticket(
        "add_beyond",
        ("openvino",),
        "QLinearAdd wraps where the result is beyond the codes",
        "ONNX Runtime's schema of com.microsoft.QLinearAdd: C = saturate(...); 200 + 200 is 255",
        lambda: _model(
            [_node("QLinearAdd", "x s z w s z s z", "y", domain="com.microsoft")], BIG, U8, [1], {"s": F(1), "z": U8(0)}
        ),
        BIG,
        np.array([255], U8),
    ),
    Ticket(
        "average_padding",
        ("openvino",),
        "AveragePool between DequantizeLinear and QuantizeLinear pads with code 0 instead of the zero point",
        "ONNX: padding that counts is 0.0, which is the code -128 here; so the average of zeros is zero",
        lambda: _model(
            [
                _node("DequantizeLinear", "x s z", "xr"),
                _node("AveragePool", "xr", "yr", kernel_shape=[2, 2], pads=[1, 0, 0, 1], count_include_pad=1),
                _node("QuantizeLinear", "yr s z", "y"),
            ],
            PLANE,
            I8,
            [1, 1, 2, 2],
            {"s": F(0.0625), "z": I8(-128)},
        ),
        PLANE,
        np.full((1, 1, 2, 2), -128, I8),
    ),
    Ticket(
        "softmax_pair",
        ("tract",),
        "Softmax between DequantizeLinear and QuantizeLinear gives other numbers",
        "ONNX: Softmax of ten equal numbers is 0.1, and 0.1 * 256 = 25.6 is the code 26",
        lambda: _model(
            [
                _node("DequantizeLinear", "x s z", "xr"),
                _node("Softmax", "xr", "yr", axis=1),
                _node("QuantizeLinear", "yr t z", "y"),
            ],
            ALIKE,
            U8,
            [1, 10],
            {"s": F(0.0625), "t": F(1 / 256), "z": U8(0)},
        ),
        ALIKE,
        np.full((1, 10), 26, U8),
    ),
)


def tickets(folder: Path) -> list[str]:
    """Write the models and inputs of the tickets, run each in every runtime, and return a row for each."""
    lines = ["| model | what | expected, because | expected | got |", "|---|---|---|---|---|"]
    for ticket in TICKETS:
        place = folder / ticket.name
        place.mkdir(parents=True, exist_ok=True)
        (place / "model.onnx").write_bytes(ticket.build().SerializeToString(deterministic=True))
        files = {name: place / f"input_{name}.npy" for name in ticket.inputs}
        for name, path in files.items():
            path.write_bytes(npy_bytes(ticket.inputs[name]))
        (place / "output_y.npy").write_bytes(npy_bytes(ticket.expected))
        got = [f"`{name}`: {_answer(name, place / 'model.onnx', files)}" for name in ("onnxruntime", *ticket.runtimes)]
        wanted = told(ticket.expected)
        title = f"{', '.join(f'`{name}`' for name in ticket.runtimes)}: {ticket.title}"
        lines.append(f"| {ticket.name} | {title} | {ticket.because} | {wanted} | {'; '.join(got)} |")
    return lines


def _answer(runtime: str, model: Path, files: Mapping[str, Path]) -> str:
    try:
        opened_runtime = opened(runtime, "ort", 60)
    except PeerError:
        return "not installed"
    try:
        outcome = opened_runtime.run(model, files)
    finally:
        opened_runtime.close()
    return (
        told(outcome.outputs["y"])
        if isinstance(outcome, Ran)
        else f"refused: {why_refused(outcome.reason).removesuffix(' (ticket)')}"
    )


def told(values: Array) -> str:
    """Return numbers as a ticket shows them: one that is repeated is said once.

    >>> told(np.array([1, 2])), told(np.full((1, 10), 26))
    ('1 2', '26, 10 times')
    """
    each = [str(value) for value in values.reshape(-1)]
    return f"{each[0]}, {len(each)} times" if len(each) > 2 and len(set(each)) == 1 else " ".join(each)


def section(found: Sequence[Document], own: Sequence[Document], rows: Sequence[str]) -> str:
    """Return the section of docs/conformance.md: the scores, those of qdqnp under its profiles, and the tickets."""
    total = sum(found[0]["counts"].values()) if found else 0
    return "\n".join(
        [
            f"{total:,} cases under `ort`. Rounding and saturation are defined [above](#score-a-runtime).",
            "",
            *summary(found),
            "",
            "qdqnp itself under each of its profiles, on the pack of that profile, which has the layers that the",
            "profile defines and promises every bit of. What is expected there is qdqnp's own: this shows that packs",
            "are read back as they were written, and that another process gives the same bits. That `ort` is right,",
            "the sessions above show.",
            "",
            *own_summary(own),
            "",
            "What is refused:",
            "",
            *refusals(found),
            "",
            "Each difference; `as` names an arithmetic of qdqnp that gives the same answers in some of the cases. Of",
            "`openvino-default` these are the rows that differ from those of `openvino`:",
            "",
            *differences(found),
            "",
            "## What seems a fault",
            "",
            "Each is a model of one layer, which `--tickets` writes with its input and the expected output.",
            "",
            *rows,
        ]
    )


@click.command(help=__doc__)
@click.option("--pack", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A pack that is there.")
@click.option("--scores", type=click.Path(file_okay=False, path_type=Path), help="Where scores are kept.")
@click.option("--tickets", "place", type=click.Path(file_okay=False, path_type=Path), help="Where the tickets go.")
@click.option("--limit", type=int, help="At most so many cases.")
@click.option(
    "--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Put the tables into a page."
)
def main(pack: Path | None, scores: Path | None, place: Path | None, limit: int | None, write: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if pack is None:
            pack = Path(folder) / "pack"
            make(pack)
        found = list(scores_of(pack, scores, limit))
        own = list(own_scores(scores, limit))
        rows = tickets(place or Path(folder) / "tickets")
    text = section(found, own, rows)
    click.echo(text)
    if write is not None:
        write.write_text(with_section(write.read_text(encoding="utf-8"), text, BEGIN, END), encoding="utf-8")


if __name__ == "__main__":
    main()
