"""Capture: what a device answers to a model's inputs, tensor by tensor, through one small interface.

Any callable is a device: it gets the network's inputs by ONNX name and returns tensors by name.

    def board(inputs):                       # my_board.py
        my_driver.write(inputs["input"])
        return {"conv1_q": my_driver.read(0), "output": my_driver.read(1)}

    qdqnp capture net.onnx --device my_board:board --input x.npy --out dump

Names are best those of the ONNX model; others are paired later with `qdqnp compare --write-mapping`. Codes are int8 or
uint8 arrays, real values float32; NCHW, or NHWC where the device has it so. Adapters for ST's ai_runner, a serial
port and a C library are beside this file.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from qdqnp.errors import InputError, Problem, Problems, QdqnpError, shorten
from qdqnp.executor.plan import Plan
from qdqnp.executor.walk import fold
from qdqnp.program import Program
from qdqnp.quant import Array

MAX_TENSORS, MAX_NAME = 10_000, 1_000


@runtime_checkable
class Source(Protocol):
    """A device under test."""

    def tensors(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the device once.

            inputs: the network's inputs by ONNX name.

        Returns every tensor that the device can show, by name.
        """
        ...


Device = Source | Callable[[Mapping[str, Array]], Mapping[str, Array]]


def load_device(text: str) -> Device:
    """Return the object that 'module:name' names: a function of the inputs, or a Source. The current folder is searched
    too.

    Raises InputError. Importing runs the module, which is what the user asked for.
    """
    module, _, name = text.partition(":")
    if not module or not name:
        raise InputError("no device", [Problem("--device", "module:function, such as my_board:run", repr(text))])
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's module raises
        raise InputError(
            "cannot import the device", [Problem(f"module '{module}'", "importable", _said(error))]
        ) from error
    for part in name.split("."):
        found = getattr(found, part, None)  # type: ignore[assignment]
    if not isinstance(found, Source) and not callable(found):
        what = "a function of the inputs, or an object with tensors(inputs)"
        raise InputError("no device", [Problem(f"'{name}' of module '{module}'", what, type(found).__name__)])
    return found


def capture(device: Device, inputs: Iterable[Mapping[str, Array]]) -> dict[str, list[Array]]:
    """Run the device on each set of inputs, and return one array for each run by tensor name; a name's arrays have
    equal dtype and shape.

        device: the device.
        inputs: sets of inputs by name.

    Raises InputError that lists what a run returned wrongly, QdqnpError where the device fails.
    """
    found: dict[str, list[Array]] = {}
    for number, feeds in enumerate(inputs):
        answers = _checked(_run(device, feeds, number), number)
        if number == 0:
            found = {name: [] for name in answers}
        _require_alike(found, answers, number)
        for name, array in answers.items():
            found[name].append(array)
    return found


def _run(device: Device, feeds: Mapping[str, Array], number: int) -> object:
    function = device.tensors if isinstance(device, Source) else device
    try:
        return function({name: array.copy() for name, array in feeds.items()})
    except QdqnpError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's function raises
        raise QdqnpError("the device failed", [Problem(f"run {number}", "tensors", _said(error))]) from error


def _said(error: BaseException) -> str:
    return shorten(f"{type(error).__name__}: {error}")


def _checked(answers: object, number: int) -> dict[str, Array]:
    """Return copies of the arrays: a device may use its buffers again."""
    problems, found = Problems(), dict[str, Array]()
    if not isinstance(answers, Mapping) or not 0 < len(answers) <= MAX_TENSORS:
        problems.add(f"run {number}", f"a mapping of 1 to {MAX_TENSORS} tensors by name", type(answers).__name__)
        answers = {}
    for name, value in answers.items():
        array = np.array(value)
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            problems.add(f"run {number}", "names that are texts", repr(name))
        elif array.dtype.kind not in "biuf" or array.size == 0:
            problems.add(f"run {number}, tensor '{name}'", "an array of numbers", f"{array.dtype}{list(array.shape)}")
        else:
            found[name] = array
    problems.raise_if_any("the device did not return tensors", InputError)
    return found


def _require_alike(found: Mapping[str, Sequence[Array]], answers: Mapping[str, Array], number: int) -> None:
    problems = Problems()
    for name in sorted({*found} ^ {*answers}):
        problems.add(f"run {number}, tensor '{name}'", "in every run, or in none", "in some runs only")
    for name, array in answers.items():
        first = found[name][0] if found.get(name) else array
        if (array.dtype, array.shape) != (first.dtype, first.shape):
            problems.add(
                f"run {number}, tensor '{name}'",
                f"{first.dtype}{list(first.shape)} as in run 0",
                f"{array.dtype}{list(array.shape)}",
            )
    problems.raise_if_any("the device's runs differ in more than values", InputError)


def input_codes(plan: Plan, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Convert the inputs to the codes that the model's quantizers make of them, for devices that take codes. Inputs
    that are codes already, or that nothing quantizes, stay unchanged."""
    floats = {name: array for name, array in feeds.items() if array.dtype.kind == "f"}
    quantizers = [b for b in plan.steps if b.step.op == "QuantizeLinear" and b.step.input_names[0] in floats]
    codes = {done.bound.step.input_names[0]: made for done in fold(quantizers, feeds) for made in done.made.values()}
    return {**feeds, **codes}


def runs(program: Program, sets: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
    """Yield sets of inputs in the order of the model's inputs, so that a device may take them by position too."""
    for feeds in sets:
        yield {name: feeds[name] for name in program.inputs}
