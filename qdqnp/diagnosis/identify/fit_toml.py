"""Write a fitted profile as a TOML file: comments say what was fitted and what is left open, then the profile
follows."""

from __future__ import annotations

from collections.abc import Iterator

from qdqnp.diagnosis.identify.families import describe
from qdqnp.diagnosis.identify.fit import Fit, Fitted
from qdqnp.errors import printable
from qdqnp.numerics.profile_writer import to_toml

SHOWN = 12


def fit_toml(fitted: Fitted) -> str:
    """Return the text that `--profile` reads. Every comment is one line, whatever characters a layer's name has."""
    lines = ["# Fitted to a device's codes by qdqnp identify --fit.", *_head(fitted)]
    for fit in fitted.fits:
        lines += _about(fit)
    return "".join(f"{printable(line)}\n" for line in lines) + "\n" + to_toml(fitted.profile)


def _head(fitted: Fitted) -> Iterator[str]:
    if fitted.unfitted:
        yield f"# NOT fitted, no rule of the families gives every code: {', '.join(fitted.unfitted)}."
    kept = [*fitted.unfitted, *fitted.unseen]
    if kept:
        yield f"# As in {fitted.base}, because the dump says nothing else of them: {', '.join(kept)}."


def _about(fit: Fit) -> Iterator[str]:
    count = f"{fit.elements} codes of {len(fit.layers)} layers"
    if fit.chosen is None:
        yield f"# {fit.name}: {count}; none fits" + (
            f", the nearest misses {fit.nearest[1]}: {fit.nearest[0].text}" if fit.nearest else ""
        )
        return
    yield f"# {fit.name}: {fit.text} gives all {count}"
    for group in fit.groups[1 : SHOWN + 1]:
        yield f"#   so does {group[0].text}"
    if len(fit.groups) > SHOWN + 1:
        yield f"#   and {len(fit.groups) - SHOWN - 1} more"
    if fit.narrow is not None:
        for label, choices in fit.narrow.choices.items():
            listed = ", ".join(f"({s1}, {s2})" for s1, s2 in choices[:SHOWN])
            yield f"#   {label}: (S1, S2) may be {listed}"
        for rule, others in fit.narrow.manners[:SHOWN]:
            yield f"#   so does {describe(rule)}" + (f", with another BC in {others} layers" if others else "")
