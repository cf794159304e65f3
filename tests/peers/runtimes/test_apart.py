"""A runtime in a process of its own: answers, refusals, crashes, and cases that take too long."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from qdqnp.errors import InputError, PeerError
from qdqnp.peers.runtimes import names
from qdqnp.peers.runtimes.apart import ApartRuntime
from qdqnp.peers.runtimes.command import CommandRuntime, bounded
from qdqnp.peers.runtimes.names import RUNTIMES, started
from qdqnp.peers.runtimes.outcome import Declined, NoAnswer, Ran


@pytest.fixture
def model(tmp_path: Path) -> Path:
    info = [helper.make_tensor_value_info(name, TensorProto.INT8, [2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", info[:1], info[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.int8([1, -2]))
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_answers_and_refuses(name: str, model: Path) -> None:
    if name.partition("-")[0] in ("onnxruntime", "openvino", "tract"):
        pytest.importorskip(name.partition("-")[0])
    runtime = ApartRuntime(name, "ort", 60)
    try:
        outcome = runtime.run(model, {"x": model.parent / "x.npy"})
        assert isinstance(outcome, Ran) and outcome.outputs["y"].tolist() == [1, -2]
        model.write_bytes(b"no model")
        assert isinstance(runtime.run(model, {"x": model.parent / "x.npy"}), Declined)
        assert runtime.version.split()[0] in ("onnxruntime", "onnx", "openvino", "tract", "qdqnp")
    finally:
        runtime.close()


def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> ApartRuntime:
    """A runtime that comes from a file of the test's, through the search path that the child gets."""
    source = (
        "import numpy as np, os, time, pathlib, sys\n"
        "from qdqnp.peers.runtimes import names\n"
        "class Odd:\n    version = 'odd 1'\n    def run(self, model, inputs):\n        " + body + "\n"
        "        return {'y': inputs['x']}\n"
        "def start(profile):\n    return Odd()\n"
    )
    (tmp_path / "odd_runtime.py").write_text(source)
    (tmp_path / "sitecustomize.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    code = (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
        "import odd_runtime; sys.modules['qdqnp.peers.runtimes.own'] = odd_runtime; "
        "from qdqnp.peers.runtimes.apart import serve; serve()"
    )
    monkeypatch.setattr("qdqnp.peers.runtimes.apart._CODE", code)
    return ApartRuntime("qdqnp", "ort", 2)


def test_a_crash_and_a_hang_are_no_answers_and_the_next_case_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Path
) -> None:
    body = (
        "flag = pathlib.Path(model).with_suffix('.how').read_text()\n"
        "        print('noise')\n"
        "        os.abort() if flag == 'crash' else time.sleep(60) if flag == 'hang' else None"
    )
    runtime = planted(monkeypatch, tmp_path, body)
    how, given = model.with_suffix(".how"), {"x": model.parent / "x.npy"}
    try:
        for flag in ("fine", "crash", "fine", "hang", "fine"):
            how.write_text(flag)
            outcome = runtime.run(model, given)
            if flag == "fine":
                assert isinstance(outcome, Ran)
            else:
                assert isinstance(outcome, NoAnswer)
                assert (f"signal {signal.SIGABRT}" if flag == "crash" else "within 2 s") in outcome.reason
    finally:
        runtime.close()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups")
def test_what_a_runtime_leaves_behind_ends_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Path
) -> None:
    """A process that the runtime forked holds its pipes open; OpenVINO's package did that, and closing waited."""
    body = (
        "child = os.fork()\n"
        "        time.sleep(60) if not child else None\n"
        "        pathlib.Path(model).with_suffix('.pid').write_text(str(child))"
    )
    runtime = planted(monkeypatch, tmp_path, body)
    outcome = runtime.run(model, {"x": model.parent / "x.npy"})
    left = int(model.with_suffix(".pid").read_text())
    closing = threading.Thread(target=runtime.close, daemon=True)
    closing.start()
    closing.join(30)
    try:
        assert isinstance(outcome, Ran) and not closing.is_alive()
        for _ in range(300):
            if not running(left):
                return
            time.sleep(0.1)
        pytest.fail(f"process {left} still runs")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)


def running(pid: int) -> bool:
    """Tell whether a process runs; one that ended and that nobody asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    sys.modules.pop("qdqnp.peers.runtimes.openvino_cpu", None)
    with pytest.raises(PeerError, match="pip install"):
        started("openvino", "ort")
    assert names.RUNTIMES["openvino"].package == "openvino"


def script(tmp_path: Path, body: str) -> CommandRuntime:
    path = tmp_path / "mine.py"
    path.write_text(f"import sys, time, os, subprocess, shutil\nmodel, given, out = sys.argv[1:]\n{body}\n")
    return CommandRuntime(f"'{sys.executable}' '{path}'", 3)


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        ("shutil.copy(given + '/x.npy', out + '/y.npy')", Ran, ""),
        ("print('not this one', file=sys.stderr); sys.exit(77)", Declined, "not this one"),
        ("sys.exit('broken')", NoAnswer, "exit code 1: broken"),
        ("os.kill(os.getpid(), 9)", NoAnswer, "exit code -9"),
        ("open(out + '/y.npy', 'w').write('x')", NoAnswer, "no .npy file"),
        ("subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)", NoAnswer, "3 s"),
    ],
)
def test_commands(tmp_path: Path, model: Path, body: str, kind: type, reason: str) -> None:
    outcome = script(tmp_path, body).run(model, {"x": model.parent / "x.npy"})
    assert isinstance(outcome, kind), outcome
    assert reason in getattr(outcome, "reason", "")


def test_no_command_is_refused() -> None:
    for text in ("", "'", "no-such-program-anywhere --fast"):
        with pytest.raises(InputError):
            CommandRuntime(text, 1)
    assert bounded(["/no/such/program"], 1)[0] == 127
