"""Rule is the base of every class that a profile may name; defining such a class adds it to its family."""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache
from typing import ClassVar

_FAMILIES: dict[str, list[type[Rule]]] = {}
# The modules that define qdqnp's own; reading them registers all.
_PACKAGES = ("qdqnp.numerics.rules",)
_MODULES = ("qdqnp.numerics.multiplier", "qdqnp.numerics.stages")


class Rule:
    """A rule, a multiplier scheme or a stage: a frozen dataclass without state.

    `class Mine(Rule, family="add")` makes it known to TOML files, to `fit` and to `explain`. Families: 'requantize',
    'mean', 'average', 'add', 'mul', 'lookup' (any real function), 'rescaling' (the identity only), 'softmax',
    'interpolate', 'convert', 'accumulate', 'float_sum', 'scheme', 'stage', 'undefined'.
    """

    family: ClassVar[str]

    def __init_subclass__(cls, family: str = "") -> None:
        if family:
            cls.family = family
            _FAMILIES.setdefault(family, []).append(cls)


def kinds(*families: str) -> tuple[type[Rule], ...]:
    """Return the classes of the families, by name within each."""
    _read_all()
    return tuple(kind for family in families for kind in sorted(_FAMILIES.get(family, ()), key=lambda k: k.__name__))


def kind_name(kind: type) -> str:
    """Return the class name in kebab-case: 'narrow-then-affine'."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


@cache
def _read_all() -> None:
    for name in _MODULES:
        importlib.import_module(name)
    for name in _PACKAGES:
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(found.name)
