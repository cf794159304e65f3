"""Follows a page as a reader does: pastes its code blocks, in order, in a folder that was empty.

    python -c "from tests.pages import follow; follow('docs/stimuli.md')"

What a block is, its first line says:

- `python`: pasted into one interpreter, the same for the whole page.
- `sh`: commands, none of which may fail.
- `console`: commands behind `$ `, each with what it prints; `...` stands for what is left out. A command may fail only
  if what it prints is shown. A line that ends with a backslash goes on in the next one.
- `text`: what the block before it prints, or the end of that.
- `c`, `toml`, and `python FILE`: a file. The name stands behind the language, or in the first comment.
- `... not run: REASON`: shown only.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import __main__

ROOT = Path(__file__).parents[1]
NOT_RUN = "not run: "
FENCE = re.compile(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    #: The line of the page on which its first line stands, counted from 1.
    line: int
    language: str
    #: What stands behind the language: the name of a file, or why it is not run.
    argument: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.name}, line {self.line}"

    @property
    def not_run(self) -> str:
        """Why the block is only shown; '' where it is run."""
        return self.argument.removeprefix(NOT_RUN) if self.argument.startswith(NOT_RUN) else ""


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        language, argument, body = found.groups()
        yield Block(page, text.count("\n", 0, found.start()) + 2, language, argument, body)


def follow(name: str) -> None:
    """Do what a page says, in the current folder. Raises what its Python raises, and AssertionError for the rest."""
    printed = ""
    for block in blocks(ROOT / name):
        if block.not_run:
            continue
        match block.language:
            case "python" if not block.argument:
                printed = _paste(block)
            case "sh":
                printed, code = _shell(f"set -e\n{block.text}")
                assert code == 0, f"{block.where}: exit code {code}\n{printed}"
            case "console":
                _follow_console(block)
            case "text":
                assert printed.endswith(block.text), f"{block.where}: it prints\n{printed}"
            case "c" | "toml" | "python":
                file = block.argument or block.text.split()[1]
                Path(file).write_text(block.text, encoding="utf-8")
            case _:
                raise AssertionError(f"{block.where}: a block of no kind: '{block.language}'")


def _paste(block: Block) -> str:
    """Run Python in the interpreter of the page, and return what it prints. Tracebacks name the page's lines."""
    code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, vars(__main__))
    return out.getvalue()


def _shell(command: str) -> tuple[str, int]:
    """Run commands; return what they print and the exit code. `python` and `qdqnp` are those of this interpreter."""
    path = f"{_programs().name}{os.pathsep}{os.environ['PATH']}"
    kernels = ROOT / "tests" / "golden_sets" / "harness" / "cmsis_nn"  # in the place of CMSIS-NN
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "CMSIS_NN": str(kernels)}
    done = subprocess.run(
        ["sh", "-c", command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    return done.stdout, done.returncode


@cache
def _programs() -> tempfile.TemporaryDirectory[str]:
    """A folder with the two programs that pages call."""
    made = tempfile.TemporaryDirectory()
    for name, arguments in (("python", ""), ("qdqnp", "-m qdqnp")):
        file = Path(made.name) / name
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        file.chmod(0o755)
    return made


def _follow_console(block: Block) -> None:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = re.sub(r"\\\n\s*", "", part).partition("\n")  # a command goes on behind a backslash
        printed, code = _shell(command)
        told = f"{block.where}: {command}: exit code {code}, printed\n{printed}"
        assert "Traceback" not in printed and code in (0, 1, 2), told
        assert code == 0 or shown.strip(), told
        at = 0
        for piece in re.split(r"\s*\.\.\.\s*", shown):  # lines may be folded on the page
            at = _words(printed).find(_words(piece), at)
            assert at >= 0, f"{told}\nwhich lacks\n{piece}"


def _words(text: str) -> str:
    return " ".join(text.split())
