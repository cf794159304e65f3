"""explain: how does one output element come about, step by step, under each profile?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

from qdqnp.api.arguments import AnyModel, AnyProfile, Operators, Texts, name_of, opened, profiles_of
from qdqnp.api.dumps import AnyDump, AnyMapping, dump_of, mapping_of
from qdqnp.api.inputs import AnyInputs, AnyPreprocessing, Inputs, inputs_of
from qdqnp.api.result import Result
from qdqnp.diagnosis.dumps.golden_dump import is_set
from qdqnp.diagnosis.explain.device import wrong_element
from qdqnp.diagnosis.explain.explain import Account, Explanation
from qdqnp.diagnosis.explain.explain import explain as explained
from qdqnp.diagnosis.explain.lines import Line
from qdqnp.diagnosis.reference import reference_from
from qdqnp.errors import InputError, Problem, Problems, shorten
from qdqnp.model import Model
from qdqnp.numerics.profile import Profile
from qdqnp.reader.proto import EquippedModel

#: The place of an element: numbers, or a text such as '0,5,12,7'; '' or () of a scalar.
AnyIndex: TypeAlias = "str | Sequence[int]"
NONE_ERRS = "no layer of the device errs by itself"


@dataclass(frozen=True, repr=False, eq=False)
class ExplainResult(Result):
    """One output element, and what it is made of under every profile."""

    #: Name of the model's file, or of the golden set.
    model: str
    #: The element; None where no layer of a device errs by itself.
    element: Explanation | None

    columns = ("profile", "status", "code", "step", "before", "value", "tie_distance", "note")

    def summary(self) -> str:
        if self.element is None:
            return NONE_ERRS
        found = self.element
        codes = ", ".join(f"{account.profile} gives {account.code}" for account in found.accounts)
        causes = [cause for account in found.accounts for cause in account.causes]
        got = "" if found.got is None else f"; the device has {found.got}"
        why = f", as {' or '.join(dict.fromkeys(str(cause) for cause in causes[:3]))} would give" if causes else ""
        return f"{found.tensor}{list(found.index)} of {found.op} {found.label}: {codes}{got}{why}"

    def document(self) -> dict[str, Any]:
        if self.element is None:
            return {"model": self.model, "tensor": None}
        return {"model": self.model, **asdict(self.element, dict_factory=_document)}

    def items(self) -> Sequence[Mapping[str, Any]]:
        accounts = () if self.element is None else self.element.accounts
        return [_row(account, line) for account in accounts for line in account.lines or (None,)]


def _row(account: Account, line: Line | None) -> dict[str, Any]:
    row = {key: getattr(account, key) for key in ("profile", "status", "code", "note")}
    if line is None:
        return row
    distance = line.tie_distance
    before = None if line.before is None else float(line.before)
    return {
        **row,
        "step": line.name,
        "before": before,
        "value": float(line.value) if isinstance(line.value, Fraction) else line.value,
        "tie_distance": None if distance is None else float(distance),
    }


def _document(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Convert fractions to floats, because JSON does not have fractions."""
    return {key: float(value) if isinstance(value, Fraction) else value for key, value in items}


def explain(
    model: AnyModel,
    inputs: AnyInputs = None,
    *,
    layer: str | None = None,
    index: AnyIndex | None = None,
    dump: AnyDump | None = None,
    mapping: AnyMapping | None = None,
    case: int = 0,
    profiles: Texts | Iterable[AnyProfile] = (),
    host_float: bool = False,
    got: int | None = None,
    outputs: Texts = (),
    operators: Operators = (),
    seed: int = 0,
    preprocess: AnyPreprocessing | None = None,
) -> ExplainResult:
    """Show how one output element comes about, as `qdqnp explain` does.

        model: a path, bytes, an onnx.ModelProto, what qdqnp.load returned, or the folder of a golden set.
        inputs: an array, arrays by name, or a file, of which the first input counts; None for a random input.
        layer: the layer, as qdqnp.find names it; with a dump, the first that errs by itself if None.
        index: the element of the layer's output; with a dump, the first wrong one if None.
        dump: a device's tensors, for a golden set.
        mapping: which entry of the dump is which tensor: a file, or entries by ONNX name.
        case: which input of the golden set is meant, or is the dump's first one.
        profiles: the arithmetics, of which the first computes the layer's inputs; ort, or the set's own, if empty.
        host_float: whether what a profile does not define runs in float32.
        got: the code that a device gave, to find which single causes give it.
        outputs: tensors to cut the model at.
        operators: classes of operators that qdqnp does not have, as qdqnp.load takes them.
        seed: seed of the random input.
        preprocess: what is done to pictures.

    Raises InputError for a layer or an element that there is not, ProfileError, ModelError, GoldenError.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> found = qdqnp.explain(shipped_model("dla46_c_int8"), layer="level0.0", index=(0, 5, 12, 7), profiles="tflite")
    >>> [row["step"] for row in found.rows()]
    ['acc', 'ShiftLeft', 'MultiplyHigh', 'ShiftRight', 'unclipped', 'y']
    """
    chosen = [profile for _, profile in profiles_of(profiles, host_float)]
    given = inputs_of(inputs, None, seed, preprocess)
    if profiles and not chosen:
        raise InputError("no profile", [Problem("profiles", "one or more, such as ort,tflite", "none")])
    at = None if index is None else index_of(index)
    place, known = (model.source, model.operators) if isinstance(model, EquippedModel) else (model, ())
    if isinstance(place, str | os.PathLike) and is_set(Path(place)):
        path = Path(place)
        all_known = (*operators, *known)
        found = _of_set(path, all_known, given, layer, at, dump, mapping, case, chosen, host_float, got)
        return ExplainResult(path.name, found)
    problems = Problems()
    if dump is not None or mapping is not None or case:
        problems.add("dump, case and mapping", "a golden set in the place of the model", "a model")
    if layer is None or at is None:
        problems.add("layer and index", "which element is meant", "none", "A golden set and a dump tell it themselves.")
    problems.raise_if_any("which element is not known", InputError)
    assert layer is not None and at is not None
    loaded: Model = opened(model, outputs, operators)
    arithmetics = chosen or [profile for _, profile in profiles_of("ort", host_float)]
    runs, _ = given.feeds(loaded.program(arithmetics[0]))
    return ExplainResult(name_of(model), explained(loaded, next(runs), layer, at, arithmetics, got))


def _of_set(
    path: Path,
    operators: Operators,
    inputs: Inputs,
    layer: str | None,
    index: tuple[int, ...] | None,
    dump: AnyDump | None,
    mapping: AnyMapping | None,
    case: int,
    profiles: Sequence[Profile],
    host_float: bool,
    got: int | None,
) -> Explanation | None:
    """Explain an element of a golden set, or of a dump of a device that had its inputs; None where none is wrong."""
    if inputs.given:
        raise InputError("inputs of a golden set", [Problem("inputs", "none: a golden set has its own", "some")])
    reference = reference_from(path, None, case, host_float, operators)
    chosen = list(profiles) or [reference.profile]
    if dump is None:
        if layer is None or index is None:
            problem = Problem("layer and index", "which element is meant", "none", "With a dump they may be left out.")
            raise InputError("which element is not known", [problem])
        return explained(reference.model, reference.given[case], layer, index, chosen, got)
    element = wrong_element(reference, dump_of(dump), mapping=mapping_of(mapping), first=case, layer=layer, index=index)
    if element is None:
        return None
    code = element.got if got is None else got
    feeds = reference.given[element.case]
    return explained(reference.model, feeds, element.tensor, element.index, chosen, code, element.dumped)


def index_of(index: AnyIndex) -> tuple[int, ...]:
    """Return the numbers of an index. Raises InputError for a text that has none.

    >>> index_of("0,5,12,7")
    (0, 5, 12, 7)
    """
    if not isinstance(index, str):
        return tuple(int(part) for part in index)
    try:
        return tuple(int(part) for part in index.split(",")) if index.strip() else ()
    except ValueError:
        problem = Problem("index", "whole numbers such as 0,5,12,7", shorten(repr(index)))
        raise InputError("no such element", [problem]) from None
