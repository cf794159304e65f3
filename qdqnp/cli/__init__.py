"""The command line: one file for each command, which parses, calls and renders. Arithmetic is done elsewhere.

`net.py` says what the exit codes of all commands mean, and makes one of whatever escapes a command.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from qdqnp.cli import net
from qdqnp.errors import did_you_mean
from qdqnp.files.regular import noting_inputs
from qdqnp.interrupts import leaving_at_once
from qdqnp.version import __version__

#: The commands by the question that they answer, in the order of `qdqnp --help`, each with what it does in one line of
#: 80 columns. Each is `NAME_command` in the module of its name.
QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "Is it right?": {
        "demo": "Compare a shipped network with ONNX Runtime: does all work?",
        "verify": "Compare every tensor of a model with ONNX Runtime's, as bits.",
        "compare": "Find the layer in which a device's tensors are wrong, and why.",
        "conformance": "Make cases of each integer operator; score a runtime on them.",
    },
    "Where do they differ, and why?": {
        "diff": "Show where and by how much arithmetics part, layer by layer.",
        "identify": "Find the arithmetic of a device from its tensors.",
        "explain": "Show how one output element comes about, step by step.",
        "reduce": "Find the smallest model for which a command still fails.",
    },
    "How good is it, and what does it cost?": {
        "eval": "Measure accuracy on labelled inputs, arithmetic by arithmetic.",
        "quality": "Find the layers that lose the accuracy of the float network.",
        "card": "Fill in a model card: flash, memory, accuracy, time.",
    },
    "What is in it, and what does it compute?": {
        "inspect": "Show what a model becomes: layers, scales, MACs, proofs.",
        "run": "Run a model on arrays or pictures.",
    },
    "Where do test vectors come from?": {
        "golden": "Write every layer's inputs, parameters and outputs.",
        "schema": "Print the JSON Schema of a golden set's manifest.",
        "stimulate": "Make inputs that drive a layer to where arithmetics differ.",
    },
    "How do I get at my device?": {
        "probe": "Write small models that let a device tell its arithmetic.",
        "capture": "Run a device on inputs, and write each tensor that it shows.",
        "st": "Read what ST's compiler left; make the board send its tensors.",
    },
    "What is there, and what is here?": {
        "profiles": "List the arithmetics, established or inferred.",
        "operators": "List the operators, and why others are missing.",
        "host": "Say what onnxruntime computes on this machine.",
        "doctor": "Say what qdqnp computes with here, and what makes it slow.",
    },
}
SUMMARIES: Mapping[str, str] = {name: text for those in QUESTIONS.values() for name, text in those.items()}
COMMANDS = tuple(SUMMARIES)


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; the error of an unknown name says which are near."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = "" if args[0].startswith("-") else did_you_mean(args[0], COMMANDS)
            if not near:
                raise
            raise click.UsageError(f"{error.message} {near}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by question, without importing one."""
        width = max(map(len, COMMANDS))
        for question, those in QUESTIONS.items():
            formatter.write_paragraph()
            formatter.write(f"{question}\n")
            with formatter.indentation():
                formatter.write_dl([(name.ljust(width), text) for name, text in those.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the commands, without importing one; and the options of qdqnp itself."""
        found = [CompletionItem(name, help=text) for name, text in SUMMARIES.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

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
