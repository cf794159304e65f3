"""Which layers a set holds."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from qdqnp.errors import GoldenError, Problems, shorten
from qdqnp.program import Program, Step

SHOWN = 20


def chosen_steps(program: Program, patterns: Sequence[str]) -> tuple[int, ...]:
    """Indices of the steps that any pattern fits: the name of a layer or of a tensor that it makes, a glob of such
    names, or an operator. No pattern: every step. Raises GoldenError for patterns that fit none."""
    if not patterns:
        return tuple(range(len(program.steps)))
    problems, found = Problems(), set()
    for pattern in patterns:
        fitting = [index for index, step in enumerate(program.steps) if _fits(step, pattern)]
        if not fitting:
            problems.add(
                f"layers '{shorten(pattern, 60)}'",
                "the name of a layer or tensor, a glob, or an operator",
                "nothing that fits",
                f"Layers: {_listing(program)}",
            )
        found.update(fitting)
    problems.raise_if_any("no such layers", GoldenError)
    return tuple(sorted(found))


def _fits(step: Step, pattern: str) -> bool:
    names = (*step.origin, *step.output_names, step.op)
    return any(name == pattern or fnmatchcase(name, pattern) for name in names)  # a name may look like a glob


def _listing(program: Program) -> str:
    labels = [shorten(step.label, 60) for step in program.steps]
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return ", ".join(labels[:SHOWN]) + more
