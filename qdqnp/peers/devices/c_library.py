"""A C library as a device, through ctypes: kernels built for the host show every tensor through a callback.

    #include <stdint.h>
    /* dtype: 1 int8, 2 uint8, 3 int16, 4 int32, 5 float32, as on the serial port */
    typedef void (*qdqnp_emit)(void *context, const char *name, int dtype, int axes, const int64_t *shape,
                               const void *data);
    /* inputs: in the order of the model's, dense, row-major, NCHW; returns 0, or an error number of your own */
    int qdqnp_run(const void *const *inputs, int count, qdqnp_emit emit, void *context);

    from qdqnp.peers.devices.c_library import CLibrary
    board = CLibrary("./libkernels.so")      # in my_kernels.py; then: qdqnp capture ... --device my_kernels:board

The library runs within this process: what it does with memory is its own responsibility.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Mapping

import numpy as np

from qdqnp.errors import InputError, Problem, QdqnpError
from qdqnp.peers.devices.frames import DTYPES, MAX_AXES, MAX_DATA, native
from qdqnp.quant import Array

_EMIT = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int64), ctypes.c_void_p
)


class CLibrary:
    """A device in a shared library.

        path: the shared library.
        function: name of the function that runs it, with the signature above.

    Raises InputError.
    """

    def __init__(self, path: str | os.PathLike[str], function: str = "qdqnp_run") -> None:
        try:
            self._library = ctypes.CDLL(os.fspath(os.path.abspath(path)))  # noqa: PTH100 - what the loader takes
            self._run = getattr(self._library, function)
        except (OSError, AttributeError) as error:
            problem = Problem(f"library {path}", f"a shared library with '{function}'", str(error))
            raise InputError("cannot load the device", [problem]) from error
        self._run.restype = ctypes.c_int
        self._run.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, _EMIT, ctypes.c_void_p]

    def tensors(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the library once; the arrays are copies. Raises QdqnpError for an error number, or for a tensor that is
        not valid."""
        found: dict[str, Array] = {}
        problems: list[Problem] = []

        def emit(context: object, name: bytes, dtype: int, axes: int, shape: object, data: int | None) -> None:
            try:
                called = name.decode(errors="replace")
                found[called] = _copied(called, dtype, axes, shape, data)
            except QdqnpError as error:  # must not pass through C
                problems.extend(error.problems)

        given = [np.ascontiguousarray(array) for array in inputs.values()]
        pointers = (ctypes.c_void_p * len(given))(*(array.ctypes.data for array in given))
        status = self._run(pointers, len(given), _EMIT(emit), None)
        if status != 0:
            problems.append(Problem("library", "0 for success", f"the error number {status}"))
        if problems:
            raise QdqnpError("the device failed", problems)
        return found


def _copied(name: str, dtype: int, axes: int, shape: object, data: int | None) -> Array:
    sizes = [int(shape[axis]) for axis in range(axes)] if 0 <= axes <= MAX_AXES else []  # type: ignore[index]
    kind = DTYPES.get(dtype)
    good = kind is not None and 0 <= axes <= MAX_AXES and all(size > 0 for size in sizes) and data
    if not good or kind is None or math.prod(sizes) * kind.itemsize > MAX_DATA:
        got = f"dtype {dtype}, {axes} axes {sizes}, data at {data}"
        raise QdqnpError("the device failed", [Problem(f"tensor '{name}'", "a known dtype, a shape and data", got)])
    size = math.prod(sizes) * kind.itemsize
    return native(ctypes.string_at(data or 0, size), kind, sizes)
