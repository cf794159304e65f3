"""Finds the layer that a text means: commands, functions and options all name layers in this way.

A layer is named by its label, by any of the ONNX nodes that it stands for, by a tensor that it makes, by its number
among the steps of the program, or by a glob of such names; where several layers may be meant, by an operator type too.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

from qdqnp.errors import InputError, Problem, Problems, shorten
from qdqnp.program import Program

NAMED_BY = "a layer's label, ONNX node, output tensor or number, or a glob"
SHOWN = 20


class Named(Protocol):
    """What goes by the names of a layer."""

    @property
    def label(self) -> str: ...

    @property
    def op(self) -> str: ...

    @property
    def origin(self) -> tuple[str, ...]: ...

    @property
    def output_names(self) -> tuple[str, ...]: ...


def find_step(program: Program | Sequence[Named], text: str, fits: Callable[[Any], bool] = lambda step: True) -> int:
    """Return the index of the one step that is meant.

        program: the steps.
        text: names the step, see the top of this file.
        fits: preferred are steps for which this is true, where a name belongs to several, such as a tensor and a node
            of the same name.

    Raises InputError for a name that belongs to none of the layers, saying which are near, and for a glob that fits
    several.
    """
    steps = _steps(program)
    found = [index for index, step in enumerate(steps) if text in _names(step)] or _numbered(steps, text)
    if found:
        return next((index for index in found if fits(steps[index])), found[0])
    found = [index for index, step in enumerate(steps) if _matches(step, text)]
    if not found:
        raise InputError("no such layer", [_unknown(steps, text, NAMED_BY)])
    if len(found) > 1:
        listed = _listing([steps[index].label for index in found])
        raise InputError("several layers", [Problem(f"layer {_quoted(text)}", "a glob of one layer", listed)])
    return found[0]


def find_steps(program: Program | Sequence[Named], texts: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of the steps that any of the texts means, ascending; () means every step.

        texts: names, see the top of this file, or operator types.

    Raises InputError, which lists the texts that fit none of the layers, and for each the names that are near.
    """
    steps = _steps(program)
    if not texts:
        return tuple(range(len(steps)))
    problems, found = Problems(), set[int]()
    for text in texts:
        fitting = [
            index
            for index, step in enumerate(steps)
            if text in _names(step) or _matches(step, text) or fnmatchcase(step.op, text)
        ] or _numbered(steps, text)
        if not fitting:
            problem = _unknown(steps, text, f"{NAMED_BY}, or an operator type")
            problems.note(problem.where, problem.expected, problem.got, problem.hint)
        found.update(fitting)
    problems.raise_if_any("no such layer", InputError)
    return tuple(sorted(found))


def _steps(program: Program | Sequence[Named]) -> Sequence[Named]:
    return program.steps if isinstance(program, Program) else program


def _names(step: Named) -> tuple[str, ...]:
    """Return the names of a step. A name may look like a glob, so callers compare for equality first."""
    return (*step.origin, *step.output_names)


def _matches(step: Named, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in _names(step))


def _numbered(steps: Sequence[Named], text: str) -> list[int]:
    known = text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < len(steps)
    return [int(text)] if known else []


def _unknown(steps: Sequence[Named], text: str, expected: str) -> Problem:
    names = list(dict.fromkeys(shorten(name, 60) for step in steps for name in _names(step)))
    near = difflib.get_close_matches(shorten(text, 60), names, 5, 0.4)
    meant = f"Did you mean {_listing(near)}? " if near else f"Layers: {_listing([s.label for s in steps])}. "
    hint = f"{meant}Layers have the numbers 0 to {len(steps) - 1}."
    return Problem(f"layer {_quoted(text)}", expected, "nothing of that name", hint)


def _listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(_quoted, names[:SHOWN])) + more


def _quoted(text: str) -> str:
    return f"'{shorten(text, 60)}'"
