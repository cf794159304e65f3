"""Names and defaults of the functions are those of the commands' options."""

from __future__ import annotations

import inspect
from typing import Any

import click
import pytest

import qdqnp
from qdqnp.api.storage import StorageOptions, fields_of
from qdqnp.cli import cli
from qdqnp.cli.pictures import PICTURE_KEYS
from qdqnp.errors import InputError
from qdqnp.golden_sets.options import Options
from qdqnp.inputs.pictures import preprocessing_from

NAMES = (
    *("compare", "diff", "evaluate", "explain", "golden", "identify", "inspect", "quality", "stimulate", "verify"),
)
#: Commands that are called otherwise: `eval` is a function of Python already.
COMMANDS = {"evaluate": "eval"}
#: Options that say how a command prints and which reports it writes.
SHOWING = {"json", "all", "html", "csv", "markdown", "junit", "write_mapping", "node_data", "help"}
#: Of these, also what is done to a report that is in the way.
SHOWING_OF = {name: {"force"} for name in ("compare", "inspect", "evaluate", "quality")}
#: Options that say more of what an argument of the function says: columns are models too.
OF_AN_ARGUMENT = {"evaluate": {"column"}}
#: Parameters of one function that its command reads elsewhere: the classes stand in the data.
ELSEWHERE = {"quality": {"labels"}}
#: Defaults that differ, and why; of the function, and of the command.
DIFFERENT = {
    # processes that are started from a script without `if __name__ == "__main__"` would run it again
    ("evaluate", "workers"): (1, None),
}
#: What a function has and its command has not: how a caller looks on, and what stands alone on the command line.
CALLS = {"progress", "announce", "executor", "storage", "dump"}
#: Options that are spelled otherwise.
OTHERWISE = {"input": "inputs"}


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), COMMANDS.get(name, name))
    assert found is not None
    return found


def spelled(option: click.Option) -> set[str]:
    return {OTHERWISE.get(text, text) for text in (name.lstrip("-").replace("-", "_") for name in option.opts)}


def parameters(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(qdqnp, name)).parameters)


def options(name: str) -> dict[str, click.Option]:
    """The options of a command by the parameter that each is, but for those of how it prints."""
    known = {*parameters(name), *StorageOptions.__annotations__}
    left_out = SHOWING | SHOWING_OF.get(name, set()) | OF_AN_ARGUMENT.get(name, set())
    found: dict[str, click.Option] = {}
    for option in command(name).params:
        if not isinstance(option, click.Option) or spelled(option) & left_out:
            continue
        if spelled(option) & set(PICTURE_KEYS) and "preprocess" in parameters(name):
            continue
        (here,) = spelled(option) & known or {f"no parameter for {option.opts}"}
        found[here] = option
    return found


def plain(value: Any) -> Any:
    """A default without the ways in which nothing is said: click's Sentinel, None, False, '' and (). 0 is a number."""
    if value is None or value is False or value == () or value == "" or "UNSET" in str(value):
        return None
    return tuple(value) if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_a_parameter_with_its_default(name: str) -> None:
    own = parameters(name)
    for here, option in options(name).items():
        if here not in own:
            assert here in StorageOptions.__annotations__, here
            default = getattr(Options(), {"align": "alignment", "skeleton": "skeletons"}.get(here, here), None)
            if here != "no_model" and option.default is not None:
                assert plain(option.default) == plain(default), here
        elif own[here].default is not inspect.Parameter.empty and not option.required:
            here_and_there = DIFFERENT.get((name, here), (plain(option.default), plain(option.default)))
            assert (plain(own[here].default), plain(option.default)) == here_and_there, here


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_an_option_or_an_argument(name: str) -> None:
    arguments = {argument.name for argument in command(name).params if isinstance(argument, click.Argument)}
    pictures = (
        {"preprocess"}
        if any(spelled(o) & {"preprocess"} for o in command(name).params if isinstance(o, click.Option))
        else set()
    )
    known = {*options(name), *arguments, *pictures, *CALLS, *ELSEWHERE.get(name, set())}
    assert set(parameters(name)) <= known


@pytest.mark.parametrize("name", NAMES)
def test_what_a_command_needs_a_function_needs(name: str) -> None:
    """But for the folder of stimulate, whose inputs may stay in memory."""
    for here, option in options(name).items():
        if option.required and (name, here) != ("stimulate", "out"):
            assert parameters(name)[here].default is inspect.Parameter.empty


def test_options_of_pictures_are_keys_of_the_preprocessing() -> None:
    """`--uint8` is the dtype, and `--scale A/B` has its divisor."""
    keys = {
        "resize": 8,
        "crop": 8,
        "method": "box",
        "color": "RGB",
        "layout": "NCHW",
        "scale": 2.0,
        "mean": 0.5,
        "std": 2,
    }
    assert set(keys) == set(PICTURE_KEYS) - {"preprocess", "uint8"}
    assert preprocessing_from({**keys, "dtype": "float32", "divisor": 255.0}, "the test").crop == 8


def test_every_way_to_store_is_a_field_of_the_options() -> None:
    given: dict[str, Any] = dict.fromkeys(StorageOptions.__annotations__, "x")
    assert set(fields_of(given)) <= set(Options.__dataclass_fields__)
    assert len(fields_of(given)) == len(given)


def test_the_table_has_every_function_of_the_front_door() -> None:
    functions = {name for name in qdqnp.__all__ if inspect.isfunction(getattr(qdqnp, name)) and name != "load"}
    assert functions == set(NAMES)
    for name in NAMES:
        assert COMMANDS.get(name, name) in cli.list_commands(click.Context(cli))


def test_how_many_layers_are_made_float_is_bounded_alike() -> None:
    """0 is refused by the function as by the command; None, as no option, makes none float."""
    (greedy,) = (option for option in command("quality").params if option.name == "greedy")
    assert isinstance(greedy.type, click.IntRange) and (greedy.type.min, greedy.type.max) == (1, 100)
    for number in (0, -1, 101):
        with pytest.raises(InputError, match=r"greedy.*1 to 100"):
            qdqnp.quality("float.onnx", "int8.onnx", [], greedy=number)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_explained_and_typed(name: str) -> None:
    function = getattr(qdqnp, name)
    assert all(parameter.annotation is not parameter.empty for parameter in parameters(name).values())
    assert inspect.signature(function).return_annotation == f"{name.capitalize()}Result"
    lines = [line.strip() for line in (function.__doc__ or "").splitlines()]
    for parameter in parameters(name):
        assert any(line.startswith(f"{parameter}: ") for line in lines), parameter
