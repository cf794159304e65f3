"""Read network weights from .npz, .safetensors and .pth files into a dict of NumPy arrays."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.errors import Problem, QdqnpError

Weights = dict[str, NDArray[np.float32]]


class CheckpointError(QdqnpError):
    """Raised for a checkpoint that cannot be read, or does not fit the network."""


def read_checkpoint(path: Path) -> Weights:
    """Return the float tensors of a checkpoint by name; the suffix of the file says its format.

    A training script may wrap the weights in `state_dict`, and training on several GPUs puts `module.` before every
    name; both are removed.
    """
    readers: dict[str, Callable[[Path], Mapping[str, Any]]] = {
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
        ".pth": _read_torch,
        ".pt": _read_torch,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        problem = Problem(str(path), f"a file that ends in {', '.join(readers)}", path.suffix or "no suffix")
        raise CheckpointError("Unknown checkpoint format", [problem])
    return {name.removeprefix("module."): np.asarray(value) for name, value in reader(path).items()}


def _unreadable(path: Path, expected: str, error: Exception) -> CheckpointError:
    got = str(error) or type(error).__name__
    return CheckpointError("A checkpoint cannot be read", [Problem(str(path), expected, got)])


def _missing_package(path: Path, package: str) -> CheckpointError:
    hint = f"Install it with `pip install {package}`, or convert the checkpoint to .npz where it is installed."
    return CheckpointError(
        "A checkpoint cannot be read",
        [Problem(str(path), f"the package {package}", "it is not installed", hint)],
    )


def _read_npz(path: Path) -> Mapping[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(path, "an .npz file of plain arrays", error) from error


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise _missing_package(path, "safetensors") from error
    try:
        return load_file(path)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _unreadable(path, "a .safetensors file", error) from error


def _read_torch(path: Path) -> Mapping[str, Any]:
    try:
        import torch
    except ImportError as error:
        raise _missing_package(path, "torch") from error
    try:
        # weights_only, because a .pth file is a pickle, which could otherwise run code of its own.
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ValueError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise _unreadable(path, "a .pth file that holds nothing but tensors", error) from error
    if isinstance(contents, Mapping) and isinstance(contents.get("state_dict"), Mapping):
        contents = contents["state_dict"]
    if not isinstance(contents, Mapping) or not all(torch.is_tensor(value) for value in contents.values()):
        found = TypeError(f"a {type(contents).__name__} that holds something else")
        raise _unreadable(path, "a dict of tensors, or one under the key state_dict", found)
    return {name: _to_numpy(tensor) for name, tensor in contents.items()}


def _to_numpy(tensor: Any) -> NDArray:
    """Convert a torch tensor to an array. NumPy does not have bfloat16, so every float type becomes float32."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
