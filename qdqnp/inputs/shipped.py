"""Find the models and pictures that come with the package, in qdqnp/data."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from qdqnp.errors import InputError, Problem
from qdqnp.files.npy import open_arrays
from qdqnp.files.paths import names_in
from qdqnp.inputs.pictures import Preprocessing
from qdqnp.quant import Array

# The preprocessing that the shipped networks were trained with: (x / 255 - mean) / std.
CIFAR10 = Preprocessing(divisor=255.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def model_names() -> list[str]:
    """List the names of the shipped models, sorted."""
    return [name.removesuffix(".onnx") for name in names_in(_folder()) if name.endswith(".onnx")]


def shipped_model(model: str) -> Path:
    """Return the file of a shipped model, e.g. 'dla46_c_int8'. Raises InputError for other names.

    >>> shipped_model("dla46_c_int8").name
    'dla46_c_int8.onnx'
    """
    if model not in model_names():
        listed = ", ".join(model_names()) or "none: the package was installed without its data"
        raise InputError("no such shipped model", [Problem("model", listed, f"'{model}'")])
    return _folder() / f"{model}.onnx"


def pictures_path() -> Path:
    """Return the file of the shipped pictures."""
    return _folder() / "cifar10_pictures.npz"


def labels_path() -> Path:
    """Return the file of the class names, one on each line."""
    return _folder() / "cifar10_classes.txt"


def pictures() -> tuple[Array, Array, list[str]]:
    """Return 40 test pictures of CIFAR-10: uint8 (40, 32, 32, 3) RGB, their classes uint8 (40,), and the 10 class
    names.

    >>> x, classes, names = pictures()
    >>> x.shape, names[int(classes[0])]
    ((40, 32, 32, 3), 'cat')
    """
    with open_arrays(pictures_path()) as arrays:
        return arrays.read("x"), arrays.read("y"), [str(label) for label in arrays.read("classes")]


def _folder() -> Path:
    return Path(str(files("qdqnp") / "data"))
