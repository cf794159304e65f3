"""Choices say what is free in a rule; each is declared at the field that holds it.

`tie: str = choice(of=ROUNDINGS, kind="tie rule")` says which values a TOML file may give, which neighbours `explain`
and `compare` try, and what `fit` searches. `unknown` says which values an envelope must allow for.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from qdqnp.numerics.rule import Rule, kinds

_CHOICE, _FAMILIES = "choice", "families"
# Metadata of a field of overrides: the `Override` of each number by name.
OVERRIDES = "overrides"


#: (layer label, (('S1', value), ...)), hashable.
Overrides = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]


@dataclass(frozen=True)
class Override:
    """A number of one layer that a profile may give."""

    #: The values that the number may take.
    allowed: range
    #: Whether the number may be a list, one for each channel.
    per_channel: bool = False


@dataclass(frozen=True)
class Choice:
    """What the field of a rule may hold."""

    #: Every value that is allowed.
    of: Sequence[Any]
    #: What kind of cause another value is, for example 'tie rule'; '' where another value does not change the
    #: arithmetic.
    kind: str = ""
    #: What a neighbour is called; may use {value}, {name} of the field and {rule}, the name of the class.
    text: str = "{name} {value}"
    #: The values that the device may have, where nobody knows which one; empty where the value is known.
    unknown: tuple[Any, ...] = ()
    #: The field whose value counts where this field is 'same'; '' if the field follows none.
    follows: str = ""
    #: What a neighbour is called in which this field and the field it follows change together.
    together: str = ""
    #: The values that neighbours and `fit` try, where they are not all that are allowed.
    tried: tuple[Any, ...] = ()

    @property
    def worth_trying(self) -> Sequence[Any]:
        return self.tried or self.of


def choice(
    default: Any = dataclasses.MISSING,
    *,
    of: Iterable[Any],
    kind: str = "",
    text: str = "{name} {value}",
    unknown: Iterable[Any] = (),
    follows: str = "",
    together: str = "",
    tried: Iterable[Any] = (),
) -> Any:
    """Declare a dataclass field with a `Choice`; the field must be given where it has no default."""
    allowed = of if isinstance(of, range) else tuple(of)
    made = Choice(allowed, kind, text, tuple(unknown), follows, together, tuple(tried))
    return field(default=default, metadata={_CHOICE: made})


def limited_to(of: Iterable[Any]) -> Mapping[str, Any]:
    """Return the metadata of a dataclass field that holds one of these values, none of which changes the arithmetic."""
    return {_CHOICE: Choice(tuple(of))}


def part(*families: str) -> Any:
    """Declare a dataclass field, without a default, that holds a rule of one of the families or a tuple of such."""
    return field(metadata={_FAMILIES: families})


def of_layer(rule: Any, label: str) -> Any:
    """Return a rule with the numbers that it states for one layer alone, under the label ''.

    A rule that states no numbers is returned as it is.
    """
    stated = getattr(rule, OVERRIDES, ())
    return replace(rule, overrides=tuple(("", numbers) for at, numbers in stated if at == label)) if stated else rule


def given_of(rule: Any) -> Mapping[str, Any]:
    """Return the numbers of a rule that `of_layer` gave."""
    return dict(dict(getattr(rule, OVERRIDES, ())).get("", ()))


def choice_of(item: dataclasses.Field[Any]) -> Choice | None:
    """Return the choice that a field declares; None if it declares none."""
    found: Choice | None = item.metadata.get(_CHOICE)
    return found


def families_of(item: dataclasses.Field[Any]) -> tuple[str, ...]:
    """Return the families of rules that a field may hold; none for a field that holds no rule."""
    found: tuple[str, ...] = item.metadata.get(_FAMILIES, ())
    return found


def kinds_of(item: dataclasses.Field[Any], hint: Any) -> tuple[type, ...]:
    """Return the classes whose instances a field may hold: those of its families, or its own type if that is a rule."""
    if families_of(item):
        return kinds(*families_of(item))
    return (hint,) if isinstance(hint, type) and issubclass(hint, Rule) else ()


def hints(kind: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields, by name, in order."""
    found = typing.get_type_hints(kind)
    return {item.name: found[item.name] for item in dataclasses.fields(kind)}


# -- one step away -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Neighbour:
    """A rule that differs from another in one choice."""

    #: The kind of choice that differs, for example 'tie rule'.
    kind: str
    #: How the rule differs, in words.
    text: str
    #: The value that was chosen.
    value: Any
    #: The whole rule with that value.
    rule: Any


def neighbours(rule: Any) -> Iterator[Neighbour]:
    """Yield every rule that differs from `rule`, or in a rule or stage inside it, in one choice.

    The last field and the last stage come first, because a kernel most often writes the last rounding by hand.
    """
    for item in reversed(_fields(rule)):
        value, declared = getattr(rule, item.name), choice_of(item)
        if declared is not None and declared.kind:
            yield from _others(rule, item.name, declared)
        elif isinstance(value, Rule):
            for found in neighbours(value):
                yield replace(found, rule=replace(rule, **{item.name: found.rule}))
        elif isinstance(value, tuple):
            for index in reversed(range(len(value))):
                for found in neighbours(value[index]):
                    inner = (*value[:index], found.rule, *value[index + 1 :])
                    yield replace(found, rule=replace(rule, **{item.name: inner}))


def _others(rule: Any, name: str, declared: Choice) -> Iterator[Neighbour]:
    """Yield the neighbours in one field. A field that others follow is changed both with them and without them."""
    current = resolved(rule, name)
    followers = [item.name for item in _fields(rule) if _follows(item) == name]
    pinned = {follower: resolved(rule, follower) for follower in followers}
    for value in declared.worth_trying:
        if value == current or (declared.follows and value == "same"):
            continue
        text = declared.text.format(name=name, value=value, rule=type(rule).__name__)
        yield Neighbour(declared.kind, text, value, replace(rule, **{name: value, **pinned}))
        if followers:
            both = declared.together.format(name=name, value=value, rule=type(rule).__name__)
            changed = {name: value, **dict.fromkeys(followers, "same")}
            yield Neighbour(declared.kind, both, value, replace(rule, **changed))


def resolved(rule: Any, name: str) -> Any:
    """Return the value of a choice; where that is 'same', the value of the field it follows."""
    value = getattr(rule, name)
    followed = next(_follows(item) for item in _fields(rule) if item.name == name)
    return getattr(rule, followed) if followed and value == "same" else value


def _follows(item: dataclasses.Field[Any]) -> str:
    declared = choice_of(item)
    return declared.follows if declared is not None else ""


def _fields(rule: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(rule) if isinstance(rule, Rule) and dataclasses.is_dataclass(rule) else ()


# -- every combination -------------------------------------------------------------------------------------------------
def admissible(rule: Any, known: Sequence[str] = ()) -> Iterator[Any]:
    """Yield every rule that a partly known rule may be: each combination of its unknown choices and of those inside it.

    A rule without unknown choices yields only itself.

        known: names of fields that stay as they are.
    """
    options: dict[str, list[Any]] = {}
    for item in _fields(rule):
        value, declared = getattr(rule, item.name), choice_of(item)
        if item.name in known:
            continue
        if declared is not None and declared.unknown:
            options[item.name] = list(declared.unknown)
        elif isinstance(value, Rule):
            options[item.name] = list(admissible(value, known))
    for values in product(*options.values()):
        yield replace(rule, **dict(zip(options, values, strict=True)))


def variants(kind: type, **given: Iterable[Any]) -> Iterator[Any]:
    """Yield every instance of a class of rules, the first field varying fastest.

    The instances combine the choices that change the arithmetic and the rules that the fields hold; other fields keep
    their defaults.

        given: values to take for some fields instead, by field name.
    """
    options: dict[str, list[Any]] = {}
    for item in dataclasses.fields(kind):
        declared, held = choice_of(item), kinds_of(item, hints(kind)[item.name])
        if item.name in given:
            options[item.name] = list(given[item.name])
        elif declared is not None and declared.kind:
            options[item.name] = list(declared.worth_trying)
        elif held and item.default is dataclasses.MISSING:
            options[item.name] = [inner for one in held for inner in variants(one)]
    names = list(reversed(options))
    for values in product(*(options[name] for name in names)):
        made = kind(**dict(zip(names, values, strict=True)))
        if not any(_follows(item) and _explicit(made, item) for item in dataclasses.fields(kind)):
            yield made


def _explicit(rule: Any, item: dataclasses.Field[Any]) -> bool:
    """Tell whether a field has the value of the field it follows, without saying 'same'."""
    return bool(getattr(rule, item.name) == getattr(rule, _follows(item)))
