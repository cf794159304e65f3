"""The command line: one file for each command, which parses, calls and renders. Arithmetic is done elsewhere.

Exit codes of all commands: 0 equal or done, 1 mismatch, 2 bad usage or bad model.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from qdqnp.errors import QdqnpError
from qdqnp.version import __version__

#: The commands, in the order in which help lists them: each is `NAME_command` in the module of its name.
COMMANDS = (
    "verify",
    "inspect",
    "run",
    "stimulate",
    "diff",
    "explain",
    "identify",
    "capture",
    "probe",
    "golden",
    "compare",
    "profiles",
    "operators",
    "host",
    "schema",
    "demo",
)


class Commands(click.Group):
    """Imports a command when it is asked for, and turns qdqnp's errors into one message on standard error and exit
    code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"qdqnp.cli.{cmd_name}"), f"{cmd_name}_command")
        return found

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except QdqnpError as error:
            from qdqnp.render.console import ERROR_CONSOLE, printable

            text = printable(f"error: {error}")
            ERROR_CONSOLE.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
            ctx.exit(2)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qdqnp")
def cli() -> None:
    """Quantized ONNX models in pure NumPy, bit-exact to a named arithmetic."""


def main() -> None:
    """Run the command `qdqnp`."""
    cli()
