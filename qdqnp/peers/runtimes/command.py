"""Any command as a runtime.

It gets three more arguments: the model file, a folder with NAME.npy for each input, and an empty folder in which it
leaves NAME.npy for each output. Exit code 0: the outputs are there. 77: it does not take the model (what automake calls
skipped); the last line of its standard error says why. Anything else is no answer, and so is a missing output.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from qdqnp.errors import InputError, Problem, shorten
from qdqnp.peers.runtimes.apart import read_outputs
from qdqnp.peers.runtimes.outcome import CaseOutcome, Declined, NoAnswer

#: The exit code by which a command says that it does not take a model.
UNSUPPORTED = 77


class CommandRuntime:
    """A command, started for each case.

        text: the command as a shell has it; no shell runs it.
        timeout: seconds that a case may take; then it is ended, with all that it started.

    Raises InputError where there is no such program.
    """

    def __init__(self, text: str, timeout: float) -> None:
        try:
            self._command = shlex.split(text)
        except ValueError as error:
            self._command = []
            raise InputError("this is no command", [Problem("runtime", "a command", str(error))]) from error
        if not self._command or shutil.which(self._command[0]) is None:
            problem = Problem(f"runtime '{shorten(text)}'", "a known runtime, or a program that can be run", "neither")
            raise InputError("there is no such runtime", [problem])
        self._timeout = timeout
        self.version = text

    def run(self, model: Path, inputs: Mapping[str, Path]) -> CaseOutcome:
        """Run the command on one case."""
        with tempfile.TemporaryDirectory(prefix="qdqnp-") as folder:
            given, out = Path(folder) / "inputs", Path(folder) / "outputs"
            given.mkdir()
            out.mkdir()
            for name, path in inputs.items():
                shutil.copyfile(path, given / f"{name}.npy")
            code, said = bounded([*self._command, str(model), str(given), str(out)], self._timeout)
            if code is None:
                return NoAnswer(f"no answer within {self._timeout:g} s")
            last = shorten(said.strip().rpartition("\n")[2], 300)
            if code == UNSUPPORTED:
                return Declined(last or f"exit code {UNSUPPORTED}")
            if code:
                return NoAnswer(f"exit code {code}{': ' if last else ''}{last}")
            return read_outputs({path.stem: path for path in sorted(out.glob("*.npy"))})

    def close(self) -> None:
        """Nothing runs between cases."""


def bounded(command: list[str], timeout: float) -> tuple[int | None, str]:
    """Run a command for at most `timeout` seconds, and return its exit code and the end of its standard error.

    The exit code is None where it took longer: it is killed, and what it started with it.
    """
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=os.name == "posix"
            )
        except OSError as error:
            return 127, str(error)
        try:
            code: int | None = process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _kill(process)
        said.seek(max(0, said.seek(0, os.SEEK_END) - 4000))
        return code, said.read().decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the whole group has ended
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
