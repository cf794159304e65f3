"""The benchmarks: what they report and refuse. Never how long anything takes."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from qdqnp import Model, load
from qdqnp.inputs.random_inputs import random_feeds
from tests.networks import dla
from tools.bench import bench
from tools.bench.bench import THREAD_VARIABLES, environment, main
from tools.bench.bench_conv import LAYERS, ConvLayer, build_layer
from tools.bench.bench_conv import main as conv_main
from tools.bench.candidates import (
    LABELS,
    ORT_DEFAULT,
    ORT_FLOAT,
    ORT_INT8,
    ORT_UINT8,
    QDQNP,
    REFERENCE,
    STEPS,
    TRACE,
    BenchError,
    Case,
    fit,
    measure,
    require_equal,
)
from tools.bench.floor import floor_ms
from tools.bench.tables import Table, blas_kernel
from tools.bench.timing import Timing, take_turns

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """int8.onnx, uint8.onnx and float.onnx, which take the same input."""
    path = tmp_path_factory.mktemp("models")
    onnx.save(dla(), path / "int8.onnx")
    onnx.save(dla(dtype=np.uint8), path / "uint8.onnx")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 16, 16]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path / "float.onnx")
    return path


def differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes qdqnp return one wrong bit."""
    run = Model.run

    def wrong(self: Model, *args: object, **kwargs: object) -> dict[str, np.ndarray]:
        outputs = run(self, *args, **kwargs)
        next(iter(outputs.values())).reshape(-1).view(np.uint32)[3] ^= 1
        return outputs

    monkeypatch.setattr(Model, "run", wrong)


def test_command_line_reports_every_candidate_on_every_thread_count(folder: Path, tmp_path: Path) -> None:
    options = ["--uint8", folder / "uint8.onnx", "--float", folder / "float.onnx", "--repeats", 2]
    files = ["--json", tmp_path / "r.json", "--markdown", tmp_path / "r.md"]
    result = CliRunner().invoke(main, [str(each) for each in (folder / "int8.onnx", *options, *files)])
    assert result.exit_code == 0, result.output

    report = json.loads((tmp_path / "r.json").read_text())
    assert [(each["model"], each["threads"], each["equal_elements"]) for each in report["results"]] == [
        ("int8.onnx", 1, 10),
        ("int8.onnx", 2, 10),
    ]
    for each in report["results"]:
        timings = {timing["name"]: timing for timing in each["candidates"]}
        assert list(timings) == [QDQNP, ORT_INT8, ORT_DEFAULT, ORT_UINT8, ORT_FLOAT, REFERENCE]
        reference = timings.pop(REFERENCE)
        assert (reference["runs"], reference["median_ms"], reference["ratio"]) == (0, None, None)
        assert "DequantizeLinear" in reference["note"]  # it has none of opset 17
        judged = "median_cpu_ms" if each["threads"] == 1 else "median_ms"
        base = timings[ORT_INT8][judged]
        for timing in timings.values():
            assert timing["runs"] == 2
            assert 0 < timing["min_ms"] <= timing["median_ms"]
            assert timing["ratio"] == timing[judged] / base

    markdown = (tmp_path / "r.md").read_text()
    assert markdown in result.output
    rows = [line.split(" | ") for line in markdown.splitlines() if line.startswith("| int8.onnx")]
    assert [row[1:3] for row in rows] == [
        [threads, label] for threads in "12" for name, label in LABELS.items() if name not in (STEPS, TRACE)
    ]
    assert all(f"- {fact}: {text}" in markdown for fact, text in report["host"].items())
    assert "cannot run this model" in markdown
    assert np.__version__ in report["host"]["NumPy"]
    assert "BLAS" in report["host"]["NumPy"]
    assert "load average before" in report["host"]


def test_the_reference_evaluator_is_timed_once_where_it_can_run(tmp_path: Path) -> None:
    onnx.save(build_layer(ConvLayer(3, 4, 3, 8), np.int8), tmp_path / "conv.onnx")
    result = measure(Case(tmp_path / "conv.onnx", repeats=3, skip=frozenset({ORT_DEFAULT})))
    runs = {timing["name"]: timing["runs"] for timing in result["candidates"]}
    assert runs == {QDQNP: 3, ORT_INT8: 3, REFERENCE: 1}
    assert "1 time only" in result["candidates"][-1]["note"]


def test_a_planted_difference_ends_the_measuring_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    differ(monkeypatch)
    result = CliRunner().invoke(main, [str(folder / "int8.onnx"), "--child", "--repeats", "1"])
    assert result.exit_code == 1
    assert "1 of 10 elements differ" in json.loads(result.output)["error"]


@pytest.mark.parametrize(
    ("printed", "message"),
    [('{"error": "1 of 10 elements differ"}', "2 threads: 1 of 10 elements differ"), ("", "exit code 1")],
)
def test_what_a_measuring_process_says_is_passed_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, message: str
) -> None:
    child = [sys.executable, "-c", f"print({printed!r}); raise SystemExit(1)"]
    monkeypatch.setattr(bench, "command", lambda case: child)
    options = ["--threads", "2", "--json", str(tmp_path / "r.json")]
    result = CliRunner().invoke(main, [str(folder / "int8.onnx"), *options])
    assert result.exit_code == 1
    assert message in result.output
    assert not (tmp_path / "r.json").exists()


def test_a_variant_with_another_input_is_refused(folder: Path, tmp_path: Path) -> None:
    onnx.save(dla(size=32, dtype=np.uint8), tmp_path / "larger.onnx")
    with pytest.raises(BenchError, match=r"larger\.onnx"):
        measure(Case(folder / "int8.onnx", repeats=1, uint8=tmp_path / "larger.onnx"))


def test_there_is_one_variant_for_each_model(folder: Path) -> None:
    models = [str(folder / name) for name in ("int8.onnx", "uint8.onnx")]
    result = CliRunner().invoke(main, [*models, "--float", str(folder / "float.onnx")])
    assert result.exit_code == 2
    assert "one for each of the 2 models, got 1" in result.output


def test_equality_is_of_bits() -> None:
    zeros = np.zeros(4, np.float32)
    assert require_equal("m", {"y": zeros}, {"y": zeros}) == 4
    with pytest.raises(BenchError, match="4 of 4"):
        require_equal("m", {"y": zeros}, {"y": -zeros})


def test_candidates_take_turns() -> None:
    order: list[str] = []
    runs = {name: (lambda name=name: order.append(name)) for name in ("a", "b", REFERENCE)}
    times = take_turns(runs, range(3), at_most={REFERENCE: 1})
    short = [name[0] for name in order]
    assert "".join(short) == "abr" + "abr" + "ba" + "ab"  # a warm-up, then each round starts with another one
    assert {name: len(timing.milliseconds) for name, timing in times.items()} == {"a": 3, "b": 3, REFERENCE: 1}


def test_threads_are_set_before_a_process_starts() -> None:
    found = environment(3)
    assert {found[name] for name in THREAD_VARIABLES} == {"3"}
    assert "OPENBLAS_NUM_THREADS" in THREAD_VARIABLES


def test_int8_codes_fit_a_uint8_model() -> None:
    codes = np.array([-128, -1, 0, 127], np.int8)
    np.testing.assert_array_equal(fit(codes, "tensor(uint8)"), np.array([0, 127, 128, 255], np.uint8))
    assert fit(codes, "tensor(int8)") is codes


def test_a_cell_cannot_break_a_markdown_table() -> None:
    assert Table(("a", "n"), [("x|y", "1")]).markdown() == "| a | n |\n| --- | ---: |\n| x\\|y | 1 |\n"


@pytest.mark.parametrize("layer", [ConvLayer(8, 12, 3, 9, groups=4), ConvLayer(3, 8, 7, 16, stride=2)])
def test_the_layers_of_both_types_compute_the_same(layer: ConvLayer) -> None:
    int8, uint8 = (load(build_layer(layer, dtype)) for dtype in (np.int8, np.uint8))
    (codes,) = next(random_feeds(int8.program(), 1, seed=0)).values()
    (left,), (right,) = int8.run(codes).values(), uint8.run(fit(codes, "tensor(uint8)")).values()
    np.testing.assert_array_equal(left.astype(int) + 128, right)
    assert len(np.unique(left)) > 128


def test_layer_names_are_unique() -> None:
    assert len({layer.name for layer in LAYERS}) == len(LAYERS)


def test_command_line_of_the_layers(tmp_path: Path) -> None:
    name = "conv3x3_256to256_7x7_groups32"
    options = ["--only", name, "--repeats", "1", "--json", str(tmp_path / "r.json")]
    result = CliRunner().invoke(conv_main, options)
    assert result.exit_code == 0, result.output
    (layer,) = json.loads((tmp_path / "r.json").read_text())["results"]
    assert (layer["model"], layer["threads"], layer["equal_elements"]) == (name, 1, 256 * 7 * 7)
    assert [timing["name"] for timing in layer["candidates"]] == [QDQNP, ORT_INT8, ORT_UINT8]
    assert f"| {name} | 1 | 1 |" in result.output


def test_sizes_batches_traces_and_the_floor(folder: Path, tmp_path: Path) -> None:
    options = ["--size", "24", "--batch", "3", "--threads", "1", "--steps", "--trace", "--floor", "--repeats", "1"]
    onnx.save(dla(batch="N"), tmp_path / "net.onnx")
    files = ["--json", str(tmp_path / "r.json"), "--skip", REFERENCE]
    result = CliRunner().invoke(main, [str(tmp_path / "net.onnx"), *options, *files])
    assert result.exit_code == 0, result.output
    (found,) = json.loads((tmp_path / "r.json").read_text())["results"]
    assert (found["model"], found["batch"], found["size"], found["equal_elements"]) == ("net.onnx", 3, 24, 30)
    assert [timing["name"] for timing in found["candidates"]] == [QDQNP, ORT_INT8, ORT_DEFAULT, STEPS, TRACE]
    assert found["floor_ms"] > 0
    assert "| net.onnx (3 pictures, 24 x 24) | 1 | qdqnp, step by step |" in result.output
    assert "| net.onnx (3 pictures, 24 x 24) | 1 | qdqnp, trace |" in result.output


def test_the_floor_grows_with_the_products() -> None:
    model = load(dla(batch="N"))
    floors = [floor_ms(model.plan(), model.plan().shapes({"input": (n, 3, 64, 64)})) for n in (1, 8)]
    assert 4 < floors[1] / floors[0] < 16


def test_one_thread_is_judged_by_processor_time_and_several_by_the_wall() -> None:
    timing = Timing("a", [9.0, 5.0, 7.0], [1.0, 2.0, 3.0])
    assert (timing.judged(1), timing.judged(2)) == (2.0, 7.0)
    assert Timing("b").judged(1) is None


def test_the_kernel_of_blas_is_named() -> None:
    assert blas_kernel()
