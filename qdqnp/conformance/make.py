"""Make a conformance pack: run every layer under each profile on what it is shown, and write the cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.conformance.drawn import HIGH, LOW, MIDDLE, zero_point
from qdqnp.conformance.layer import QDQ, LayerCase, model_of
from qdqnp.conformance.naming import name_of
from qdqnp.conformance.pack import DESC, MODEL, PACK, SCHEMA, counted, spread
from qdqnp.conformance.shown import Shown, ShownSet, shown_to
from qdqnp.conformance.table import LAYERS, LEFT_OUT, layers_of
from qdqnp.errors import InputError, Problem, QdqnpError
from qdqnp.files.folder import Folder, Kind, new_folder, require_free
from qdqnp.files.npy import npy_bytes
from qdqnp.model import Model, load
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.quant import EIGHT_BIT, Array
from qdqnp.version import __version__

Document = dict[str, Any]
CONFORMANCE_PACK = Kind("the conformance pack", "Make part of it: --operator, --limit.", InputError)
#: Bytes that a pack may have; the whole of one profile has some 15 MiB.
MAX_PACK_BYTES = 2**31


@dataclass(frozen=True, eq=False)
class MadeCase:
    """One case, before it is written."""

    #: profile/operator/name.
    path: str
    model: bytes
    #: Arrays by name.
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    #: What desc.json says, but for the files.
    desc: Document


@dataclass(frozen=True)
class LeftOut:
    """Layers of which there are no cases."""

    operator: str
    profile: str
    #: How many layers, in how many forms; None for the operator as a whole.
    layers: int | None
    reason: str


@dataclass(frozen=True)
class PackReport:
    """What was made."""

    #: The folder.
    out: Path
    #: Cases by operator, by profile.
    cases: Mapping[str, Mapping[str, int]]
    #: Bytes of all files.
    bytes: int
    left_out: Sequence[LeftOut]

    @property
    def count(self) -> int:
        """Return the number of cases."""
        return sum(sum(those.values()) for those in self.cases.values())

    def as_json(self) -> Document:
        """Return what `--json` prints."""
        return {
            "out": str(self.out),
            "count": self.count,
            "bytes": self.bytes,
            "cases": {profile: dict(those) for profile, those in self.cases.items()},
            "left_out": [asdict(one) for one in self.left_out],
        }


def make(
    out: Path,
    profiles: Sequence[str | Profile] = ("ort",),
    operators: Sequence[str] = (),
    limit: int | None = None,
    notify: Callable[[str], None] = lambda operator: None,
) -> PackReport:
    """Write a conformance pack, and return what is in it. The same arguments give the same bytes.

        out: the folder to make; nothing may be there yet.
        profiles: the arithmetics whose outputs are expected.
        operators: the integer operators of which cases are made; all where none is named.
        limit: the most cases for each operator and profile, evenly spread over what there is; None for all.
        notify: is called with each operator, before its cases are made.

    Raises InputError for an operator that has no cases, and where the folder cannot be written.

    >>> made = make(Path("pack"), operators=["QLinearMatMul"], limit=4)
    >>> made.count, made.cases
    (4, {'ort': {'QLinearMatMul': 4}})
    """
    require_free(out, CONFORMANCE_PACK)
    chosen = _chosen(operators)
    named = [profile_named(profile) for profile in profiles]
    left_out = [LeftOut(op, "", None, why) for op, why in LEFT_OUT.items() if not operators]
    cases: dict[str, dict[str, int]] = {}
    with new_folder(out, CONFORMANCE_PACK, MAX_PACK_BYTES) as folder:
        listed: list[str] = []
        for profile in named:
            own: list[str] = []
            for op in chosen:
                notify(op)
                made, without = cases_of(op, profile, limit)
                left_out += without
                for case in spread(made, limit):
                    _write(folder, case)
                    own.append(case.path)
            cases[profile.name] = counted(own)
            listed += own
        document = {
            "schema": SCHEMA,
            "made_by": f"qdqnp {__version__}",
            "profiles": {profile.name: profile.status for profile in named},
            "cases": listed,
            "left_out": [asdict(one) for one in left_out],
            "files": folder.files(),
        }
        folder.append(PACK, _json(document))
        size = folder.written
    return PackReport(out, cases, size, left_out)


def _chosen(operators: Sequence[str]) -> list[str]:
    for op in operators:
        if op not in LAYERS:
            problem = Problem(f"operator '{op}'", f"one of {', '.join(sorted(LAYERS))}", LEFT_OUT.get(op, "another"))
            raise InputError("there are no cases of this operator", [problem])
    return [op for op in LAYERS if not operators or op in operators]


def cases_of(op: str, profile: Profile, layers: int | None = None) -> tuple[list[MadeCase], list[LeftOut]]:
    """Return the cases of an operator under a profile, and the layers of which there are none.

    layers: how many of its layers at most, evenly spread; None for all.
    """
    cases: list[MadeCase] = []
    reasons: dict[str, int] = {}
    for layer in spread(layers_of(op), layers):
        try:
            shown = shown_to(layer, profile)
            for form in layer.forms:
                cases += _cases(layer, form, shown, profile)
        except QdqnpError as error:
            why = str(error.problems[0]) if error.problems else error.title
            reasons[why] = reasons.get(why, 0) + 1
    return cases, [LeftOut(op, profile.name, count, why) for why, count in reasons.items()]


def _cases(layer: LayerCase, form: str, shown: ShownSet, profile: Profile) -> Iterator[MadeCase]:
    data = model_of(layer, form)
    model = load(data)
    _require_promised(model, profile)
    for one in shown.shown:
        outputs = model.run(one.inputs, profile=profile)
        name = name_of(layer, form, one.kind)
        desc = partial(_desc, layer, form, shown, profile)(one, name)
        yield MadeCase(f"{profile.name}/{layer.op}/{name}", data, one.inputs, outputs, desc)


def _require_promised(model: Model, profile: Profile) -> None:
    """Raise QdqnpError where the profile does not promise every bit of the outputs: nothing is expected then."""
    plan = model.plan(profile)
    for name in plan.program.outputs:
        if not plan.promises[name].exact:
            raise QdqnpError("no promise", [Problem(f"output '{name}'", "a promise", plan.promises[name].reason)])


def _desc(layer: LayerCase, form: str, shown: ShownSet, profile: Profile, one: Shown, name: str) -> Document:
    return {
        "schema": SCHEMA,
        "name": name,
        "operator": layer.op,
        "domain": layer.domain,
        "form": form,
        "profile": profile.name,
        "status": profile.status,
        "model": MODEL,
        "attributes": {key: _plain(value) for key, value in layer.attributes.items()},
        "parameters": {
            key: _plain(layer.arrays[key]) for key in ("xs", "xz", "ws", "wz", "ys", "yz") if _is(layer, key)
        },
        "zero_points": {key: _place(layer.arrays[key]) for key in ("xz", "wz", "yz") if _is(layer, key)},
        "stimulus": {"kind": one.kind, "method": one.method},
        "coverage": one.coverage,
        "coverage_of": "the integer form" if form == QDQ and len(layer.forms) > 1 else "this form",
        "goals": shown.goals,
        "constructed": shown.constructed,
        "accumulator_bound": None if shown.bound is None else list(shown.bound),
    }


def _is(layer: LayerCase, key: str) -> bool:
    return key in layer.arrays


def _place(zero: Array) -> str:
    """Return where a zero point lies in its range: 'low', 'mid' or 'high', else 'inside'."""
    if zero.dtype not in EIGHT_BIT:
        return "mid"
    first = zero.reshape(-1)[0]
    return next((at for at in (LOW, MIDDLE, HIGH) if first == zero_point(zero.dtype, at)), "inside")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.tolist() if isinstance(value, np.ndarray) else value


def _write(folder: Folder, case: MadeCase) -> None:
    desc = dict(case.desc)
    folder.append(f"{case.path}/{MODEL}", case.model)
    for role, key, arrays in (("input", "inputs", case.inputs), ("output", "outputs", case.outputs)):
        desc[key] = {}
        for name, array in arrays.items():
            file = f"{role}_{name}.npy"
            folder.append(f"{case.path}/{file}", npy_bytes(array))
            desc[key][name] = {"file": file, "dtype": str(array.dtype), "shape": list(array.shape)}
    folder.append(f"{case.path}/{DESC}", _json(desc))


def _json(document: Document) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"
