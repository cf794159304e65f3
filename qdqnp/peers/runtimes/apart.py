"""A runtime in a process of its own, which is started again where it crashed or took too long.

A request is a line of JSON that names files; the answer is a line of JSON, and the outputs are .npy files in a folder
of the parent's. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from qdqnp.errors import PeerError, Problem, shorten
from qdqnp.files.documents import parse_json
from qdqnp.files.npy import FAULTS, open_arrays
from qdqnp.peers.runtimes.names import started
from qdqnp.peers.runtimes.outcome import CaseOutcome, Declined, NoAnswer, Ran
from qdqnp.quant import Array

# As in qdqnp.peers.ort.child: the same qdqnp answers, and the working directory stays out of the search path.
_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from qdqnp.peers.runtimes.apart import serve; serve()"
#: Seconds in which a runtime must have started.
STARTING = 120.0
#: The largest output that is read, in bytes.
MAX_OUTPUT = 2**28


class ApartRuntime:
    """A named runtime in a child process.

        name: one of RUNTIMES.
        profile: the profile whose cases are run.
        timeout: seconds that a case may take.

    Raises PeerError where the runtime's package is missing.

    >>> runtime = ApartRuntime("reference", "ort", 60)
    >>> runtime.version.startswith("onnx ")
    True
    >>> runtime.close()
    """

    def __init__(self, name: str, profile: str, timeout: float) -> None:
        self._name, self._profile, self._timeout = name, profile, timeout
        self._folder = tempfile.TemporaryDirectory(prefix="qdqnp-")
        self._process: subprocess.Popen[bytes] | None = None
        self.version = self._start()

    def run(self, model: Path, inputs: Mapping[str, Path]) -> CaseOutcome:
        """Run one case, in a new process where the last one ended."""
        if self._process is None:
            self._start()
        out = Path(self._folder.name)
        request = {"model": str(model), "inputs": {name: str(path) for name, path in inputs.items()}, "out": str(out)}
        try:
            answer = self._ask(request, self._timeout)
        except queue.Empty:
            self._end()
            return NoAnswer(f"no answer within {self._timeout:g} s")
        if answer is None:
            code = self._end()
            return NoAnswer(f"its process ended: {f'signal {-code}' if code < 0 else f'exit code {code}'}")
        if "refused" in answer:
            return Declined(str(answer["refused"]))
        return read_outputs({str(name): out / str(file) for name, file in answer["outputs"].items()})

    def close(self) -> None:
        """End the process."""
        self._end()
        self._folder.cleanup()

    def _start(self) -> str:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that what the runtime starts ends with it: it holds the pipes open
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=_pump, args=(self._process.stdout, self._lines), daemon=True).start()
        try:
            answer = self._ask({"runtime": self._name, "profile": self._profile}, STARTING)
        except queue.Empty:
            answer = None
        if answer is None or "version" not in answer:
            self._end()
            problem = Problem(f"runtime '{self._name}'", "to start", "no answer")
            told = (answer or {}).get("error")
            raise PeerError(f"{self._name} does not start", [Problem(**told) if told else problem])
        return str(answer["version"])

    def _ask(self, request: Mapping[str, Any], timeout: float) -> dict[str, Any] | None:
        """Return the answer; None where the process ended. Raises queue.Empty after the timeout."""
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            return None
        line = self._lines.get(timeout=timeout)
        if not line:
            return None
        found: dict[str, Any] = parse_json(line)
        return found

    def _end(self) -> int:
        """End the process and return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)  # one that crashed tells how
        _kill(process)
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return code


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _pump(stream: IO[bytes], lines: queue.Queue[bytes]) -> None:
    with contextlib.suppress(ValueError, OSError):  # the stream was closed
        for line in stream:
            lines.put(line)
    lines.put(b"")


def read_outputs(files: Mapping[str, Path]) -> CaseOutcome:
    """Return the arrays of .npy files by name; NoAnswer where one is none."""
    outputs: dict[str, Array] = {}
    for name, path in files.items():
        try:
            with open_arrays(path, MAX_OUTPUT) as arrays:
                outputs[name] = np.array(arrays.read(""))
        except FAULTS as error:
            return NoAnswer(f"output '{name}' is no .npy file that can be read: {shorten(str(error))}")
    return Ran(outputs)


# -- the child's side --------------------------------------------------------------------------------------------------
def serve() -> None:
    """Answer requests from stdin on stdout until stdin ends: the first names the runtime, each other is a case."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not get between the answers
    first = parse_json(sys.stdin.buffer.readline())
    try:
        runtime = started(first["runtime"], first["profile"])
    except PeerError as error:
        problem = error.problems[0]
        told = {key: getattr(problem, key) for key in ("where", "expected", "got", "hint")}
        _say(answers, {"error": told})
        return
    _say(answers, {"version": runtime.version})
    for line in sys.stdin.buffer:
        request = parse_json(line)
        given = read_outputs({name: Path(path) for name, path in request["inputs"].items()})
        inputs = given.outputs if isinstance(given, Ran) else {}
        try:
            outputs = runtime.run(Path(request["model"]), inputs)
            files = {name: f"{number}.npy" for number, name in enumerate(outputs)}
            for name, file in files.items():
                np.save(Path(request["out"]) / file, np.asarray(outputs[name]), allow_pickle=False)
        except Exception as error:  # runtimes raise classes of their own, which share no base
            _say(answers, {"refused": shorten(f"{type(error).__name__}: {error}", 1000)})
            continue
        _say(answers, {"outputs": files})


def _say(stream: IO[bytes], answer: Mapping[str, Any]) -> None:
    stream.write(json.dumps(answer).encode() + b"\n")
    stream.flush()
