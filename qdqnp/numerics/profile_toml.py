"""A profile as TOML and back: how a user writes down the arithmetic of their own device.

Every rule, multiplier scheme and stage is a table: `kind` is its class in kebab-case, the other keys are its fields.
Where a table is expected, a string may stand that names a field of the profile: `gemm = "conv"` is the same rule
again. With `base = "tflite"` a file states only what differs: tables are merged key by key as long as their kind
stays the same, lists and everything else are replaced.

What a file says is checked as a whole: one ProfileError lists every fault with its path, such as
`conv.stages[1].rounding`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qdqnp.errors import Problem, Problems, ProfileError
from qdqnp.numerics import multiplier, stages
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import ALIASES, PROFILES, profile_named
from qdqnp.numerics.profiles.families import NO_FLOATS
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules import accumulate, average, binary, convert, float_sum, lookup, mean, requantize, softmax
from qdqnp.numerics.rules.requantize import ESTABLISHED, INFERRED, UNKNOWN, Undefined

Document = dict[str, Any]

# -- the registry: which classes may stand where ----------------------------------------------------------------------
_ADDS = (binary.FloatAdd, binary.FixedAdd, binary.ThreeRescaleAdd, binary.RationalAdd, binary.AlignedAdd)
_MULS = (binary.FloatMul, binary.RescaledMul, binary.RationalMul)
_LOOKUPS = (lookup.FloatLookup, lookup.RationalLookup)
# A field of the profile may take fewer classes than its protocol: an Add is no Mul, and the rules that only rescale
# would compute the identity in place of a Sigmoid.
_RULES: Mapping[str, tuple[type, ...]] = {
    "convert": (convert.FloatConvert,),
    "add": (*_ADDS, Undefined),
    "mul": (*_MULS, Undefined),
    "concat": (*_LOOKUPS, lookup.RescaledLookup, lookup.AffineLookup, Undefined),
    "lookup": (*_LOOKUPS, Undefined),
}
_KINDS: Mapping[Any, tuple[type, ...]] = {
    requantize.RequantizeRule: (
        requantize.FloatScale,
        requantize.Rescale,
        requantize.FloatRound,
        requantize.RationalScale,
        requantize.NarrowThenAffine,
        Undefined,
    ),
    mean.MeanRule: (
        mean.FloatMean,
        mean.RescaleMean,
        mean.RationalMean,
        mean.NarrowMean,
        Undefined,
    ),
    average.AverageRule: (
        average.FloatAverage,
        average.DividedAverage,
        average.MeanAverage,
        average.ReciprocalAverage,
        Undefined,
    ),
    softmax.SoftmaxRule: (softmax.TableSoftmax, Undefined),
    accumulate.AccumulateRule: (accumulate.ExactSum, accumulate.SaturatedPairs),
    float_sum.FloatSumRule: (float_sum.MlasSums, float_sum.AnySum),
    requantize.Rescale: (requantize.Rescale,),
    multiplier.Scheme: (
        multiplier.QuantizeMultiplier,
        multiplier.Reduced16,
        multiplier.Mantissa24,
        multiplier.Truncated16,
        multiplier.PowerOfTwo,
    ),
    stages.Stage: (
        stages.ShiftLeft,
        stages.MultiplyHigh,
        stages.ShiftRight,
        stages.MultiplyShift,
        stages.DoubleRound,
        stages.Saturate,
    ),
}
# What a field may hold beyond its type, by 'kind.field' or by the field's name alone.
_PRECISIONS = ("float64", "float32-product", "float32")
_ALLOWED: Mapping[str, Sequence[Any]] = {
    "rounding": tuple(ROUNDINGS),
    "tie": tuple(ROUNDINGS),
    "inner": tuple(ROUNDINGS),
    "status": (ESTABLISHED, INFERRED, UNKNOWN),
    "lowering": tuple(sorted({profile.lowering for profile in PROFILES.values()})),
    "rescale.accumulator": (32, 64),
    "rescale.precision": _PRECISIONS,
    "rescale.shifts": range(0, 63),
    "narrow-then-affine.accumulator": ("exact", "saturate-24", "wrap-24"),
    "narrow-then-affine.first_tie": ("same", *ROUNDINGS),
    "float-round.scale": _PRECISIONS,
    "float-round.precision": ("float32", "float64"),
    "float-round.ties_to": ("half-even", "half-away"),
    # codes differ by up to 255: beyond this the shifted value leaves int32
    "three-rescale-add.left_shift": range(0, 23),
    "saturate.bits": range(2, 33),
}
# The numbers of one layer in `overrides`. A and BC may be lists, one value per channel.
_OVERRIDES: Mapping[str, range] = {
    "S1": range(0, 32),
    "S2": range(0, 47),
    "A": range(-(2**15), 2**15),
    "BC": range(-(2**31), 2**31),
}

_BAD: Any = object()  # what a fault decodes to; never part of a profile, because faults raise


def kind_name(kind: type) -> str:
    """Class name in kebab-case: 'narrow-then-affine'."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def rule_names() -> list[str]:
    """The fields of a profile that are rules, in order."""
    return [name for name, hint in _hints(Profile).items() if hint not in (str, bool)]


# -- reading ----------------------------------------------------------------------------------------------------------
def profile_from(text: str | Profile) -> Profile:
    """The profile of that name or alias, or in the file of that path where it ends in .toml. Raises ProfileError."""
    if isinstance(text, str) and text.endswith(".toml"):
        return load_profile(Path(text))
    return profile_named(text)


def load_profile(path: Path) -> Profile:
    """The profile in a file; its name is the file's unless it says another. Raises ProfileError."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        problem = Problem(f"file {path}", "a readable TOML file in UTF-8", reason or type(error).__name__)
        raise ProfileError("cannot read a profile", [problem]) from error
    return from_toml(text, path.stem, str(path))


def from_toml(text: str, name_hint: str, where: str = "") -> Profile:
    """The profile that a TOML text describes. name_hint: its name unless it says one. where: the file, for errors.

    Rules that the text gives without a `status` are 'inferred', and so is the whole: nobody has established them.
    """
    title = f"not a valid profile: {where or name_hint}"
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(title, [Problem("text", "TOML", str(error))]) from error
    problems = Problems()
    document = _with_base(given, name_hint, problems)
    profile = _Reader(document, problems).profile()
    if not problems.found:
        _check_name(profile, problems)
    problems.raise_if_any(title, ProfileError)
    return profile


def _with_base(given: Document, name_hint: str, problems: Problems) -> Document:
    """The text's document over that of its base, with what a text may leave out filled in."""
    document = {key: value for key, value in given.items() if key != "base"}
    base = _base(given, problems)
    changed = [name for name in rule_names() if name in document]
    if base is None:
        named: Document = {"name": name_hint, "summary": "", "status": INFERRED, "source": name_hint}
        host = {"kind": kind_name(convert.FloatConvert), "status": ESTABLISHED}
        exact = {"kind": kind_name(accumulate.ExactSum), "status": ESTABLISHED}
        floats = {"kind": kind_name(float_sum.AnySum), "reason": NO_FLOATS.reason}
        usual = {"lowering": "ort", "host_float": False, "convert": host, "accumulate": exact, "float_sum": floats}
        return {**named, **usual, **document}
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
    """Tables key by key; a table of another kind, a list or a value replaces what was there."""
    merged = dict(start)
    for key, value in over.items():
        old: Any = merged.get(key)
        tables = isinstance(value, dict) and isinstance(old, dict)
        merged[key] = _merge(old, value) if tables and _same_kind(old, value) else value
    return merged


def _same_kind(old: Document, new: Document) -> bool:
    return bool(new.get("kind", old.get("kind")) == old.get("kind"))


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Decodes a document by the type hints of the classes it names; faults go to `problems`."""

    document: Document
    problems: Problems

    def profile(self) -> Profile:
        """Decode every field of the profile; the faults go to `problems`, and the profile is then not to be used."""
        hints = _hints(Profile)
        self._unknown_keys(self.document, hints, "")
        values: Document = {}
        for name, hint in hints.items():
            if name not in self.document:
                self.problems.add(name, _expected(hint, name), "nothing", 'Give it, or start from a base = "...".')
            elif hint in (str, bool):
                values[name] = self._value(self.document[name], hint, name, name)
            else:
                values[name] = self._rule(self.document[name], _choices(name, hint), name)
        return _BAD if self.problems.found else Profile(**values)

    def _rule(self, value: Any, kinds: tuple[type, ...], path: str) -> Any:
        """What a table describes, or the table that a string refers to."""
        if not isinstance(value, str):
            return self._table(value, kinds, path)
        tables = [name for name in rule_names() if isinstance(self.document.get(name), dict) and name != path]
        if value not in tables:
            listed = ", ".join(tables) or "none"
            self.problems.add(path, f"a table, or one of the profile's tables ({listed})", _shown(value))
            return _BAD
        before = len(self.problems.found)
        made = self._table(self.document[value], kinds, path)
        # faults within the other table are listed under its own name; new is only that it does not belong here
        self.problems.found[before:] = [p for p in self.problems.found[before:] if p.where == f"{path}.kind"]
        return made

    def _table(self, value: Any, kinds: tuple[type, ...], path: str) -> Any:
        """An instance of one of `kinds` from a table."""
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
        hints = _hints(kind)
        self._unknown_keys(value, {"kind": str, **hints}, f"{path}.")
        values: Document = {}
        for field in dataclasses.fields(kind):
            at, hint = f"{path}.{field.name}", hints[field.name]
            if field.name in value:
                known = f"{kind_name(kind)}.{field.name}"
                values[field.name] = self._any(value[field.name], hint, at, known)
            elif field.name == "status" and "." not in path and field.default == ESTABLISHED:
                values["status"] = INFERRED
            elif field.default is dataclasses.MISSING:
                self.problems.add(at, _expected(hint, f"{kind_name(kind)}.{field.name}"), "nothing")
        return _BAD if self.problems.count > before else kind(**values)

    def _any(self, value: Any, hint: Any, path: str, known: str) -> Any:
        """Any value by its type hint. known: its key in _ALLOWED."""
        if hint in _KINDS:
            return self._rule(value, _KINDS[hint], path)
        if typing.get_origin(hint) is not tuple:
            return self._value(value, hint, path, known)
        inner = typing.get_args(hint)
        if _is_pairs(hint):
            return self._overrides(value, path)
        if inner[-1] is not Ellipsis:
            return self._pair(value, path, known)
        if not isinstance(value, list) or not value:
            self.problems.add(path, "a list of tables, at least one", _shown(value))
            return _BAD
        return tuple(self._any(x, inner[0], f"{path}[{i}]", known) for i, x in enumerate(value))

    def _pair(self, value: Any, path: str, known: str) -> Any:
        if not isinstance(value, list) or len(value) != 2:
            self.problems.add(path, "a list of two integers, the lowest and the highest", _shown(value))
            return _BAD
        found = tuple(self._value(x, int, f"{path}[{i}]", known) for i, x in enumerate(value))
        if _BAD not in found and found[0] > found[1]:
            self.problems.add(path, "the lowest before the highest", _shown(value))
        return found

    def _value(self, value: Any, hint: type, path: str, known: str) -> Any:
        """A string, integer or truth value, within what is allowed for it."""
        allowed = _allowed(known)
        good = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
        if good and (allowed is None or value in allowed):
            return value
        self.problems.add(path, _expected(hint, known), _shown(value))
        return _BAD

    def _overrides(self, value: Any, path: str) -> Any:
        """The numbers of layers, by label: {label: {S1 = 3, A = [...]}} as hashable pairs."""
        if not isinstance(value, dict):
            self.problems.add(path, "a table of layers", _shown(value))
            return _BAD
        found = []
        for label, numbers in value.items():
            at = f"{path}.{json.dumps(label, ensure_ascii=False)}"
            if not isinstance(numbers, dict):
                self.problems.add(at, f"a table of {', '.join(_OVERRIDES)}", _shown(numbers))
                continue
            self._unknown_keys(numbers, _OVERRIDES, f"{at}.")
            known = [(key, number) for key, number in numbers.items() if key in _OVERRIDES]
            found.append((label, tuple((key, self._numbers(number, key, f"{at}.{key}")) for key, number in known)))
        return tuple(found)

    def _numbers(self, value: Any, key: str, path: str) -> Any:
        """One integer, or for A and BC a tuple with one per channel."""
        many = key in ("A", "BC") and isinstance(value, list) and bool(value)
        numbers = value if many else [value]
        if all(isinstance(n, int) and not isinstance(n, bool) and n in _OVERRIDES[key] for n in numbers):
            return tuple(value) if many else value
        listed = ", or a list of them, one per channel" if key in ("A", "BC") else ""
        self.problems.add(path, f"{_range(_OVERRIDES[key])}{listed}", _shown(value))
        return _BAD

    def _unknown_keys(self, given: Iterable[str], known: Iterable[str], prefix: str) -> None:
        for key in given:
            if key not in known:
                self.problems.add(f"{prefix}{key}", f"one of the keys {', '.join(known)}", "an unknown key")


def _check_name(profile: Profile, problems: Problems) -> None:
    """Output says which arithmetic it is by name: ours must stay ours."""
    shipped = PROFILES.get(ALIASES.get(profile.name, profile.name))
    if shipped is not None and shipped != profile:
        problems.add("name", f"a name of its own, because this is not qdqnp's '{profile.name}'", repr(profile.name))


def _choices(name: str, hint: Any) -> tuple[type, ...]:
    return _RULES.get(name) or _KINDS[hint]


def _allowed(known: str) -> Sequence[Any] | None:
    return _ALLOWED.get(known, _ALLOWED.get(known.rpartition(".")[2]))


def _expected(hint: Any, known: str) -> str:
    """What a field wants, in words."""
    allowed = _allowed(known)
    if isinstance(allowed, range) and hint is int:
        return _range(allowed)
    if allowed is not None and hint in (str, int):
        return f"one of {', '.join(map(str, allowed))}"
    if typing.get_origin(hint) is tuple:
        return "a list"
    return {str: "a string", bool: "true or false", int: "an integer"}.get(hint, "a table with a kind")


def _range(allowed: range) -> str:
    return f"an integer from {allowed[0]} to {allowed[-1]}"


def _shown(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _is_pairs(hint: Any) -> bool:
    """tuple[tuple[str, X], ...]: a table in TOML, hashable in Python."""
    args = typing.get_args(hint)
    return typing.get_origin(hint) is tuple and args[-1] is Ellipsis and typing.get_args(args[0])[:1] == (str,)


def _hints(kind: type) -> dict[str, Any]:
    return {name: hint for name, hint in typing.get_type_hints(kind).items() if name in _field_names(kind)}


def _field_names(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


# -- writing ----------------------------------------------------------------------------------------------------------
def to_document(profile: Profile) -> Document:
    """The profile as plain tables, lists and values, nothing left out but defaults of `status`."""
    return {name: _plain(getattr(profile, name), name) for name in _hints(Profile)}


def _plain(value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(value):
        kept = [field for field in dataclasses.fields(value) if not _is_default_status(value, field, path)]
        fields = {field.name: _field(value, field.name, f"{path}.{field.name}") for field in kept}
        return {"kind": kind_name(type(value)), **fields}
    if isinstance(value, tuple):
        return [_plain(item, f"{path}[]") for item in value]
    return value


def _field(value: Any, name: str, path: str) -> Any:
    inner = getattr(value, name)
    if _is_pairs(_hints(type(value))[name]):
        return {label: {key: _plain(number, path) for key, number in numbers} for label, numbers in inner}
    return _plain(inner, path)


def _is_default_status(value: Any, field: dataclasses.Field[Any], path: str) -> bool:
    """What reading fills in by itself: within a rule its class's status, for a rule of the profile 'inferred'."""
    if field.name != "status":
        return False
    default = INFERRED if "." not in path and field.default == ESTABLISHED else field.default
    return bool(value.status == default)


def shared_document(profile: Profile) -> Document:
    """As `to_document`, with a rule that occurs again replaced by the name of the first field that has it."""
    first: dict[Any, str] = {}
    for name in rule_names():
        first.setdefault(getattr(profile, name), name)
    return {name: _shared(profile, name, first) for name in _hints(Profile)}


def to_toml(profile: Profile) -> str:
    """The profile as a TOML text that `from_toml` reads back to an equal one. Rules that are equal are written once
    and referred to by the name of the first field that has them."""
    document = shared_document(profile)
    lines = [f"{key} = {_scalar(value)}" for key, value in document.items() if not isinstance(value, dict)]
    for key, value in document.items():
        if isinstance(value, dict):
            lines += _table_lines([key], value)
    return "\n".join(lines) + "\n"


def _shared(profile: Profile, name: str, first: Mapping[Any, str]) -> Any:
    """A field's plain value, with the names of fields in place of the rules that those fields hold."""
    value = getattr(profile, name)
    plain = _plain(value, name)
    if not dataclasses.is_dataclass(value):
        return plain
    if first[value] != name:
        return first[value]
    inner = {key: getattr(value, key, None) for key in plain}
    return {key: first[inner[key]] if _is_rule(inner[key], first) else item for key, item in plain.items()}


def _is_rule(value: Any, first: Mapping[Any, str]) -> bool:
    return dataclasses.is_dataclass(value) and value in first


def _table_lines(path: list[str], value: Document) -> list[str]:
    """A table under its header: simple values first, then what needs a header of its own. Empty tables are left out,
    so that a reader may add `[conv.overrides."layer"]` without defining it twice."""
    lines = ["", f"[{'.'.join(_key(part) for part in path)}]"]
    lines += [f"{_key(key)} = {_scalar(item)}" for key, item in value.items() if not _has_header(item) and item != {}]
    for key, item in value.items():
        if _has_header(item):
            lines += _table_lines([*path, key], item)
    return lines


def _has_header(value: Any) -> bool:
    """Tables of tables; smaller ones fit in a line."""
    return isinstance(value, dict) and any(isinstance(item, dict) for item in value.values())


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_scalar(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[\n" + "".join(f"  {_scalar(item)},\n" for item in value) + "]"
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    return str(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def _string(text: str) -> str:
    """A basic string: JSON's escapes are TOML's; only DEL must be escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
