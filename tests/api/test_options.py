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
from qdqnp.golden_sets.options import Options
from qdqnp.inputs.pictures import preprocessing_from

NAMES = ("compare", "diff", "explain", "golden", "identify", "inspect", "stimulate", "verify")
#: Options that say how a command prints and which reports it writes.
SHOWING = {"json", "all", "html", "junit", "write_mapping", "node_data", "help"}
#: Of these, also what is done to a report that is in the way.
SHOWING_OF = {"compare": {"force"}, "inspect": {"force"}}
#: What a function has and its command has not: how a caller looks on, and what stands alone on the command line.
CALLS = {"progress", "announce", "executor", "storage", "dump"}
#: Options that are spelled otherwise.
OTHERWISE = {"input": "inputs"}


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def spelled(option: click.Option) -> set[str]:
    return {OTHERWISE.get(text, text) for text in (name.lstrip("-").replace("-", "_") for name in option.opts)}


def parameters(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(qdqnp, name)).parameters)


def options(name: str) -> dict[str, click.Option]:
    """The options of a command by the parameter that each is, but for those of how it prints."""
    known = {*parameters(name), *StorageOptions.__annotations__}
    found: dict[str, click.Option] = {}
    for option in command(name).params:
        if not isinstance(option, click.Option) or spelled(option) & (SHOWING | SHOWING_OF.get(name, set())):
            continue
        if spelled(option) & set(PICTURE_KEYS) and "preprocess" in parameters(name):
            continue
        (here,) = spelled(option) & known or {f"no parameter for {option.opts}"}
        found[here] = option
    return found


def plain(value: Any) -> Any:
    """A default without the ways in which nothing is said: click's Sentinel, None, False, '' and ()."""
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
            assert plain(own[here].default) == plain(option.default), here


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_an_option_or_an_argument(name: str) -> None:
    arguments = {argument.name for argument in command(name).params if isinstance(argument, click.Argument)}
    pictures = (
        {"preprocess"}
        if any(spelled(o) & {"preprocess"} for o in command(name).params if isinstance(o, click.Option))
        else set()
    )
    known = {*options(name), *arguments, *pictures, *CALLS}
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


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_explained_and_typed(name: str) -> None:
    function = getattr(qdqnp, name)
    assert all(parameter.annotation is not parameter.empty for parameter in parameters(name).values())
    assert inspect.signature(function).return_annotation == f"{name.capitalize()}Result"
    lines = [line.strip() for line in (function.__doc__ or "").splitlines()]
    for parameter in parameters(name):
        assert any(line.startswith(f"{parameter}: ") for line in lines), parameter
