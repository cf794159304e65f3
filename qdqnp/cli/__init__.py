"""The command line: one file for each command, which parses, calls and renders. Arithmetic is done elsewhere.

`net.py` says what the exit codes of all commands mean, and makes one of whatever escapes a command.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from qdqnp.cli import net
from qdqnp.files.regular import noting_inputs
from qdqnp.interrupts import leaving_at_once
from qdqnp.version import __version__

#: The commands, in the order in which help lists them: each is `NAME_command` in the module of its name.
COMMANDS = (
    "verify",
    "inspect",
    "card",
    "run",
    "eval",
    "stimulate",
    "diff",
    "quality",
    "explain",
    "identify",
    "capture",
    "probe",
    "golden",
    "compare",
    "st",
    "conformance",
    "reduce",
    "profiles",
    "operators",
    "host",
    "doctor",
    "schema",
    "demo",
)


class Commands(click.Group):
    """Imports a command when it is asked for, and lets everything that escapes one fall into the net."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        with leaving_at_once():
            found: click.Command = getattr(import_module(f"qdqnp.cli.{cmd_name}"), f"{cmd_name}_command")
        return found

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; with standalone_mode False, below the net: everything is raised."""

        def command() -> Any:
            try:
                return super(Commands, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)
            except net.PastClickError as error:
                raise error.error from None

        if not standalone_mode:
            return command()
        sys.exit(net.exit_code(command))

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with net.past_click():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with net.past_click(), noting_inputs():
            return super().invoke(ctx)


EPILOG = "\b\nExit codes:\n" + "".join(f"{code:>5}  {text}\n" for code, text in net.EXIT_CODES.items())


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(__version__, prog_name="qdqnp")
def cli() -> None:
    """Quantized ONNX models in pure NumPy, bit-exact to a named arithmetic."""


def main() -> None:
    """Run the command `qdqnp`."""
    cli()
