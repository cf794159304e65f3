"""The equation of an Einsum: which axes of its inputs and of its output are one, by their labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qdqnp.graph import Dim, Shape
from qdqnp.ops.operator import ShapeError

ELLIPSIS = "..."
#: Labels are letters; axes that an ellipsis stands for have these in their place, from the first on.
HIDDEN = "0123456789"


@dataclass(frozen=True)
class Equation:
    """An equation with the axes of its ellipses spelled out, one character for each axis."""

    #: The labels of each input.
    inputs: tuple[str, ...]
    output: str

    @property
    def labels(self) -> str:
        """All labels: those of ellipses, then letters in the order in which they are met."""
        letters = dict.fromkeys("".join(self.inputs))
        return "".join(sorted(letters, key=lambda label: label not in HIDDEN))

    def last_input(self, label: str) -> int | None:
        """Return the number of the last input that has a label; None where the output has it."""
        if label in self.output:
            return None
        return max(number for number, labels in enumerate(self.inputs) if label in labels)

    def sizes(self, shapes: Sequence[Shape]) -> dict[str, Dim]:
        """Return the size of each label. Raises ShapeError where sizes do not fit."""
        found: dict[str, Dim] = {}
        for labels, shape in zip(self.inputs, shapes, strict=True):
            own: dict[str, Dim] = {}
            for label, size in zip(labels, shape, strict=True):
                twin = own.setdefault(label, size)
                if isinstance(twin, int) and isinstance(size, int) and twin != size:
                    raise ShapeError(f"one size for both axes '{label}'", str(list(shape)))
                known = found.setdefault(label, size)
                if known == 1:
                    found[label] = size
                elif isinstance(known, int) and isinstance(size, int) and size not in (1, known):
                    raise ShapeError(f"a size of {known} for '{label}'", str(size))
                elif not isinstance(known, int) and isinstance(size, int) and size != 1:
                    found[label] = size
        return found


def parse(text: str, ranks: Sequence[int]) -> Equation:
    """Return the equation for inputs of these ranks. Raises ShapeError where it is none, or does not fit them.

    >>> parse("...ij, jk -> ...ik", (3, 2))
    Equation(inputs=('0ij', 'jk'), output='0ik')
    >>> parse("ba", (2,)).output
    'ab'
    """
    plain = text.replace(" ", "")
    terms, arrow, output = plain.partition("->")
    inputs = terms.split(",")
    if any(not re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", term) for term in (*inputs, output)):
        raise ShapeError("letters and an ellipsis, '...', for each input and the output", repr(text))
    if len(inputs) != len(ranks):
        raise ShapeError(f"an equation of {len(ranks)} inputs", repr(text))
    hidden = ""
    for term, rank in zip(inputs, ranks, strict=True):
        if not term:
            raise ShapeError("labels for each input, as ONNX Runtime needs", repr(text))
        more = rank - len(term.replace(ELLIPSIS, ""))
        if more < 0 or (more and ELLIPSIS not in term) or more > len(HIDDEN):
            raise ShapeError(f"labels for {rank} axes", repr(term))
        if more and hidden and more != len(hidden):
            raise ShapeError(f"ellipses for {len(hidden)} axes", f"{term!r} for {rank}")
        hidden = HIDDEN[:more] or hidden
    spelled = tuple(
        term.replace(ELLIPSIS, hidden if rank > len(term.replace(ELLIPSIS, "")) else "")
        for term, rank in zip(inputs, ranks, strict=True)
    )
    if not arrow:
        once = sorted(label for label in {*terms} if label.isalpha() and terms.count(label) == 1)
        if any(label.isupper() for label in once):
            raise ShapeError("an output, '-> ...', where labels are capital letters", repr(text))
        output = ELLIPSIS + "".join(once)
    if hidden and ELLIPSIS not in output:
        raise ShapeError("an ellipsis in the output", repr(text))
    made = output.replace(ELLIPSIS, hidden)
    if len(set(made)) != len(made) or not set(made) <= set("".join(spelled)):
        raise ShapeError("labels of the inputs in the output, each once", repr(text))
    return Equation(spelled, made)
