"""What the functions of the front door, and the commands, are given: models, profiles, lists, shapes, mappings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from qdqnp.api.progress import LOG
from qdqnp.errors import InputError, Problem, Problems, shorten
from qdqnp.model import Model, equipped, load
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profile_toml import profile_from
from qdqnp.ops.operator import Operator
from qdqnp.reader.proto import CutModel, Source, source_name

#: A path.
AnyPath: TypeAlias = "str | os.PathLike[str]"
#: What qdqnp.load returned, or what it takes: a path, bytes, or an onnx.ModelProto.
AnyModel: TypeAlias = "Model | Source"
#: Classes of operators that qdqnp does not have, as qdqnp.load takes them.
Operators: TypeAlias = "Sequence[type | Operator]"
#: An arithmetic: the name of a profile, a .toml file, or a Profile.
AnyProfile: TypeAlias = "str | Profile"
#: One text with commas, or several texts.
Texts: TypeAlias = "str | Iterable[str]"
#: Shapes of inputs: one for the only input, or by name; in a text as on the command line, '[NAME=]1x3x32x32'.
AnyShape: TypeAlias = "str | Sequence[str] | Sequence[int] | Mapping[str, Sequence[int]]"


def listed(texts: Texts) -> tuple[str, ...]:
    """Return the parts of 'A,B', or of several such texts: A, B and C of `--option A,B --option C`."""
    given = [texts] if isinstance(texts, str) else texts
    return tuple(part.strip() for text in given for part in text.split(",") if part.strip())


def source_of(model: AnyModel, outputs: Texts = (), operators: Operators = ()) -> Source:
    """Return where a model comes from, cut at the tensors that are named, with operators of the user's.

    Raises InputError for a Model that was not loaded, and of which nothing but the graph is known.
    """
    source = model.source if isinstance(model, Model) else model
    if source is None:
        problem = Problem("model", "a file, bytes, or what qdqnp.load returned", "a Model of a graph alone")
        raise InputError("the model's file is not known", [problem])
    names = listed(outputs)
    return equipped(CutModel(source, names) if names else source, operators)


def opened(model: AnyModel, outputs: Texts = (), operators: Operators = ()) -> Model:
    """Return a model, read where it was not read yet, cut at the tensors that are named. Raises ModelError."""
    if isinstance(model, Model) and not listed(outputs) and not operators:
        return model
    found = load(source_of(model, outputs, operators))
    LOG.info("read the model %s: %d nodes", name_of(model) or "of bytes", len(found.graph.nodes))
    return found


def name_of(model: AnyModel) -> str:
    """Return the name of a model's file; '' where it has none."""
    source = model.source if isinstance(model, Model) else model
    return "" if source is None else source_name(source)


def profile_with(profile: AnyProfile, host_float: bool = False) -> Profile:
    """Return the profile that a text names, or a profile; with `host_float`, floats run. Raises ProfileError."""
    found = profile_from(profile) if isinstance(profile, str) else profile
    return replace(found, host_float=True) if host_float else found


def profiles_of(profiles: Texts | Iterable[AnyProfile], host_float: bool = False) -> list[tuple[str, Profile]]:
    """Return the profiles, each with the text that named it, or its own name. Raises ProfileError."""
    given = [profiles] if isinstance(profiles, str) else profiles
    found: list[tuple[str, Profile]] = []
    for one in given:
        parts: Sequence[AnyProfile] = listed(one) if isinstance(one, str) else (one,)
        found += [(part if isinstance(part, str) else part.name, profile_with(part, host_float)) for part in parts]
    return found


def shapes_of(shape: AnyShape, inputs: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return shapes by name; one without a name is for the only input.

        shape: shapes by name, or one shape; a text, or several, as on the command line: [NAME=]1x3x32x32.
        inputs: the names of the model's inputs.

    Raises InputError for a shape without a name where the model has several inputs, and for what is no shape.

    >>> shapes_of("1x3x32x32", ["input"])
    {'input': (1, 3, 32, 32)}
    """
    if isinstance(shape, Mapping):
        return {name: tuple(sizes) for name, sizes in shape.items()}
    texts = [shape] if isinstance(shape, str) else [part for part in shape if isinstance(part, str)]
    numbers = () if isinstance(shape, str) else tuple(part for part in shape if not isinstance(part, str))
    problems = Problems()
    found = {}
    for text in [*texts, *(["x".join(map(str, numbers))] if numbers else [])]:
        key, _, sizes = text.rpartition("=")
        parts = sizes.split("x")
        where = f"shape '{shorten(text, 60)}'"
        if not key and len(inputs) != 1:
            problems.add(where, "NAME=SIZES", f"no name, and the model has {len(inputs)} inputs")
        elif not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
            problems.add(where, "sizes such as 1x3x32x32", sizes)
        else:
            found[key or inputs[0]] = tuple(int(part) for part in parts)
    problems.raise_if_any("no shape of an input", InputError)
    return found
