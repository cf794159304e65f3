"""Run the user's command on candidates: does it still fail as it did on the model itself?

The command is run with the candidate's path in the place of {model}, or behind its last argument. A candidate counts
where the exit code is that of the model itself and, where a text is asked for, the output has it. One that takes too
long does not count. What was tried is kept by hash, so that a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from qdqnp.errors import InputError, Problem, shorten
from qdqnp.files.atomic import target, write_bytes
from qdqnp.files.documents import parse_json
from qdqnp.files.parents import made_folder
from qdqnp.files.paths import reason
from qdqnp.files.regular import open_regular, read_all
from qdqnp.peers.runtimes.command import bounded

#: Where the candidate's path goes in a command.
PLACE = "{model}"
TRIED, BEST = "tried.json", "best.onnx"
_MOST = 2**26


@dataclass
class CommandTrial:
    """The command, and what it said of each candidate."""

    #: The command as a shell has it; no shell runs it.
    command: str
    #: Seconds that a candidate may take.
    timeout: float
    #: The exit code that counts; None for that of the model itself.
    code: int | None = None
    #: What the output must have; '' for anything.
    says: str = ""
    #: Where what was tried is kept; None for nowhere.
    results: Path | None = None
    #: Is called with the candidate, and whether it counts.
    notify: Callable[[onnx.ModelProto, bool], None] = lambda model, counts: None
    #: How many candidates were run, and of how many the answer was kept.
    runs: int = 0
    kept: int = 0
    #: Whether onnx accepts the model itself: candidates that it refuses are then not run.
    checked: bool = False
    _tried: dict[str, bool] = field(default_factory=dict)
    _about: str = ""

    def begin(self, model: onnx.ModelProto) -> None:
        """Run the command on the model itself.

        Raises InputError for no command, one that does not fail, and one that takes too long.
        """
        if not self._words("m.onnx"):
            raise InputError("this is no command", [Problem("--while", "a command", "nothing")])
        code, said = self._run(model.SerializeToString(deterministic=True))
        if code is None:
            problem = Problem("the command", f"an end within {self.timeout:g} s", "none", "Give it more: --timeout.")
            raise InputError("the command takes too long on the model itself", [problem])
        if code == 127 or (code == 0 and self.code is None):
            last = shorten(said.strip().rpartition("\n")[2], 300)
            hint = "For a command that succeeds where the fault is: --code 0."
            problem = Problem("the command on the model itself", "to fail", f"exit code {code} {last}".strip(), hint)
            raise InputError("there is nothing to reduce", [problem])
        if self.code is not None and code != self.code:
            problem = Problem("the command on the model itself", f"exit code {self.code}", f"exit code {code}")
            raise InputError("there is nothing to reduce", [problem])
        if self.says not in said:
            problem = Problem("the output on the model itself", f"'{shorten(self.says)}' in it", shorten(said[-300:]))
            raise InputError("there is nothing to reduce", [problem])
        self.code = code
        self.checked = _accepted(model)
        self._about = hashlib.sha256(
            json.dumps([self.command, self.timeout, code, self.says]).encode()
            + model.SerializeToString(deterministic=True)
        ).hexdigest()
        self._read()

    def counts(self, model: onnx.ModelProto) -> bool:
        """Tell whether the command fails on a candidate as it did on the model itself."""
        data = model.SerializeToString(deterministic=True)
        key = hashlib.sha256(data).hexdigest()
        if key in self._tried:
            self.kept += 1
            return self._tried[key]
        if self.checked and not _accepted(model):
            return False
        code, said = self._run(data)
        self.runs += 1
        found = code is not None and code == self.code and self.says in said
        self._tried[key] = found
        self._write(data if found else None)
        self.notify(model, found)
        return found

    def _words(self, path: str) -> list[str]:
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise InputError("this is no command", [Problem("--while", "a command", str(error))]) from error
        placed = [word.replace(PLACE, path) for word in words]
        return placed if placed != words or not words else [*words, path]

    def _run(self, data: bytes) -> tuple[int | None, str]:
        with tempfile.TemporaryDirectory(prefix="qdqnp-") as folder:
            path = Path(folder) / "model.onnx"
            write_bytes(target(path, "the candidate"), data)
            return bounded(self._words(str(path)), self.timeout)

    # -- what was tried ------------------------------------------------------------------------------------------------
    def _read(self) -> None:
        """Take what an earlier run of the same command on the same model tried; anything else there is not believed."""
        if self.results is None:
            return
        try:
            made_folder(self.results)
        except (OSError, ValueError) as error:
            problem = Problem(f"folder {self.results}", "a folder", reason(error))
            raise InputError("cannot keep results", [problem]) from error
        with suppress(OSError, ValueError, AttributeError):
            with open_regular(self.results / TRIED, follow=False, note=False) as file:
                document = parse_json(read_all(file, _MOST))
            if document.get("about") == self._about and isinstance(document.get("tried"), dict):
                self._tried = {str(key): value is True for key, value in document["tried"].items()}

    def _write(self, best: bytes | None) -> None:
        """Keep what was tried, and the smallest model so far."""
        if self.results is None:
            return
        document = json.dumps({"about": self._about, "tried": self._tried}, indent=0).encode()
        write_bytes(target(self.results / TRIED, "the results", force=True), document)
        if best is not None:
            write_bytes(target(self.results / BEST, "the smallest model so far", force=True), best)


def _accepted(model: onnx.ModelProto) -> bool:
    """Tell whether onnx accepts a model, its types and shapes included."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception:  # onnx raises several classes
        return False
    return True
