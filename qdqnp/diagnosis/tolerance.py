"""Tolerance: how many LSB a layer's own difference may be, for all, by operator, or by layer."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from qdqnp.errors import InputError, Problems

LAYER = "layer:"


@dataclass
class Tolerance:
    """lsb: for every layer; operators, layers: by name, the more specific wins."""

    lsb: int = 0
    operators: dict[str, int] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)

    def of(self, op: str, label: str) -> int:
        return self.layers.get(label, self.operators.get(op, self.lsb))


def parse(texts: Iterable[str], operators: Collection[str], labels: Collection[str]) -> Tolerance:
    """'1', 'QLinearAdd=1', 'layer:conv1=0'. Raises InputError that lists every text that is none of these, or names
    an operator or a layer that the model does not have: it would change nothing."""
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
