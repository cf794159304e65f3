"""The command line: one file for each command, which parses, calls and renders. Arithmetic is done elsewhere.

Exit codes of all commands: 0 equal or done, 1 mismatch, 2 bad usage or bad model.
"""

from __future__ import annotations

from typing import Any

import click

from qdqnp.cli.capture import capture_command
from qdqnp.cli.compare import compare_command
from qdqnp.cli.demo import demo_command
from qdqnp.cli.diff import diff_command
from qdqnp.cli.explain import explain_command
from qdqnp.cli.golden import golden_command
from qdqnp.cli.host import host_command
from qdqnp.cli.identify import identify_command
from qdqnp.cli.inspect import inspect_command
from qdqnp.cli.probe import probe_command
from qdqnp.cli.profiles import profiles_command
from qdqnp.cli.run import run_command
from qdqnp.cli.schema import schema_command
from qdqnp.cli.stimulate import stimulate_command
from qdqnp.cli.verify import verify_command
from qdqnp.errors import QdqnpError
from qdqnp.render.console import ERROR_CONSOLE, printable
from qdqnp.version import __version__


class Commands(click.Group):
    """Turns qdqnp's errors into one message on standard error and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except QdqnpError as error:
            text = printable(f"error: {error}")
            ERROR_CONSOLE.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
            ctx.exit(2)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qdqnp")
def cli() -> None:
    """Quantized ONNX models in pure NumPy, bit-exact to a named arithmetic."""


for command in (
    verify_command,
    inspect_command,
    run_command,
    stimulate_command,
    diff_command,
    explain_command,
    identify_command,
    capture_command,
    probe_command,
    golden_command,
    compare_command,
    profiles_command,
    host_command,
    schema_command,
    demo_command,
):
    cli.add_command(command)


def main() -> None:
    """Run the command `qdqnp`."""
    cli()
