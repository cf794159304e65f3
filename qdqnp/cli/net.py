"""The net under all commands: whatever escapes one becomes a line on standard error and an exit code of its own."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, TextIO

import click

from qdqnp.errors import QdqnpError, printable, shorten
from qdqnp.files.atomic import target, write_text

DONE: Final = 0
MISMATCH: Final = 1
REFUSED: Final = 2
INTERNAL: Final = 3
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
CLOSED: Final = 141  # 128 + SIGPIPE

#: What each exit code means, of every command. docs/exit-codes.md and `qdqnp --help` list them.
EXIT_CODES: dict[int, str] = {
    DONE: "done; where something is compared: equal",
    MISMATCH: "what is compared differs, or no known arithmetic explains it",
    REFUSED: "bad usage or bad input, or an output that cannot be written",
    INTERNAL: "an internal error, or no memory left",
    INTERRUPTED: "interrupted (Ctrl-C)",
    CLOSED: "nobody reads the output any more (a closed pipe)",
}
REPORT = "QDQNP_REPORT"
# Why a write fails that has nothing to do with what is written.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LONGEST_LINE = 4000


class PastClickError(BaseException):
    """Carries an error past click, which would make exit code 1 of it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def past_click() -> Iterator[None]:
    """Carry what click has exit codes of its own for (Ctrl-C, the end of a file, a closed pipe) to `exit_code`."""
    try:
        yield
    except (KeyboardInterrupt, EOFError, OSError) as error:
        raise PastClickError(error) from error


def exit_code(command: Callable[[], Any]) -> int:
    """Run a command and return its exit code, one of EXIT_CODES. What it did not catch is said in one line.

    command: a function that returns or raises SystemExit where it ends well.
    """
    _prepare_output()
    with warnings.catch_warnings():
        if not sys.warnoptions:  # a warning of NumPy is for who develops qdqnp, and asks for it: python -W error
            warnings.simplefilter("ignore")
        try:
            code = _ended(command)
            sys.stdout.flush()
        except BaseException as error:
            code = _caught(error)
    for stream in (sys.stdout, sys.stderr):
        _let_go(stream)
    return code


def _prepare_output() -> None:
    """Have what the encoding of an output cannot hold shown as escapes, and what is printed to a closed one dropped."""
    sys.stdout = sys.stdout or os.fdopen(_nowhere(), "w")
    sys.stderr = sys.stderr or os.fdopen(_nowhere(), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _ended(command: Callable[[], Any]) -> int:
    try:
        code = command()
    except SystemExit as end:
        code = end.code
    return code if isinstance(code, int) else DONE


def _caught(error: BaseException) -> int:
    """Say what escaped, and return its exit code."""
    match error:
        case QdqnpError():
            title, *more = error.lines
            _say(f"error: {title}", *more)
            return REFUSED
        case click.UsageError():
            _say_usage(error)
            return REFUSED
        case click.ClickException():
            _say(f"error: {error.format_message()}")
            return REFUSED
        case KeyboardInterrupt() | click.Abort():
            _say("interrupted")
            return INTERRUPTED
        case RuntimeError() if isinstance(error.__cause__, KeyboardInterrupt):  # Python 3.11, while a class is made
            _say("interrupted")
            return INTERRUPTED
        case BrokenPipeError():
            return CLOSED
        case OSError() if error.errno in FULL:
            _say(f"error: cannot write the output: {error.strerror}")
            return REFUSED
        case RuntimeError() if "start new thread" in str(error):  # of the progress bar
            _say(f"error: no memory left for a thread, or too many of them; {_report(error)}")
            return INTERNAL
        case MemoryError():
            _say(f"error: no memory left{_detail(error)}; {_report(error)}")
            return INTERNAL
        case _:
            _say(f"internal error: {type(error).__name__}{_detail(error)}; {_report(error)}")
            return INTERNAL


def _detail(error: BaseException) -> str:
    text = str(error)
    return f": {shorten(text, 300)}" if text else ""


def _say_usage(error: click.UsageError) -> None:
    """Say a usage error as click does."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        _say(*error.format_message().splitlines())
        return
    hints = []
    if error.ctx is not None:
        names = error.ctx.help_option_names
        hint = [f"Try '{error.ctx.command_path} {names[-1]}' for help.", ""] if names else []
        hints = [*error.ctx.get_usage().splitlines(), *hint]
    _say(*hints, f"Error: {error.format_message()}")


def _say(*lines: str) -> None:
    """Print lines on standard error, red where it is a terminal; where it cannot be written, nobody can be told."""
    try:
        try:
            from qdqnp.render.console import ERROR_CONSOLE

            for line in lines:
                ERROR_CONSOLE.print(shorten(printable(line), LONGEST_LINE), style="red", soft_wrap=True)
        except (OSError, ValueError):
            raise
        except Exception:  # no memory, or an import that was interrupted half-way
            sys.stderr.write("".join(f"{shorten(printable(line), LONGEST_LINE)}\n" for line in lines))
    except (OSError, ValueError):
        return


def _report(error: BaseException) -> str:
    """Write the report that the environment asks for, and say so; else say how to ask for one."""
    path = os.environ.get(REPORT)
    if not path:
        return f"set {REPORT}=FILE to have a report written"
    try:
        _write_report(path, error)
    except Exception as failure:  # whatever it is, the first error is the one to tell
        reason = failure.problems[0] if isinstance(failure, QdqnpError) and failure.problems else repr(failure)
        return f"the report that {REPORT} asks for cannot be written: {reason}"
    return f"the report is in {path}"


def _write_report(path: str, error: BaseException) -> None:
    """Write versions, the command line and the traceback to a new file: nothing of the contents of other files, but
    for what the exception quotes."""
    import platform
    from importlib.metadata import version

    from qdqnp.version import __version__

    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "onnx", "click", "rich"))
    lines = [
        f"qdqnp {__version__}, Python {platform.python_version()}, {packages}, {platform.platform()}",
        f"command: {sys.argv}",
        "",
        *"".join(traceback.format_exception(error)).splitlines(),
    ]
    write_text(target(Path(path), "the report"), "".join(f"{printable(line)}\n" for line in lines))


def _let_go(stream: TextIO) -> None:
    """Write out what a stream still holds; where that fails, it is dropped, lest the interpreter fails at it again."""
    try:
        stream.flush()
    except (OSError, ValueError):
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError):  # no file at all
            return
        nowhere = _nowhere()
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY)
