"""Read a golden set back: the manifest against its schema, every file against its hash, then arrays one at a time."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.errors import GoldenError, InputError, Problem, Problems, shorten
from qdqnp.files.documents import parse_json
from qdqnp.files.npy import FAULTS
from qdqnp.files.paths import reason
from qdqnp.files.regular import open_inside, read_inside, sha256
from qdqnp.golden_sets.formats import readers
from qdqnp.golden_sets.manifest import MANIFEST, MODEL
from qdqnp.golden_sets.schema import check_manifest
from qdqnp.golden_sets.tensor import GoldenTensor, tensor_from_json
from qdqnp.golden_sets.texts import MAX_TEXT, TEXTS, stored_bytes
from qdqnp.limits import MAX_FILE_BYTES, MAX_MANIFEST_BYTES, MAX_TENSOR_BYTES
from qdqnp.quant import Array

# The order in which roles are tried where a name has several tensors and a role is not given: outputs come first.
_FIRST = ("output", "network_output", "network_input", "input", "weight", "bias")


def read(path: Path | str) -> GoldenSet:
    """Open a set. Raises GoldenError that lists everything that is wrong with it: a manifest that its schema forbids,
    files that are missing, of another size or with another hash; InputError where the folder does not hold a set.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from qdqnp import golden_sets
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> options = golden_sets.Options(layers=("level0.0",))
    >>> x = np.zeros((1, 3, 32, 32), np.float32)
    >>> network = shipped_model("dla46_c_int8")
    >>> written = golden_sets.write(Path("vectors"), network, [{"input": x}], 1, options=options)
    >>> found = golden_sets.read("vectors")
    >>> found.profile, found.inputs
    ('ort', 1)
    """
    folder = Path(path)
    document = _manifest(folder)
    problems = Problems()
    check_manifest(document, problems)
    problems.raise_if_any(f"not a golden set: {folder}", GoldenError)
    tensors = tuple(tensor_from_json(entry) for entry in document["tensors"])
    _check_tensors(tensors, document, problems)
    _check_files(folder, document, problems)
    problems.raise_if_any(f"the golden set is damaged: {folder}", GoldenError)
    return GoldenSet(folder, document, tensors)


class GoldenSet:
    """A set on disk. Its arrays are read when they are asked for."""

    def __init__(self, folder: Path, document: dict[str, Any], tensors: tuple[GoldenTensor, ...]) -> None:
        #: The whole manifest.
        self.manifest: Mapping[str, Any] = document
        #: Name of the profile that made the set.
        self.profile: str = document["profile"]["name"]
        #: The tensors in the order of the manifest.
        self.tensors = tensors
        #: How many inputs of the network the set has.
        self.inputs: int = document["inputs"]
        #: Where the set is.
        self.folder = folder

    def find(self, name: str, role: str | None = None, stage: str | None = None) -> GoldenTensor:
        """Return the first tensor of an ONNX name.

            name: the ONNX name.
            role: the tensor's role; None for the tensor itself, not what belongs to its layer.
            stage: the parameter or inner value; None for any.

        Raises InputError where the set does not have such a tensor.

        >>> import numpy as np
        >>> from pathlib import Path
        >>> from qdqnp import golden_sets
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> options = golden_sets.Options(layers=("level0.0",))
        >>> x = np.zeros((1, 3, 32, 32), np.float32)
        >>> network = shipped_model("dla46_c_int8")
        >>> written = golden_sets.write(Path("vectors"), network, [{"input": x}], 1, options=options)
        >>> golden_sets.read("vectors").find("level0.2_QuantizeLinear_Output").key
        '002_level0_0_output'
        """
        fitting = [tensor for tensor in self.tensors if tensor.name == name and stage in (None, tensor.stage)]
        for wanted in [role] if role is not None else _FIRST:
            for tensor in fitting:
                if tensor.role == wanted:
                    return tensor
        roles = ", ".join(sorted({tensor.role for tensor in fitting})) or "nothing"
        problem = Problem(f"tensor '{shorten(name, 60)}'", f"one of the role {role or 'of a tensor'}", roles)
        raise InputError("the golden set has no such tensor", [problem])

    def array(self, tensor: GoldenTensor, case: int = 0) -> Array:
        """Read the values for one input of the network, in ONNX's order of axes; the array is read-only.

            tensor: the tensor.
            case: the number of the input.

        Raises InputError for a case that the set does not have, GoldenError where the values are not in a format that
        Python reads back, or are not those that the manifest lists.

        >>> import numpy as np
        >>> from pathlib import Path
        >>> from qdqnp import golden_sets
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> options = golden_sets.Options(layers=("level0.0",))
        >>> x = np.zeros((1, 3, 32, 32), np.float32)
        >>> network = shipped_model("dla46_c_int8")
        >>> written = golden_sets.write(Path("vectors"), network, [{"input": x}], 1, options=options)
        >>> found = golden_sets.read("vectors")
        >>> found.array(found.find("level0.2_QuantizeLinear_Output")).shape
        (1, 16, 32, 32)
        """
        if not 0 <= case < self.inputs:
            raise InputError(
                "the golden set has no such input", [Problem("case", f"0 to {self.inputs - 1}", str(case))]
            )
        number = case if tensor.varies else 0
        data = _stored_bytes(self.folder, tensor, number, self.inputs)
        if f"{zlib.crc32(data):08x}" != tensor.crc32[number]:
            problem = Problem(f"tensor '{tensor.key}', input {case}", f"CRC-32 {tensor.crc32[number]}", "another")
            raise GoldenError("the golden set is damaged", [problem])
        dtype = np.dtype(tensor.dtype)
        stored = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(tensor.stored_shape)
        logical = np.ascontiguousarray(tensor.order.logical(stored)).reshape(tensor.shape)
        logical.flags.writeable = False
        return logical

    def model(self) -> bytes | None:
        """Return the model that made the set; None where it was left out.

        Raises GoldenError where it is not the one that the manifest lists.

        >>> import numpy as np
        >>> from pathlib import Path
        >>> from qdqnp import golden_sets
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> options = golden_sets.Options(layers=("level0.0",))
        >>> x = np.zeros((1, 3, 32, 32), np.float32)
        >>> network = shipped_model("dla46_c_int8")
        >>> written = golden_sets.write(Path("vectors"), network, [{"input": x}], 1, options=options)
        >>> golden_sets.read("vectors").model() == shipped_model("dla46_c_int8").read_bytes()
        True
        """
        if not self.manifest["model"]["file"]:
            return None
        try:
            data = read_inside(self.folder, MODEL, MAX_FILE_BYTES)
        except OSError as error:
            raise GoldenError("the golden set is damaged", [_unreadable(MODEL, error)]) from error
        if hashlib.sha256(data).hexdigest() != self.manifest["model"]["sha256"]:
            problem = Problem(f"file {MODEL}", "the model that the manifest lists", "another: it has changed")
            raise GoldenError("the golden set is damaged", [problem])
        return data

    def feeds(self, case: int = 0) -> dict[str, Array]:
        """Return the inputs of the network by ONNX name, to run the model on.

        >>> import numpy as np
        >>> from pathlib import Path
        >>> from qdqnp import golden_sets
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> options = golden_sets.Options(layers=("level0.0",))
        >>> x = np.zeros((1, 3, 32, 32), np.float32)
        >>> network = shipped_model("dla46_c_int8")
        >>> written = golden_sets.write(Path("vectors"), network, [{"input": x}], 1, options=options)
        >>> {name: array.shape for name, array in golden_sets.read("vectors").feeds().items()}
        {'input': (1, 3, 32, 32)}
        """
        found = {t.name: self.array(t, case) for t in self.tensors if t.role == "network_input"}
        if not found:
            raise InputError("the golden set has no network inputs", [Problem("roles", "network_input", "others")])
        return found


def _manifest(folder: Path) -> Any:
    try:
        return parse_json(read_inside(folder, MANIFEST, MAX_MANIFEST_BYTES))
    except (OSError, ValueError) as error:
        problem = Problem(f"file {folder / MANIFEST}", "the manifest of a golden set", reason(error))
        kind = InputError if isinstance(error, OSError) else GoldenError
        raise kind("cannot read the golden set", [problem]) from error


def _unreadable(name: str, error: OSError) -> Problem:
    return Problem(f"file {name}", "a readable file", reason(error))


def _stored_bytes(folder: Path, tensor: GoldenTensor, case: int, cases: int) -> bytes:
    """Read the stored bytes of a case. Raises GoldenError where none of the formats can be read back, or a file is not
    what the manifest says."""
    known = readers()
    kind = next((kind for kind in known if kind in tensor.files), None)
    if kind is None and any(text in tensor.files for text in TEXTS):
        return _text_bytes(folder, tensor, case)
    if kind is None:
        expected, got = f"one of the formats {', '.join((*known, *TEXTS))}", ", ".join(tensor.files)
        problem = Problem(f"tensor '{shorten(tensor.name, 60)}'", expected, got, "Write the set with --format npz too.")
        raise GoldenError("the golden set has no arrays for Python", [problem])
    place = tensor.files[kind]
    name = place["file"].replace("{case}", f"{case:05d}")
    try:
        with open_inside(folder, name) as file:
            data = known[kind].read(file, tensor, place, case, cases)
        if len(data) != tensor.nbytes:
            raise ValueError(f"{len(data)} bytes")
    except FAULTS as error:
        raise _damaged(tensor, name, error) from error
    return data


def _damaged(tensor: GoldenTensor, name: str, error: Exception) -> GoldenError:
    expected = f"{tensor.dtype}{list(tensor.stored_shape)} of '{tensor.key}'"
    return GoldenError("the golden set is damaged", [Problem(f"file {name}", expected, str(error))])


def _text_bytes(folder: Path, tensor: GoldenTensor, case: int) -> bytes:
    """Return the stored bytes of a case that are written as text. Raises GoldenError where the file is another one."""
    kind = next(text for text in TEXTS if text in tensor.files)
    name = tensor.files[kind]["file"]
    try:
        text = read_inside(folder, name, MAX_TEXT).decode("utf-8", "replace")
        data = stored_bytes(kind, text, str(tensor.files[kind].get("symbol", "")))
        part = data[case * tensor.nbytes :][: tensor.nbytes]
        if len(part) != tensor.nbytes:
            raise ValueError(f"{len(data)} bytes")
    except FAULTS as error:
        raise _damaged(tensor, name, error) from error
    return part


def _check_tensors(tensors: tuple[GoldenTensor, ...], document: Mapping[str, Any], problems: Problems) -> None:
    """Check what a schema cannot express: that the entries fit one another and the files."""
    keys: set[str] = set()
    for tensor in tensors:
        where = f"tensor '{shorten(tensor.key, 60)}'"
        if tensor.key.lower() in keys:
            problems.add(where, "a key of its own", "one that another tensor has")
        keys.add(tensor.key.lower())
        if tensor.axes and sorted(tensor.axes) != list(range(len(tensor.shape))):
            problems.add(where, "axes that permute those of the shape", list(tensor.axes))
        if len(tensor.shape) > 32 or tensor.nbytes > MAX_TENSOR_BYTES:
            problems.add(where, f"at most 32 axes and {MAX_TENSOR_BYTES} bytes", list(tensor.shape))
        count = document["inputs"] if tensor.varies else 1
        if len(tensor.crc32) != count:
            problems.add(where, f"{count} CRC-32 values", len(tensor.crc32))
        for kind, place in tensor.files.items():
            cases = range(len(tensor.crc32)) if "{case}" in place["file"] else range(1)
            names = (place["file"].replace("{case}", f"{case:05d}") for case in cases)
            missing = next((name for name in names if name not in document["files"]), None)
            if missing is not None:
                problems.add(f"{where}, {kind}", "a file of the set", shorten(missing, 60))


def _check_files(folder: Path, document: Mapping[str, Any], problems: Problems) -> None:
    if document["model"]["file"] is not None:
        found = document["files"].get(MODEL)
        if found is None or found["sha256"] != document["model"]["sha256"] or found["bytes"] > MAX_FILE_BYTES:
            problems.add(f"file {MODEL}", "listed with the model's sha256", "not so")
    for name, listed in document["files"].items():
        try:
            with open_inside(folder, name) as file:
                size = os.fstat(file.fileno()).st_size
                if size != listed["bytes"]:
                    problems.add(f"file {name}", f"{listed['bytes']} bytes", f"{size}")
                elif sha256(file) != listed["sha256"]:
                    problems.add(f"file {name}", f"sha256 {listed['sha256']}", "another: the file has changed")
        except OSError as error:
            problems.add(f"file {name}", "a readable file", reason(error))
