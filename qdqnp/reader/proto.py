"""Turns bytes, a path or a ModelProto into a ModelProto that at least looks like a model."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, TypeAlias

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from qdqnp.errors import ModelError, Problem, shorten
from qdqnp.files.paths import reason
from qdqnp.files.regular import open_regular, read_all
from qdqnp.limits import MAX_FILE_BYTES, readable_bytes
from qdqnp.ops.operator import Operator
from qdqnp.reader.cut import GivenInput, cut_model
from qdqnp.reader.edits import OtherConstant, edit_model


@dataclass(frozen=True)
class CutModel:
    """A model that is cut: tensors of the graph are its outputs, and what only the rest needs is not read."""

    source: Source
    #: The names of the tensors.
    outputs: tuple[str, ...]
    #: Tensors that are inputs: what only they need is not read either.
    inputs: tuple[GivenInput, ...] = ()

    @property
    def name(self) -> str:
        """The name of the model's file; '' where it has none."""
        return source_name(self.source)


@dataclass(frozen=True, eq=False)
class EditedModel:
    """A model with other constants."""

    source: Source
    edits: tuple[OtherConstant, ...]

    @property
    def name(self) -> str:
        """The name of the model's file; '' where it has none."""
        return source_name(self.source)


@dataclass(frozen=True)
class EquippedModel:
    """A model with operators that are known while it is loaded, beside those that qdqnp has."""

    source: Source
    operators: tuple[Operator, ...]

    @property
    def name(self) -> str:
        """The name of the model's file; '' where it has none."""
        return source_name(self.source)


def source_name(source: Source) -> str:
    """Return the name of a model's file; '' where it has none."""
    if isinstance(source, CutModel | EditedModel | EquippedModel):
        return source.name
    return Path(source).name if isinstance(source, (str, os.PathLike)) else ""


def operators_of(source: Source) -> tuple[Operator, ...]:
    """Return the operators that come with a source, beside those that qdqnp has."""
    if isinstance(source, EquippedModel):
        return source.operators + operators_of(source.source)
    return operators_of(source.source) if isinstance(source, CutModel | EditedModel) else ()


Source: TypeAlias = "str | os.PathLike[str] | bytes | onnx.ModelProto | CutModel | EditedModel | EquippedModel"

# Formats that people hand over by mistake: (offset, the bytes there, the format in words).
OTHER_FORMATS = (
    (4, b"TFL3", "a TensorFlow Lite model"),
    (4, b"ORTM", "a model in ONNX Runtime's own .ort format"),
    (0, b"PK\x03\x04", "a zip archive (PyTorch saves these; an .onnx file may be inside)"),
    (0, b"version https://git-lfs", "a Git LFS pointer: the file itself was not fetched ('git lfs pull')"),
    (0, b"<", "an HTML or XML page: the download may have failed"),
    (0, b"{", "JSON text"),
)


@dataclass(frozen=True)
class Opened:
    """A parsed model."""

    model: onnx.ModelProto
    #: Where the model's external data may lie; None if the model did not come from a file.
    folder: Path | None
    #: The name of the source in messages.
    name: str
    #: Operators that are known while this model is loaded.
    given: tuple[Operator, ...] = ()


def open_model(source: Source) -> Opened:
    """Parse a model, and cut it where that is asked for.

    Raises ModelError if the model cannot be read or is not an ONNX model, TypeError for other arguments.
    """
    if isinstance(source, CutModel):
        whole = open_model(source.source)
        return replace(whole, model=cut_model(whole.model, source.outputs, whole.name, source.inputs))
    if isinstance(source, EquippedModel):
        return replace(open_model(source.source), given=source.operators)
    if isinstance(source, EditedModel):
        whole = open_model(source.source)
        return replace(whole, model=edit_model(whole.model, source.edits, whole.name))
    if isinstance(source, onnx.ModelProto):
        return Opened(_looks_like_model(source, "the given ModelProto", b""), None, "the given ModelProto")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Opened(_parse(bytes(source), "the given bytes"), None, "the given bytes")
    if isinstance(source, (str, os.PathLike)):
        return _open_path(source)
    raise TypeError(f"a model is a path, bytes or an onnx.ModelProto, not {type(source).__name__}")


def _open_path(source: str | os.PathLike[str]) -> Opened:
    name = f"'{shorten(os.fspath(source))}'"
    try:
        path = Path(source)
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                _refuse_size(name, size)
            data = read_all(file, MAX_FILE_BYTES)
    except IsADirectoryError:
        _refuse(name, "a model file", "a directory", "Name the .onnx file inside it.")
    except OSError as error:
        _refuse(name, "a readable model file", reason(error))
    return Opened(_parse(data, name), path.parent, name)


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    if not data:
        _refuse(name, "an ONNX model", "an empty file", "The download or export may have been interrupted.")
    if len(data) > MAX_FILE_BYTES:
        _refuse_size(name, len(data))
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        _refuse(name, "an ONNX model", *_other_format(data, f"bytes that protobuf cannot parse ({error})"))
    return _looks_like_model(model, name, data)


def _looks_like_model(model: onnx.ModelProto, name: str, data: bytes) -> onnx.ModelProto:
    """Check the fields that every model has: protobuf takes almost any message for another one."""
    if not model.HasField("graph"):
        _refuse(name, "an ONNX model", *_other_format(data, "a message without a graph"))
    if not model.HasField("ir_version"):
        _refuse(name, "an ONNX model", *_other_format(data, "a message without ir_version"))
    return model


def _other_format(data: bytes, otherwise: str) -> tuple[str, str]:
    """Return (got, hint) for bytes that are not an ONNX model."""
    for offset, magic, what in OTHER_FORMATS:
        if data[offset : offset + len(magic)] == magic:
            return what, "Give the .onnx file."
    return otherwise, "The file is cut off, damaged, or not an ONNX model."


def _refuse_size(name: str, size: int) -> NoReturn:
    _refuse(
        name,
        f"at most {readable_bytes(MAX_FILE_BYTES)}",
        readable_bytes(size),
        "Protobuf allows no more; save the weights as external data.",
    )


def _refuse(name: str, expected: str, got: str, hint: str = "") -> NoReturn:
    raise ModelError(f"cannot load {name}", [Problem(name, expected, shorten(got), hint)]) from None
