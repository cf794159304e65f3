"""ONNX Runtime in a process of its own: an abort or a segmentation fault there is an error here, and no more.

Requests and answers go through the child's stdin and stdout: a line of JSON, then the bytes of the arrays that it
lists. The parent unpickles nothing, so a model that takes over the child has not taken over the parent.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from qdqnp.element_types import DTYPES, NUMBERS
from qdqnp.errors import PeerError, Problem
from qdqnp.peers.ort.session import Sessions, open_session, run_session
from qdqnp.quant import Array

# The parent's own search path, so that the same qdqnp answers; -P keeps the working directory out of it until then.
_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from qdqnp.peers.ort.child import serve; serve()"
#: How much of the child's stderr an error shows.
_TOLD = 300
#: Seconds that a child which gave no answer has to end by itself.
PATIENCE = 5


class Child(Sessions):
    """Sessions in a child process, which ends with this object.

        code: what the child runs.

    Raises PeerError where onnxruntime is missing, refuses a model, or ends.

    >>> from qdqnp.inputs.shipped import shipped_model
    >>> child = Child()
    >>> session = child.open(str(shipped_model("dla46_c_int8")), "ORT_DISABLE_ALL", {})
    >>> child.run(session, ["output"], {"input": np.zeros((1, 3, 32, 32), np.float32)})[0].shape
    (1, 10)
    """

    def __init__(self, code: str = _CODE) -> None:
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )
        weakref.finalize(self, _end, self._process, self._said)

    def open(
        self,
        model: str | bytes,
        level: str,
        config: Mapping[str, str],
        threads: int = 1,
        save: Path | None = None,
        without: Collection[str] = (),
    ) -> int:
        """Open a session, as `open_session` does, and return its number."""
        request = {
            "model": os.path.abspath(model) if isinstance(model, str) else None,  # noqa: PTH100 - keeps links
            "level": level,
            "config": dict(config),
            "threads": threads,
            "save": None if save is None else str(save),
            "without": list(without),
        }
        arrays = [] if isinstance(model, str) else [np.frombuffer(model, np.uint8)]
        number = self._ask("opened", request, arrays)[0]["session"]
        return int(number)

    def run(self, session: int, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Return the outputs of these names, as `run_session` does."""
        request = {"session": session, "names": list(names), "feeds": list(feeds)}
        return self._ask("ran", request, [np.asarray(array) for array in feeds.values()])[1]

    def _ask(self, did: str, request: Mapping[str, Any], arrays: Sequence[Array]) -> tuple[dict[str, Any], list[Array]]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            _send(self._process.stdin, request, arrays)
            answer, found = _receive(self._process.stdout)
        except Exception as error:  # the child ended, or what it says is no answer
            raise self._ended(did) from error
        if "error" in answer:
            raise PeerError(answer["title"], [Problem(**answer["error"])])
        return answer, found

    def _ended(self, did: str) -> PeerError:
        """Return the error that says how the child ended."""
        try:
            code = self._process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:  # it lives, and talks nonsense
            self._process.kill()
            code = self._process.wait()
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - 10 * _TOLD))
        said = self._said.read().decode(errors="replace").strip().rpartition("\n")[2][-_TOLD:]
        how = f"signal {_signal(-code)}" if code < 0 else f"exit code {code}"
        hint = "This is a fault of onnxruntime; what qdqnp computes does not depend on it: qdqnp run."
        return PeerError(
            f"ONNX Runtime ended while it {did} the model",
            [Problem("onnxruntime's process", "an answer", f"{how}{': ' if said else ''}{said}", hint)],
        )


def serve() -> None:
    """Answer requests from stdin on stdout until stdin ends: the child's side."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not get between the answers
    sessions: list[Any] = []
    while True:
        try:
            request, arrays = _receive(requests)
        except EOFError:
            return
        try:
            answer, found = _answer(sessions, request, arrays)
        except PeerError as error:
            problem = error.problems[0]
            fields = {key: getattr(problem, key) for key in ("where", "expected", "got", "hint")}
            answer, found = {"title": error.title, "error": fields}, []
        _send(answers, answer, found)


def _answer(sessions: list[Any], request: Mapping[str, Any], arrays: list[Array]) -> tuple[dict[str, Any], list[Array]]:
    if "session" in request:
        feeds = dict(zip(request["feeds"], arrays, strict=True))
        return {}, run_session(sessions[request["session"]], request["names"], feeds)
    model = arrays[0].tobytes() if request["model"] is None else request["model"]
    save = None if request["save"] is None else Path(request["save"])
    session = open_session(model, request["level"], request["config"], request["threads"], save, request["without"])
    sessions.append(session)
    return {"session": len(sessions) - 1}, []


def _send(stream: IO[bytes], message: Mapping[str, Any], arrays: Sequence[Array]) -> None:
    # np.dtype knows no name of ml_dtypes' types
    listed = [(NUMBERS.get(array.dtype, array.dtype.str), array.shape) for array in arrays]
    stream.write(json.dumps({**message, "arrays": listed}).encode() + b"\n")
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def _receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[Array]]:
    """Return the next message. Raises EOFError where the other side ended between two, ValueError within one."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    message = json.loads(line)
    arrays = []
    for code, shape in message.pop("arrays"):
        dtype = DTYPES[code] if isinstance(code, int) else np.dtype(code)
        content = stream.read(math.prod(shape) * dtype.itemsize)
        arrays.append(np.frombuffer(content, dtype).reshape(shape))
    return message, arrays


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _end(process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, said):
        if stream is not None:
            with contextlib.suppress(OSError):  # a request that the child no longer read
                stream.close()
