"""Tolerance: how many LSB a layer's own difference may be: for all layers, by operator, or by layer."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from qdqnp.errors import InputError, Problems

LAYER = "layer:"


@dataclass
class Tolerance:
    """Tolerances in LSB; the most specific one applies."""

    #: The tolerance of every layer.
    lsb: int = 0
    #: Tolerances by operator.
    operators: dict[str, int] = field(default_factory=dict)
    #: Tolerances by layer label.
    layers: dict[str, int] = field(default_factory=dict)

    def of(self, op: str, label: str) -> int:
        return self.layers.get(label, self.operators.get(op, self.lsb))


def parse(texts: Iterable[str], operators: Collection[str], labels: Collection[str]) -> Tolerance:
    """Parse texts such as '1', 'QLinearAdd=1' and 'layer:conv1=0'.

    Raises InputError that lists every text of another form, and every operator or layer that the model does not have:
    otherwise a typo would be ignored silently.
    """
    made, problems = Tolerance(), Problems()
    for text in texts:
        name, equals, number = text.rpartition("=")
        if not number.isdecimal() or len(number) > 9:
            problems.add(f"--tolerance {text}", "LSB, OPERATOR=LSB or layer:LABEL=LSB", f"'{number}' as LSB")
        elif not equals:
            made.lsb = int(number)
        elif name.startswith(LAYER):
            label = name.removeprefix(LAYER)
            if label in labels:
                made.layers[label] = int(number)
            else:
                problems.add(f"--tolerance {text}", "a layer of the model", f"'{label}'")
        elif name in operators:
            made.operators[name] = int(number)
        else:
            problems.add(
                f"--tolerance {text}", f"an operator of the model: {', '.join(sorted(operators))}", f"'{name}'"
            )
    problems.raise_if_any("a tolerance that fits nothing", InputError)
    return made
