"""The columns of an evaluation: a model, and who computes it with which arithmetic."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import onnx

from qdqnp.engine.job import Blobs, key_of
from qdqnp.errors import InputError, ModelError, PeerError, Problem, Problems, QdqnpError, did_you_mean
from qdqnp.evaluation.scores import Scores, scores_of
from qdqnp.files.paths import FILE, kind_of
from qdqnp.inputs.pictures import Preprocessing, resolved
from qdqnp.model import Model, load
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profile_toml import profile_from
from qdqnp.numerics.profiles import ALIASES, PROFILES
from qdqnp.peers.ort.session import import_onnxruntime
from qdqnp.peers.ort.users import SESSIONS, described
from qdqnp.program import Program
from qdqnp.reader.embed import single_file
from qdqnp.reader.proto import Source, operators_of, source_name

#: A model as Python names it: a path, bytes, a ModelProto, or what qdqnp.load returned.
ModelSource: TypeAlias = "str | os.PathLike[str] | bytes | onnx.ModelProto | Model"


@dataclass(frozen=True, eq=False)
class ModelColumn:
    """A model and an arithmetic.

    >>> ModelColumn("board", "net.onnx", "neural-art").arithmetic
    'neural-art'
    """

    #: The column's name.
    name: str
    #: A path, bytes, a ModelProto, or what qdqnp.load returned.
    model: ModelSource
    #: A profile, its name or a path that ends in .toml; one of `SESSIONS`, for ONNX Runtime itself; or None: 'ort', but
    #: for a model without any quantization 'session', where onnxruntime is installed.
    arithmetic: str | Profile | None = None


def column_from(text: str) -> ModelColumn:
    """Return the column that a text names: NAME=MODEL, MODEL, or one of them with :ARITHMETIC behind it.

    What follows the last colon is an arithmetic if no file has the whole name, and it is the name of a profile or a
    session, ends in .toml, or stands behind a file's name. Without NAME, the column has the file's name without its
    ending, and the arithmetic. Raises InputError where one of the three is announced and empty.

    >>> column = column_from("board=nets/int8.onnx:neural-art")
    >>> column.name, column.model.as_posix(), column.arithmetic
    ('board', 'nets/int8.onnx', 'neural-art')
    >>> column_from("nets/int8.onnx:session-x64").name
    'int8:session-x64'
    """
    name, equals, rest = text.partition("=")
    if not equals or kind_of(Path(text)) == FILE:
        name, equals, rest = "", "", text
    before, colon, after = rest.rpartition(":")
    stated = bool(colon) and kind_of(Path(rest)) != FILE and (_is_arithmetic(after) or kind_of(Path(before)) == FILE)
    arithmetic = after if stated else None
    model = rest if arithmetic is None else before
    if (equals and not name) or not model or arithmetic == "":
        hint = "Without NAME the column has the file's name, without ARITHMETIC that of the default."
        raise InputError("a column is not clear", [Problem("column", "NAME=MODEL:ARITHMETIC", f"'{text}'", hint)])
    path = Path(model)
    made = path.stem + ("" if arithmetic is None else f":{Path(arithmetic).stem}")
    return ModelColumn(name or made, path, arithmetic)


def _is_arithmetic(text: str) -> bool:
    return text in SESSIONS or text in PROFILES or text in ALIASES or text.endswith(".toml")


def columns_of(given: object) -> list[ModelColumn]:
    """Return the columns that a caller of `evaluate` names: one model or column, several, or models by column name.

        given: a path, bytes, a ModelProto, a Model or a ModelColumn; a sequence of these; or a mapping of names to
            these, or to pairs of a model and an arithmetic.

    Raises InputError for a name that two columns have, and for anything else.

    >>> [(column.name, column.arithmetic) for column in columns_of({"a": "net.onnx", "b": ("net.onnx", "tflite")})]
    [('a', None), ('b', 'tflite')]
    """
    if isinstance(given, Mapping):
        found = [_named(str(name), model) for name, model in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str | bytes):
        found = [_one(model, number) for number, model in enumerate(given)]
    else:
        found = [_one(given, 0)]
    problems = Problems()
    names = [column.name for column in found]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        problems.add(f"column '{name}'", "a name of its own", f"{names.count(name)} columns", "Name them: NAME=MODEL.")
    if not found:
        problems.add("columns", "one or more", "none")
    problems.raise_if_any("the columns are not clear", InputError)
    return found


def _named(name: str, given: Any) -> ModelColumn:
    if isinstance(given, tuple) and len(given) == 2:
        return ModelColumn(name, *given)
    return replace(given, name=name) if isinstance(given, ModelColumn) else ModelColumn(name, given)


def _one(given: Any, number: int) -> ModelColumn:
    if isinstance(given, ModelColumn):
        return given
    return ModelColumn(Path(_file_name(given)).stem or f"model {number}", given)


def _file_name(model: Any) -> str:
    """Return the name of a model's file; '' where it has none."""
    source = model.source if isinstance(model, Model) else model
    return "" if source is None else source_name(source)


@dataclass(frozen=True)
class OpenColumn:
    """A column that can be computed. It is sent to workers."""

    #: The column's name.
    name: str
    #: The model's file name; '' where it has none.
    model: str
    #: The sha256 of the model's bytes.
    key: str
    #: The arithmetic; None where ONNX Runtime computes.
    profile: Profile | None
    #: The name of the session, one of `SESSIONS`; '' where qdqnp computes.
    session: str
    #: The arithmetic in words.
    arithmetic: str
    #: What is done to pictures; None where the model takes none.
    preprocessing: Preprocessing | None
    #: The output that holds the scores.
    scores: Scores
    #: The number of inputs that the model takes in one run; 0 where it takes any.
    batch: int


def open_columns(
    columns: Iterable[ModelColumn],
    preprocessing: Preprocessing | None,
    pictures: bool | None,
    output: str | None = None,
    host_float: bool = False,
) -> tuple[list[OpenColumn], Blobs]:
    """Read the models, and check that each can be computed.

        columns: the columns.
        preprocessing: what is done to pictures; None where nothing is said of it.
        pictures: whether the inputs are pictures; None where it shows later.
        output: the output that holds the scores; None finds it.
        host_float: whether what a profile does not define runs in float32.

    Returns the columns, and the models' bytes by their sha256. Raises InputError that lists what is wrong with each.
    """
    found: list[OpenColumn] = []
    held: list[bytes] = []
    problems = Problems()
    for column in columns:
        try:
            data = _bytes(column)
            found.append(_opened(column, data, preprocessing, pictures, output, host_float))
            held.append(data)
        except QdqnpError as error:
            for problem in error.problems or (Problem("", error.title, "none"),):
                where = f"column '{column.name}', {problem.where}"
                problems.note(where, problem.expected, problem.got, problem.hint)
    problems.raise_if_any("columns cannot be evaluated", InputError)
    return found, Blobs(*held)


def _bytes(column: ModelColumn) -> bytes:
    """Return the model as the bytes of one file, which are sent to workers."""
    expected = "a path, bytes, an onnx.ModelProto, or what qdqnp.load returned"
    if not isinstance(column.model, str | os.PathLike | bytes | onnx.ModelProto | Model):
        raise ModelError("no model", [Problem("model", expected, f"a {type(column.model).__name__}")])
    source: Source | None = column.model.source if isinstance(column.model, Model) else column.model
    if source is None:
        raise ModelError("no model", [Problem("model", expected, "a Model of a graph alone")])
    if given := operators_of(source):
        got = ", ".join(dict.fromkeys(one.op for one in given))
        raise ModelError("no model", [Problem("model", "no operators of your own, which workers do not get", got)])
    return single_file(source)


def _opened(
    column: ModelColumn,
    data: bytes,
    preprocessing: Preprocessing | None,
    pictures: bool | None,
    output: str | None,
    host_float: bool,
) -> OpenColumn:
    model = load(data)
    profile, session = _arithmetic(column, model)
    words = described(SESSIONS[session]) if profile is None else profile.name
    if profile is not None and host_float and not profile.host_float:
        profile, words = replace(profile, host_float=True), f"{words}, floats on the host"
    program = model.program(profile or "ort")
    if profile is not None:
        model.plan(profile)  # raises where the profile does not define a layer
    chosen = None
    if pictures is not False:
        try:
            chosen = resolved(preprocessing or Preprocessing(), program)
        except InputError:
            if pictures or preprocessing is not None:
                raise
    return OpenColumn(
        name=column.name,
        model=_file_name(column.model),
        key=key_of(data),
        profile=profile,
        session=session,
        arithmetic=words,
        preprocessing=chosen,
        scores=scores_of(program, output),
        batch=_batch(program),
    )


def _arithmetic(column: ModelColumn, model: Model) -> tuple[Profile | None, str]:
    """Return the profile, or the name of the session."""
    stated = column.arithmetic
    if stated is None:
        stated = "session" if not _quantized(model.program()) and _has_onnxruntime() else "ort"
    if isinstance(stated, str) and stated in SESSIONS:
        import_onnxruntime()
        return None, stated
    if isinstance(stated, str) and not _is_arithmetic(stated):
        expected = f"a profile ({', '.join(PROFILES)}), a .toml file, or ONNX Runtime's session ({', '.join(SESSIONS)})"
        hint = did_you_mean(stated, [*PROFILES, *ALIASES, *SESSIONS])
        raise InputError("no arithmetic", [Problem("arithmetic", expected, f"'{stated}'", hint)])
    return profile_from(stated), ""


def _quantized(program: Program) -> bool:
    return any(tensor.quant is not None for tensor in program.tensors.values())


def _has_onnxruntime() -> bool:
    try:
        import_onnxruntime()
    except PeerError:
        return False
    return True


def _batch(program: Program) -> int:
    """Return the batch that the model declares; 0 where it is open."""
    declared = [program.tensors[name].shape for name in program.inputs]
    sizes = {shape[0] if shape else 1 for shape in declared}
    if len(sizes) == 1:
        (size,) = sizes
        return size if isinstance(size, int) and size > 0 else 0
    if all(not isinstance(size, int) for size in sizes):
        return 0
    listed = ", ".join(f"'{name}' {list(program.tensors[name].shape)}" for name in program.inputs)
    raise InputError("no batch", [Problem("inputs", "the same first axis, the batch", listed)])
