"""A profile is read from TOML here: a user writes down the arithmetic of their own device.

Every rule, multiplier scheme and stage is a table: `kind` is its class in kebab-case, the other keys are its fields.
Where a table is expected, a string may stand that names a field of the profile: `gemm = "conv"` is the same rule
again. With `base = "tflite"` a file states only what differs: tables are merged key by key as long as their kind
stays the same, lists and everything else are replaced.

A file is checked as a whole: one ProfileError lists every fault with its path, such as `conv.stages[1].rounding`.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qdqnp.errors import Problem, Problems, ProfileError
from qdqnp.files.documents import MAX_BYTES, parse_toml
from qdqnp.files.paths import reason
from qdqnp.files.regular import read_bytes
from qdqnp.numerics.choices import OVERRIDES, Override, choice_of, hints, kinds_of
from qdqnp.numerics.profile import Profile, rule_names
from qdqnp.numerics.profile_writer import to_document
from qdqnp.numerics.profiles import ALIASES, PROFILES, profile_named
from qdqnp.numerics.profiles.families import NO_FLOATS
from qdqnp.numerics.rule import kind_name
from qdqnp.numerics.rules.accumulate import ExactSum
from qdqnp.numerics.rules.convert import FloatConvert
from qdqnp.numerics.rules.float_sum import AnySum
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.numerics.status import ESTABLISHED, INFERRED

Document = dict[str, Any]

_BAD: Any = object()  # what a fault decodes to; never part of a profile, because faults raise


def profile_from(text: str | Profile) -> Profile:
    """Return the profile of that name or alias, or of the file where the text ends in .toml. Raises ProfileError."""
    if isinstance(text, str) and text.endswith(".toml"):
        return load_profile(Path(text))
    return profile_named(text)


def load_profile(path: Path) -> Profile:
    """Read the profile in a file; its name is the file's name unless the text gives one. Raises ProfileError."""
    try:
        text = read_bytes(path, MAX_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        problem = Problem(f"file {path}", "a readable TOML file in UTF-8", reason(error))
        raise ProfileError("cannot read a profile", [problem]) from error
    return from_toml(text, path.stem, str(path))


def from_toml(text: str, name_hint: str, where: str = "") -> Profile:
    """Return the profile that a TOML text describes. Raises ProfileError, which lists every fault.

    Rules that the text gives without a `status` are 'inferred', and so is the whole: nobody has established them.

        name_hint: the profile's name unless the text gives one.
        where: the file, for error messages.

    >>> mine = from_toml('base = "tflite"\\nconv.precision = "float32"', "mine")
    >>> mine.name, mine.status, mine.conv.precision, mine.gemm.precision
    ('mine', 'inferred', 'float32', 'float64')
    """
    title = f"not a valid profile: {where or name_hint}"
    try:
        given = parse_toml(text)
    except ValueError as error:
        raise ProfileError(title, [Problem("text", "TOML", reason(error))]) from error
    problems = Problems()
    document = _with_base(given, name_hint, problems)
    profile = _Reader(document, problems).profile()
    if not problems.found:
        _check_name(profile, problems)
    problems.raise_if_any(title, ProfileError)
    return profile


def from_document(document: Document, where: str) -> Profile:
    """Return the profile that a document states whole, as `to_document` made it of one.

        document: the document.
        where: where it stands, for error messages.

    Raises ProfileError that lists everything that is wrong with it.

    >>> from qdqnp.numerics.profile_writer import to_document
    >>> mine = from_toml('base = "tflite"\\nconv.precision = "float32"', "mine")
    >>> from_document(to_document(mine), "a manifest") == mine
    True
    """
    problems = Problems()
    profile = _Reader(document, problems).profile()
    problems.raise_if_any(f"not a valid profile: {where}", ProfileError)
    return profile


def _with_base(given: Document, name_hint: str, problems: Problems) -> Document:
    """Merge the text's document into that of its base, and fill in what a text may leave out."""
    document = {key: value for key, value in given.items() if key != "base"}
    base = _base(given, problems)
    changed = [name for name in rule_names() if name in document]
    if base is None:
        named: Document = {"name": name_hint, "summary": "", "status": INFERRED, "source": name_hint}
        host = {"kind": kind_name(FloatConvert), "status": ESTABLISHED}
        exact = {"kind": kind_name(ExactSum), "status": ESTABLISHED}
        floats = {"kind": kind_name(AnySum), "reason": NO_FLOATS.reason}
        unsaid = {"kind": kind_name(Undefined), "reason": "the profile does not say it"}
        rules = {"convert": host, "accumulate": exact, "resize": unsaid, "float_sum": floats}
        return {**named, "lowering": "ort", "host_float": False, **rules, **document}
    start = to_document(base)
    merged = _merge(start, document)
    for name in changed:  # the base's status speaks of the base's arithmetic, not of this one
        table = document[name]
        if isinstance(table, dict) and "status" not in table and isinstance(merged[name], dict):
            merged[name].pop("status", None)
    if changed:
        other = {"summary": f"{base.name} with other {', '.join(changed)}", "source": name_hint, "status": INFERRED}
        merged |= {key: value for key, value in other.items() if key not in document}
    return {**merged, "name": document.get("name", name_hint)}


def _base(given: Document, problems: Problems) -> Profile | None:
    if "base" not in given:
        return None
    base = given["base"]
    if not isinstance(base, str) or ALIASES.get(base, base) not in PROFILES:
        problems.add("base", f"one of {', '.join(sorted([*PROFILES, *ALIASES]))}", _shown(base))
        return PROFILES["ort"]  # any will do: so that not every field is missing too
    return profile_named(base)


def _merge(start: Document, over: Document) -> Document:
    """Merge tables key by key; a table of another kind, a list or a value replaces what was there."""
    merged = dict(start)
    for key, value in over.items():
        old: Any = merged.get(key)
        tables = isinstance(value, dict) and isinstance(old, dict)
        merged[key] = _merge(old, value) if tables and _same_kind(old, value) else value
    return merged


def _same_kind(old: Document, new: Document) -> bool:
    return bool(new.get("kind", old.get("kind")) == old.get("kind"))


@dataclasses.dataclass(frozen=True)
class _Slot:
    """What one field takes."""

    #: The type of the field.
    hint: Any
    default: Any
    #: The classes of the rules that the field may hold; empty where it holds a value.
    kinds: tuple[type, ...]
    #: Every value that the field may hold; None where its type says all.
    allowed: Sequence[Any] | None
    #: The numbers of a layer that the field may hold; empty in other fields.
    overrides: Mapping[str, Override]

    def expected(self) -> str:
        """Describe what the field accepts, in words."""
        if isinstance(self.allowed, range) and self.hint is int:
            return _range(self.allowed)
        if self.allowed is not None and self.hint in (str, int):
            return f"one of {', '.join(map(str, self.allowed))}"
        if typing.get_origin(self.hint) is tuple:
            return "a list"
        return {str: "a string", bool: "true or false", int: "an integer"}.get(self.hint, "a table with a kind")


def _slots(kind: type) -> dict[str, _Slot]:
    """Return the slots of the fields of a rule or of the profile, by name."""
    types, slots = hints(kind), {}
    for item in dataclasses.fields(kind):
        declared = choice_of(item)
        held, numbers = kinds_of(item, types[item.name]), item.metadata.get(OVERRIDES, {})
        allowed = None if declared is None else declared.of
        if kind is Profile and item.name == "lowering":
            allowed = sorted({profile.lowering for profile in PROFILES.values()})
        slots[item.name] = _Slot(types[item.name], item.default, held, allowed, numbers)
    return slots


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Decodes a document by the type hints of the classes it names; faults go to `problems`."""

    document: Document
    problems: Problems

    def profile(self) -> Profile:
        """Decode every field of the profile; it must not be used where this adds faults to `problems`."""
        slots = _slots(Profile)
        self._unknown_keys(self.document, slots, "")
        values: Document = {}
        for name, slot in slots.items():
            if name not in self.document:
                self.problems.add(name, slot.expected(), "nothing", 'Give it, or start from a base = "...".')
            else:
                values[name] = self._any(self.document[name], slot, name)
        return _BAD if self.problems.found else Profile(**values)

    def _rule(self, value: Any, kinds: tuple[type, ...], path: str) -> Any:
        """Decode the rule that a table describes, or the table that a string refers to."""
        if not isinstance(value, str):
            return self._table(value, kinds, path)
        tables = [name for name in rule_names() if isinstance(self.document.get(name), dict) and name != path]
        if value not in tables:
            listed = ", ".join(tables) or "none"
            self.problems.add(path, f"a table, or one of the profile's tables ({listed})", _shown(value))
            return _BAD
        before = len(self.problems.found)
        made = self._table(self.document[value], kinds, path)
        # faults within the other table are listed under its own name; here only a table of the wrong kind is a fault
        self.problems.found[before:] = [p for p in self.problems.found[before:] if p.where == f"{path}.kind"]
        return made

    def _table(self, value: Any, kinds: tuple[type, ...], path: str) -> Any:
        """Decode a table to an instance of one of `kinds`."""
        if not isinstance(value, dict):
            self.problems.add(path, "a table with a kind", _shown(value))
            return _BAD
        named = {kind_name(kind): kind for kind in kinds}
        chosen = value.get("kind", next(iter(named)) if len(named) == 1 else None)
        if not isinstance(chosen, str) or chosen not in named:
            got = "nothing" if chosen is None else _shown(chosen)
            self.problems.add(f"{path}.kind", f"one of {', '.join(named)}", got)
            return _BAD
        return self._instance(named[chosen], value, path)

    def _instance(self, kind: type, value: Document, path: str) -> Any:
        before = self.problems.count
        slots = _slots(kind)
        self._unknown_keys(value, ("kind", *slots), f"{path}.")
        values: Document = {}
        for name, slot in slots.items():
            if name in value:
                values[name] = self._any(value[name], slot, f"{path}.{name}")
            elif name == "status" and "." not in path and slot.default == ESTABLISHED:
                values["status"] = INFERRED
            elif slot.default is dataclasses.MISSING:
                self.problems.add(f"{path}.{name}", slot.expected(), "nothing")
        return _BAD if self.problems.count > before else kind(**values)

    def _any(self, value: Any, slot: _Slot, path: str) -> Any:
        """Decode the value of a field, whatever its type."""
        many = typing.get_origin(slot.hint) is tuple
        if slot.overrides:
            return self._overrides(value, slot.overrides, path)
        if slot.kinds and many:
            return self._list(value, slot.kinds, path)
        if slot.kinds:
            return self._rule(value, slot.kinds, path)
        return self._pair(value, slot, path) if many else self._value(value, slot, path)

    def _list(self, value: Any, kinds: tuple[type, ...], path: str) -> Any:
        if not isinstance(value, list) or not value:
            self.problems.add(path, "a list of tables, at least one", _shown(value))
            return _BAD
        return tuple(self._rule(item, kinds, f"{path}[{index}]") for index, item in enumerate(value))

    def _pair(self, value: Any, slot: _Slot, path: str) -> Any:
        if not isinstance(value, list) or len(value) != 2:
            self.problems.add(path, "a list of two integers, the lowest and the highest", _shown(value))
            return _BAD
        one = dataclasses.replace(slot, hint=int)
        found = tuple(self._value(item, one, f"{path}[{index}]") for index, item in enumerate(value))
        if _BAD not in found and found[0] > found[1]:
            self.problems.add(path, "the lowest before the highest", _shown(value))
        return found

    def _value(self, value: Any, slot: _Slot, path: str) -> Any:
        """Decode a string, integer or truth value that must be one of the allowed values."""
        good = isinstance(value, slot.hint) and (slot.hint is bool or not isinstance(value, bool))
        if good and (slot.allowed is None or value in slot.allowed):
            return value
        self.problems.add(path, slot.expected(), _shown(value))
        return _BAD

    def _overrides(self, value: Any, allowed: Mapping[str, Override], path: str) -> Any:
        """Decode the numbers of layers, by label: {label: {S1 = 3, A = [...]}} becomes hashable pairs."""
        if not isinstance(value, dict):
            self.problems.add(path, "a table of layers", _shown(value))
            return _BAD
        found = []
        for label, numbers in value.items():
            at = f"{path}.{json.dumps(label, ensure_ascii=False)}"
            if not isinstance(numbers, dict):
                self.problems.add(at, f"a table of {', '.join(allowed)}", _shown(numbers))
                continue
            self._unknown_keys(numbers, allowed, f"{at}.")
            known = [(key, number) for key, number in numbers.items() if key in allowed]
            read = tuple((key, self._numbers(number, allowed[key], f"{at}.{key}")) for key, number in known)
            found.append((label, read))
        return tuple(found)

    def _numbers(self, value: Any, override: Override, path: str) -> Any:
        """Decode one integer, or a tuple with one for each channel where the number may differ by channel."""
        many = override.per_channel and isinstance(value, list) and bool(value)
        numbers = value if many else [value]
        if all(isinstance(n, int) and not isinstance(n, bool) and n in override.allowed for n in numbers):
            return tuple(value) if many else value
        listed = ", or a list of them, one per channel" if override.per_channel else ""
        self.problems.add(path, f"{_range(override.allowed)}{listed}", _shown(value))
        return _BAD

    def _unknown_keys(self, given: Iterable[str], known: Iterable[str], prefix: str) -> None:
        for key in given:
            if key not in known:
                self.problems.add(f"{prefix}{key}", f"one of the keys {', '.join(known)}", "an unknown key")


def _check_name(profile: Profile, problems: Problems) -> None:
    """Refuse the name of one of qdqnp's own profiles for another arithmetic: output identifies an arithmetic by it."""
    shipped = PROFILES.get(ALIASES.get(profile.name, profile.name))
    if shipped is not None and shipped != profile:
        problems.add("name", f"a name of its own, because this is not qdqnp's '{profile.name}'", repr(profile.name))


def _range(allowed: range) -> str:
    return f"an integer from {allowed[0]} to {allowed[-1]}"


def _shown(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
