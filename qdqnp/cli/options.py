"""Define the options that several commands have: each is spelled, typed and explained once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from qdqnp.api.arguments import listed as listed
from qdqnp.api.arguments import profile_with as profile_with
from qdqnp.api.arguments import profiles_of as profiles_of
from qdqnp.api.arguments import shapes_of as shapes_of
from qdqnp.cli import completing
from qdqnp.cli.python_files import operators_in
from qdqnp.diagnosis.dumps.storage import CODES, REAL
from qdqnp.golden_sets import FORMATS
from qdqnp.ops.given import given_operators
from qdqnp.reader.proto import CutModel, EquippedModel

#: A model as a command line names it.
ModelFile = Path | CutModel | EquippedModel
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class FilePath(click.Path):
    """A path as it was given: whether it is there, and what, is asked by who reads or writes it (qdqnp.files)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return Path(value)


PATH = FilePath()
LAYER = "Label, ONNX node, output tensor, number, or glob."

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of whatever is random."
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads, for the pictures of a batch or the rows of one.",
)
out_option = click.option("--out", required=True, type=PATH, metavar="DIR", help="The folder to make.")
outputs_option = click.option(
    "--outputs",
    multiple=True,
    metavar="NAME,NAME...",
    help="Tensors to cut the model at: they are its outputs, and what is behind them is not looked at.",
)


operators_option = click.option(
    "--operators",
    "operator_files",
    multiple=True,
    type=PATH,
    metavar="FILE.py",
    help="Operators that qdqnp does not have: a Python file, which is run, with a list OPERATORS.",
)


def model_of(path: Path, outputs: Iterable[str], operators: Iterable[type] = ()) -> ModelFile:
    """Return the model of a command line, cut at the tensors that `--outputs` names, with the operators given.

    Raises ModelError for classes that are no operators.
    """
    names = listed(outputs)
    model = CutModel(path, names) if names else path
    given = given_operators(operators)
    return EquippedModel(model, given) if given else model


def model_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add MODEL, `--outputs` and `--operators`; the command gets all as `model`."""

    @functools.wraps(command)
    def with_model(
        *positional: Any, model: Path, outputs: tuple[str, ...], operator_files: tuple[Path, ...], **others: Any
    ) -> Any:
        return command(*positional, model=model_of(model, outputs, operators_in(operator_files)), **others)

    return click.argument("model", type=PATH)(outputs_option(operators_option(with_model)))


format_option = click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="F,F...",
    default=("npz",),
    show_default="npz",
    shell_complete=completing.golden_formats,
    help=f"One or more of {', '.join(FORMATS)}.",
)
mapping_option = click.option(
    "--mapping",
    type=PATH,
    metavar="FILE",
    help="Which entry of the dump is which tensor, .toml or .json; see compare --write-mapping.",
)
case_option = click.option(
    "--case",
    "first",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Which input of the golden set the dump's first one is.",
)


def form_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--layout`, `--dtype`, `--offset` and `--values`: how a dump is stored."""
    for option in reversed(
        (
            click.option("--layout", metavar="nhwc", help="Order of the dump's axes, such as nchw or chwn."),
            click.option("--dtype", metavar="NAME", help="Element type of the dump, such as int8 or float32."),
            click.option("--offset", type=int, metavar="N", help="What the dump adds to each code, such as 128."),
            click.option(
                "--values", type=click.Choice((CODES, REAL)), help="Whether the dump has codes or real values."
            ),
        )
    ):
        command = option(command)
    return command


def profile_option(help: str = "The arithmetic: a name, or a .toml file.", default: str | None = "ort") -> Decorator:
    """Add `--profile`: one arithmetic."""
    return click.option(
        "--profile",
        default=default,
        show_default=default is not None,
        metavar="NAME",
        shell_complete=completing.profile,
        help=help,
    )


def profiles_option(help: str, default: tuple[str, ...] = (), *, required: bool = False) -> Decorator:
    """Add `--profiles`: several arithmetics, as `listed`; read them with profiles_of."""
    shown: Any = ",".join(default) or None
    names = ("--profiles", "listed")
    return click.option(
        *names,
        multiple=True,
        default=default,
        show_default=shown,
        required=required,
        metavar="NAME,NAME...",
        shell_complete=completing.profiles,
        help=help,
    )


def layer_option(*, required: bool = False) -> Decorator:
    """Add `--layer`: one layer, as qdqnp.find names it."""
    help = LAYER if required else f"{LAYER}  [default: the whole network]"
    return click.option("--layer", required=required, metavar="NAME", shell_complete=completing.layers, help=help)


layers_option = click.option(
    "--layer",
    "--layers",
    "layers",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.layers,
    help=f"{LAYER[:-1].replace(', or', ',')}, or operator type; may be given again.  [default: all]",
)


node_data_option = click.option(
    "--node-data",
    type=PATH,
    metavar="FILE",
    help="Write a value for each node, as JSON for Model Explorer; or FILE.onnx, the model with notes for Netron.",
)


def force_option(what: str) -> Decorator:
    """Add `--force`.

    what: the thing that may be in the way, such as 'a golden set'.
    """
    return click.option("--force", is_flag=True, help=f"Replace {what} that is in the way.")


shape_option = click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="[NAME=]1x3x32x32",
    help="Shape of an input of the network; symbolic sizes are 1 without it.",
)
host_float_option = click.option(
    "--host-float",
    is_flag=True,
    help="Run in float32 what the profile does not define, as a host would; such values are marked as not promised.",
)
