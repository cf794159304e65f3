"""capture: devices as functions, a fake ai_runner, a fake board on a socket, and a C library that gcc compiles."""

from __future__ import annotations

import enum
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp import golden_sets
from qdqnp.cli import cli
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.dump_writer import MAPPING, write_dump
from qdqnp.errors import InputError, QdqnpError
from qdqnp.model import Model
from qdqnp.peers.devices.ai_runner import AiRunnerSource
from qdqnp.peers.devices.c_library import CLibrary
from qdqnp.peers.devices.capture import Source, capture, input_codes
from qdqnp.peers.devices.frames import DONE, ERROR, RUN, TENSOR, Frame, decode, encode
from qdqnp.peers.devices.serial_port import SerialSource
from qdqnp.quant import Array
from tests.diagnosis.identify.simulated import feeds, network

SEED = 4


@pytest.fixture(scope="module")
def model() -> Model:
    return qdqnp.load(network(SEED))


def inputs(count: int = 1) -> list[dict[str, Array]]:
    return feeds(np.random.default_rng(SEED), count)


def shown(model: Model, x: Mapping[str, Array]) -> dict[str, Array]:
    """What a board with tflite's arithmetic shows: the codes of every tensor."""
    trace = model.trace(dict(x), profile="tflite")
    return {name: array for name, array in trace.items() if array.dtype.kind in "iu"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


# -- any callable ------------------------------------------------------------------------------------------------------
BOARD = """
import numpy as np, qdqnp
MODEL = qdqnp.load("net.onnx")

def board(inputs):
    trace = MODEL.trace(dict(inputs), profile="tflite")
    return {name: array for name, array in trace.items() if array.dtype.kind in "iu"}

class Board:
    def tensors(self, inputs):
        return board(inputs)

instance = Board()
number = 3

def failing(inputs):
    raise RuntimeError("no power")

def leaving(inputs):
    raise SystemExit(1)

def shapeless(inputs):
    return {"a": np.array(["text"]), 3: np.zeros(2)}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("my_board", None)
    onnx.save(network(SEED), tmp_path / "net.onnx")
    (tmp_path / "my_board.py").write_text(BOARD)
    np.save(tmp_path / "x.npy", np.concatenate([x["input"] for x in inputs(2)]))
    return tmp_path


@pytest.mark.parametrize("device", ["board", "instance"])
def test_from_a_function_to_the_name_of_its_arithmetic(place: Path, model: Model, device: str) -> None:
    """The whole way: capture, golden set, identify."""
    result = run("capture", "net.onnx", "--device", f"my_board:{device}", "--input", "x.npy", "--out", "dump")
    assert result.exit_code == 0, result.output
    assert "tensors of 2 runs" in result.output
    golden_sets.write(place / "gold", place / "net.onnx", inputs(2), 2)
    found = json.loads(run("identify", "gold", "dump", "--json").stdout)
    assert "tflite" in found["everywhere"] and "tflite-single" not in found["everywhere"]
    assert found["runs"] == 2


def test_a_dump_that_is_too_large_is_called_a_dump(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message speaks of what was asked for, and of no option that `capture` does not have."""
    monkeypatch.setattr("qdqnp.diagnosis.dump_writer.LIMIT_BYTES", 1000)
    result = run("capture", "net.onnx", "--device", "my_board:board", "--input", "x.npy", "--out", "dump")
    assert result.exit_code == 2 and "the dump would be too large" in result.output
    assert "Run fewer inputs" in result.output and "golden set" not in result.output
    named = set(re.findall(r"--[a-z-]+", result.output))
    assert named <= set(re.findall(r"--[a-z-]+", run("capture", "--help").output)) and not (place / "dump").exists()


def test_codes_go_to_the_device_where_asked(place: Path, model: Model) -> None:
    (place / "my_board.py").write_text("def board(x):\n    return {'seen': x['input']}\n")
    assert (
        run(
            "capture", "net.onnx", "--device", "my_board:board", "--input", "x.npy", "--codes", "--out", "dump"
        ).exit_code
        == 0
    )
    seen = np.load(place / "dump" / "seen.npy")
    assert seen.dtype == np.int8
    assert np.array_equal(seen[1], model.trace(inputs(2)[1])["input_q"])
    assert input_codes(model.plan(), {"input": seen[0]})["input"] is not None


@pytest.mark.parametrize(
    ("device", "text"),
    [
        ("my_board:failing", "RuntimeError: no power"),
        ("my_board:leaving", "SystemExit: 1"),
        ("my_board:shapeless", "names that are texts"),
        ("my_board:number", "got int"),
        ("my_board:missing", "got NoneType"),
        ("my_board", "module:function"),
        ("no_such_board:run", "ModuleNotFoundError"),
    ],
)
def test_a_device_that_fails_leaves_nothing(place: Path, device: str, text: str) -> None:
    result = run("capture", "net.onnx", "--device", device, "--out", "dump")
    assert result.exit_code == 2 and text in result.output.replace("\n", " ")
    assert not (place / "dump").exists() and not list(place.glob(".qdqnp*"))


def test_runs_must_be_alike() -> None:
    answers = iter([{"a": np.zeros(2), "b": np.zeros(1)}, {"a": np.zeros(3), "c": np.zeros(1)}])
    with pytest.raises(InputError) as caught:
        capture(lambda x: next(answers), [{}, {}])
    assert all(text in str(caught.value) for text in ("'a': expected float64[2]", "'b'", "'c'"))


def test_a_device_may_use_its_buffers_again_and_cannot_change_the_inputs() -> None:
    buffer, x = np.zeros(3, np.int8), {"input": np.ones(3)}

    def device(given: Mapping[str, Array]) -> dict[str, Array]:
        given["input"][:] = 9
        buffer[:] += 1
        return {"out": buffer}

    assert [array.tolist() for array in capture(device, [x, x])["out"]] == [[1, 1, 1], [2, 2, 2]]
    assert x["input"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "names",
    [
        ["a", "b/c", "b/d"],
        ["../up", "b"],
        ["/abs"],
        ["a", "A"],
        ["x" * 200],
        ["a.npy", "a.npy/b"],
        ["b", "b/c"],
        ["nul\0"],
        ["", "b"],
        ["con:1"],
        ["<b>"],
    ],
)
def test_every_name_comes_back(tmp_path: Path, names: list[str]) -> None:
    arrays = {name: [np.full((2, 2), index, np.int8)] for index, name in enumerate(names)}
    mapped = write_dump(tmp_path / "dump", arrays)
    entries = {entry.name: entry.array for entry in read_dump(tmp_path / "dump").entries}
    assert len(entries) == len(names)
    files = {
        path.relative_to(tmp_path / "dump").as_posix() for path in (tmp_path / "dump").rglob("*.npy") if path.is_file()
    }
    assert len(files) == len(names) and list(tmp_path.iterdir()) == [tmp_path / "dump"]
    if not mapped:
        assert set(entries) == set(names)
    else:
        assert (tmp_path / "dump" / MAPPING).is_file()
    with pytest.raises(InputError):
        write_dump(tmp_path / "dump", arrays)


# -- ST's ai_runner ----------------------------------------------------------------------------------------------------
class FakeRunner:
    """The published interface of stm_ai_runner's AiRunner, before a network that the engine computes channel-last."""

    class Mode(enum.Flag):
        IO_ONLY = 0
        PER_LAYER = 1
        PER_LAYER_WITH_DATA = 2

    def __init__(self, model: Model, observer: bool = True, kind: Any = np.int8) -> None:
        self.model, self.observer, self.kind = model, observer, kind
        self.is_connected = False

    def connect(self, desc: str) -> bool:
        self.is_connected = True
        return True

    def get_input_infos(self, name: str | None = None) -> list[dict[str, Any]]:
        quant = self.model.program().steps[0].outputs[0].quant
        return [
            {
                "name": "input_1",
                "shape": (1, 12, 12, 3),
                "type": self.kind,
                "scale": np.array([quant.scale]),
                "zero_point": np.array([quant.zero_point]),
            }
        ]

    def invoke(self, given: list[Array], **options: Any) -> tuple[list[Array], dict[str, Any]]:
        (x,) = given
        assert x.dtype == self.kind and x.shape == (1, 12, 12, 3) and x.flags.c_contiguous
        trace = self.model.trace({"input": np.moveaxis(x, -1, 1)}, profile="tflite")
        nodes = []
        for index, step in enumerate(self.model.program().steps[1:-1]):
            codes = trace[step.output_names[0]]
            last = np.moveaxis(codes, 1, -1) if codes.ndim == 4 else codes
            asked = self.observer and options["mode"] & self.Mode.PER_LAYER_WITH_DATA
            nodes.append(
                {
                    "c_durations": [0.1],
                    "m_id": index,
                    "layer_type": 10,
                    "layer_desc": "Conv2D",
                    "type": [np.int8],
                    "shape": [last.shape],
                    "scale": [],
                    "zero_point": [],
                    "data": [last] if asked else None,
                }
            )
        return [trace[self.model.program().steps[-1].input_names[0]]], {"c_nodes": nodes, "mode": options["mode"]}


@pytest.mark.parametrize("kind", [np.int8, np.float32])
def test_ai_runner_shows_every_layer(model: Model, tmp_path: Path, kind: Any) -> None:
    runner = FakeRunner(model, kind=kind)
    runner.connect("serial:921600")
    source = AiRunnerSource(runner)
    assert isinstance(source, Source)
    made = capture(source, inputs(2))
    wanted = list(shown(model, inputs(2)[1]).items())[1:]
    layers = [arrays[1] for name, arrays in made.items() if not name.startswith("output")]
    assert all(np.array_equal(array, codes) for array, (_, codes) in zip(layers, wanted, strict=True))
    assert np.array_equal(made["output_0"][1], wanted[-1][1])
    write_dump(tmp_path / "dump", made)
    golden_sets.write(tmp_path / "gold", network(SEED).SerializeToString(), inputs(2), 2)
    mapping = tmp_path / "m.toml"
    entries = [name for name in made if not name.startswith("output")]
    pairs = [f"{json.dumps(name)} = {json.dumps(entry)}" for (name, _), entry in zip(wanted, entries, strict=True)]
    mapping.write_text("\n".join(["[tensors]", *pairs]))
    found = json.loads(run("identify", tmp_path / "gold", tmp_path / "dump", "--mapping", mapping, "--json").stdout)
    assert "tflite" in found["everywhere"]


def test_ai_runner_gives_known_names_and_reports_what_is_missing(model: Model) -> None:
    runner = FakeRunner(model)
    with pytest.raises(QdqnpError, match="a connection"):
        AiRunnerSource(runner).tensors(inputs()[0])
    runner.connect("serial")
    assert "conv_11_q" in AiRunnerSource(runner, names={"m0_Conv2D": "conv_11_q"}).tensors(inputs()[0])
    runner.observer = False
    with pytest.raises(QdqnpError, match="nodes with data"):
        AiRunnerSource(runner).tensors(inputs()[0])
    with pytest.raises(InputError, match="2 inputs"):
        AiRunnerSource(runner).tensors({**inputs()[0], "b": np.zeros(1)})
    with pytest.raises(InputError, match="takes another input"):
        AiRunnerSource(runner).tensors({"input": np.zeros((1, 3, 12, 12), np.uint8)})
    with pytest.raises(InputError, match="takes another input"):
        AiRunnerSource(runner).tensors({"input": np.zeros((1, 3, 12, 11), np.int8)})


# -- a serial port -----------------------------------------------------------------------------------------------------
class Line:
    """A stream over a socket that gives and takes a few bytes at a time, as a serial port does."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        end.settimeout(60)

    def read(self, size: int) -> bytes:
        return self.end.recv(min(size, 97))

    def write(self, data: bytes) -> int:
        return self.end.send(data[:513])


def with_board(board: Callable[[Line], None], ask: Callable[[SerialSource], Any]) -> Any:
    near, far = socket.socketpair()
    thread = threading.Thread(target=board, args=(Line(far),), daemon=True)
    thread.start()
    try:
        return ask(SerialSource(Line(near)))
    finally:
        near.close()
        thread.join(60)
        far.close()


def test_a_board_on_a_serial_port(model: Model) -> None:
    def board(line: Line) -> None:
        line.write(b"booting v1.2\r\nQDQ")  # noise, and most of a magic
        given = {}
        while (frame := decode(line)).kind == TENSOR:
            given[frame.name] = frame.array
        assert frame.kind == RUN
        for name, array in shown(model, given).items():
            data = encode(Frame(TENSOR, name, array))
            while data:
                data = data[line.write(data) :]
        line.write(encode(Frame(DONE)))

    found = with_board(board, lambda source: source.tensors(inputs()[0]))
    wanted = shown(model, inputs()[0])
    assert set(found) == set(wanted)
    assert all(
        np.array_equal(found[name], array) and found[name].dtype == array.dtype for name, array in wanted.items()
    )


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (encode(Frame(ERROR, "", None, "out of memory")), "an error: out of memory"),
        (encode(Frame(TENSOR, "a", np.zeros(3, np.int8)))[:-1] + b"\x55", "another CRC-32"),
        (encode(Frame(TENSOR, "a", np.zeros(3, np.int8)))[:-6], "before the timeout"),
        (b"x" * 5000, "without 'QDQP'"),
        (encode(Frame(TENSOR, "a", np.zeros(1, np.int8))) * 2, "'a' twice"),
        (b"QDQP" + bytes([1, 1, 200, 0, 0, 0, 0, 0]), "200 axes"),
        (b"QDQP" + bytes([1, 77, 0, 0, 1, 0, 0, 0]), "dtype 77"),
        (encode(Frame(RUN)), "a frame of type 2"),
    ],
)
def test_what_a_line_can_do_wrong(reply: bytes, text: str) -> None:
    def board(line: Line) -> None:
        while decode(line).kind != RUN:
            pass
        line.end.sendall(reply)
        line.end.shutdown(socket.SHUT_WR)

    with pytest.raises(QdqnpError, match=text):
        with_board(board, lambda source: source.tensors({"x": np.zeros(2, np.float32)}))


def test_every_flipped_bit_of_a_frame_is_noticed() -> None:
    data = encode(Frame(TENSOR, "name", np.arange(3, dtype=np.int16)))
    for bit in range(8 * 4, 8 * len(data)):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        with pytest.raises(QdqnpError):
            decode(_Bytes(bytes(wrong)))


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int) -> bytes:
        part, self.data = self.data[:size], self.data[size:]
        return part

    def write(self, data: bytes) -> int:
        return len(data)


@pytest.mark.parametrize("array", [np.float64(1), np.zeros((1,) * 9, np.int8)])
def test_what_no_frame_holds_is_refused(array: Any) -> None:
    with pytest.raises(InputError, match="cannot send"):
        encode(Frame(TENSOR, "a", np.asarray(array)))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.float32])
def test_frames_come_back(dtype: Any) -> None:
    for shape in ((), (3,), (2, 1, 4)):
        array = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
        found = decode(_Bytes(encode(Frame(TENSOR, "näme", array))))
        assert found.name == "näme" and found.array.dtype == dtype and np.array_equal(found.array, array)


# -- a C library -------------------------------------------------------------------------------------------------------
C_SOURCE = """
#include <stdint.h>
typedef void (*qdqnp_emit)(void *, const char *, int, int, const int64_t *, const void *);

int qdqnp_run(const void *const *inputs, int count, qdqnp_emit emit, void *context) {
    const float *x = inputs[0];
    static int8_t codes[6];
    float halves[2] = {0.5f, -1.5f};
    int64_t shape[2] = {2, 3}, two[1] = {2};
    if (count != 1) return 7;
    for (int i = 0; i < 6; i++) codes[i] = (int8_t)(x[i] * 10);
    emit(context, "codes", 1, 2, shape, codes);
    emit(context, "halves", 5, 1, two, halves);
    return 0;
}

int bad_dtype(const void *const *inputs, int count, qdqnp_emit emit, void *context) {
    int64_t one[1] = {1};
    emit(context, "odd", 99, 1, one, inputs[0]);
    return 0;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("library")
    (folder / "board.c").write_text(C_SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "board.so", folder / "board.c"], check=True)
    return folder / "board.so"


def test_a_c_library_shows_its_tensors(library: Path) -> None:
    x = {"input": np.arange(6, dtype=np.float32).reshape(2, 3)}
    found = capture(CLibrary(library), [x, {"input": -x["input"]}])
    assert [array.tolist() for array in found["codes"]] == [
        [[0, 10, 20], [30, 40, 50]],
        [[0, -10, -20], [-30, -40, -50]],
    ]
    assert found["codes"][0].dtype == np.int8 and found["halves"][0].tolist() == [0.5, -1.5]


def test_a_c_library_that_fails_is_reported(library: Path) -> None:
    x = np.zeros(6, np.float32)
    with pytest.raises(QdqnpError, match="the error number 7"):
        CLibrary(library).tensors({"a": x, "b": x})
    with pytest.raises(QdqnpError, match="tensor 'odd'"):
        CLibrary(library, "bad_dtype").tensors({"a": x})
    with pytest.raises(InputError, match="no_such"):
        CLibrary(library, "no_such")
    with pytest.raises(InputError, match="cannot load"):
        CLibrary(library.with_name("none.so"))
