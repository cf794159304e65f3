"""Draw the transfer function of each rounding: docs/images/rounding/*.svg, the same bytes on every run.

    python -m tools.draw.draw_roundings

The curves are drawn from what the functions of qdqnp.numerics return, not from what they should return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import numpy as np

from qdqnp.numerics.multiplier import Fixed
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.stages import MultiplyHigh, ShiftRight, Stage
from qdqnp.quant import Int64
from tools.models.files import write_bytes

TARGET = Path(__file__).parents[2] / "docs" / "images" / "rounding"
REACH = 3  # output codes to each side
FINE, COARSE = 5, 2  # values are drawn in steps of 2^-5 or 2^-2
UNIT, MARGIN = 28, 16  # pixels for one code, and around the picture
# Double roundings are drawn for the multiplier 1/4 (value 2^30, shift 32), where the first rounding moves the steps of
# the second by a whole accumulator.
FIXED = Fixed(np.asarray(1 << 30, np.int64), np.asarray(30 + COARSE, np.int64))
PAIRS: Mapping[str, tuple[Stage, ...]] = {
    "two-roundings-away": (MultiplyHigh(), ShiftRight("half-away")),
    "two-roundings-up": (MultiplyHigh(), ShiftRight("half-up")),
}

Transfer = Callable[[Int64], Int64]


@dataclass(frozen=True)
class Curve:
    """The transfer function of one rounding."""

    #: Maps values in units of 2^-shift to codes.
    transfer: Transfer
    #: The shift.
    shift: int
    #: Whether every value gets a dot, and not only ties.
    dots: bool

    def steps(self) -> list[tuple[float, float, int]]:
        """Return (first value, last value, code) of each flat piece."""
        values = np.arange(-REACH << self.shift, (REACH << self.shift) + 1)
        codes = self.transfer(values)
        edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(values)]
        return [(values[a] / 2**self.shift, values[b - 1] / 2**self.shift, int(codes[a])) for a, b in pairwise(edges)]

    def marked(self, left: float, right: float) -> list[float]:
        """Return where a piece has dots."""
        if self.dots:
            return [x / 2**self.shift for x in range(int(left * 2**self.shift), int(right * 2**self.shift) + 1)]
        return [x for x in sorted({left, right}) if abs(x - int(x)) == 0.5]


def curves() -> dict[str, Curve]:
    """Return every function to draw, by the name of its picture."""
    found = {name: Curve(_single(name), FINE, False) for name in ROUNDINGS}
    return found | {name: Curve(_staged(stages), COARSE, True) for name, stages in PAIRS.items()}


def _single(name: str) -> Transfer:
    return lambda value: ROUNDINGS[name](value, FINE)


def _staged(stages: tuple[Stage, ...]) -> Transfer:
    def transfer(value: Int64) -> Int64:
        for stage in stages:
            value = stage(value, FIXED).array
        return value

    return transfer


def picture(name: str, curve: Curve) -> str:
    """Draw the function as SVG: the identity dashed, dots where an exact half belongs, or at every value."""
    size = 2 * (MARGIN + REACH * UNIT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" viewBox="0 0 {size} {size}">',
        f"<title>{name}</title>",
        f'<rect width="{size}" height="{size}" fill="#fff"/>',
        *_grid(),
        _line(-REACH, -REACH, REACH, REACH, 'stroke="#999" stroke-dasharray="3 3"'),
    ]
    for left, right, code in curve.steps():
        parts.append(_line(left, code, right, code, 'stroke="#0b5cad" stroke-width="2.5"'))
        parts += [_dot(x, code) for x in curve.marked(left, right)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _grid() -> list[str]:
    lines = []
    for code in range(-REACH, REACH + 1):
        style = f'stroke="{"#555" if code == 0 else "#ddd"}"'
        lines += [_line(code, -REACH, code, REACH, style), _line(-REACH, code, REACH, code, style)]
    return lines


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{_x(x1)}" y1="{_y(y1)}" x2="{_x(x2)}" y2="{_y(y2)}" {style}/>'


def _dot(x: float, y: float) -> str:
    return f'<circle cx="{_x(x)}" cy="{_y(y)}" r="3" fill="#0b5cad"/>'


def _x(value: float) -> str:
    return f"{MARGIN + (value + REACH) * UNIT:g}"


def _y(value: float) -> str:
    return f"{MARGIN + (REACH - value) * UNIT:g}"


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=TARGET,
    help="A folder.  [default: docs/images/rounding]",
)
def main(out: Path) -> None:
    """Draw every rounding."""
    for name, curve in curves().items():
        write_bytes(out / f"{name}.svg", picture(name, curve).encode())
        click.echo(out / f"{name}.svg")


if __name__ == "__main__":
    main()
