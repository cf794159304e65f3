"""Find out whether another profile, and not a fault, explains how the layers of an operator differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qdqnp.diagnosis.replay import Device
from qdqnp.diagnosis.tally import same
from qdqnp.errors import QdqnpError
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.ops.registry import rule_of
from qdqnp.quant import Array

EVERY = "every operator"


@dataclass(frozen=True)
class OtherProfile:
    """Another profile that explains an operator's layers better than the reference's profile."""

    #: An operator, or 'every operator'.
    op: str
    #: The profiles that agree on the operator.
    names: tuple[str, ...]
    #: One of these profiles.
    profile: Profile
    #: Number of layers that differ from the reference and equal these profiles.
    explained: int
    #: Number of layers that equal the reference and differ from these profiles.
    contradicting: int
    #: Whether the operator has one layer, and every other layer taken together is as none of these profiles: then it is
    #: as likely a fault of that layer.
    lonely: bool = False


def explanations(device: Device, wrong: Mapping[str, bool]) -> dict[str, OtherProfile]:
    """Find for each operator another arithmetic that fits its layers better than the reference's.

        device: the device's tensors. Only layers that were dumped with all their inputs count.
        wrong: for each dumped tensor, whether it differs from the replay.

    An arithmetic is taken if it explains more layers than it contradicts: one differing layer among many is a fault of
    that layer. Returns the arithmetics found, by operator.
    """
    layers: dict[str, list[str]] = {}
    for name in wrong:
        segment = device.segments.get(name)
        if segment is not None and len(segment.steps) == 1:
            layers.setdefault(device.reference.step(segment.steps[0]).step.op, []).append(name)
    found = _whole(device, wrong)
    if found:
        return found
    for op, names in layers.items():
        differing = [name for name in names if wrong[name]]
        if rule_of(op) and differing:
            best = _best(device, op, differing, [name for name in names if not wrong[name]])
            if best is not None and best.explained > best.contradicting:
                rest = [name for other, theirs in layers.items() if other != op and rule_of(other) for name in theirs]
                lonely = len(names) == 1 and bool(rest) and not any(_fits(device, rest, name) for name in best.names)
                found[op] = replace(best, lonely=lonely)
    return found


def _fits(device: Device, names: Sequence[str], profile: str) -> bool:
    return all(agrees(device, name, PROFILES[profile]) for name in names)


def _whole(device: Device, wrong: Mapping[str, bool]) -> dict[str, OtherProfile]:
    """Find one profile for every operator that explains the whole dump, where segments of several layers differ: for
    them it cannot be told which of the operators differs."""
    differing = [name for name in wrong if wrong[name]]
    if all(len(device.segments[name].steps) == 1 for name in differing):
        return {}
    ops = {bound.step.op for bound in device.reference.plan.steps if bound.operator.rule}
    names = []
    for name, profile in PROFILES.items():
        if profile.lowers_like(device.reference.profile) and _defines(profile, ops):
            other = device.under(dict.fromkeys(ops, profile))
            if all(_replayed(other, dumped) for dumped in wrong):
                names.append(name)
    if not names:
        return {}
    profile = PROFILES[names[0]]
    return {op: OtherProfile(EVERY, tuple(names), profile, len(differing), 0) for op in sorted(ops)}


def _defines(profile: Profile, ops: Iterable[str]) -> bool:
    return not any(isinstance(getattr(profile, rule_of(op)), Undefined) for op in ops)


def _replayed(device: Device, name: str) -> bool:
    """Return whether the segment's layers, by the device's arithmetic, make what was dumped."""
    try:
        return all(
            same(device.run_segment(name, device.values(case)), device.tensors[name].cases[case])
            for case in range(device.count)
        )
    except QdqnpError:
        return False


def _best(device: Device, op: str, differing: Sequence[str], equal: Sequence[str]) -> OtherProfile | None:
    """Return the profiles that explain the most layers, less those that they contradict; where several do equally well,
    all names."""
    found: list[OtherProfile] = []
    for names, profile in classes(device.reference.profile, rule_of(op)):
        explained = sum(agrees(device, name, profile) for name in differing)
        if explained:
            contradicting = sum(not agrees(device, name, profile) for name in equal)
            found.append(OtherProfile(op, names, profile, explained, contradicting))
    if not found:
        return None
    most = max(item.explained - item.contradicting for item in found)
    best = [item for item in found if item.explained - item.contradicting == most]
    return replace(best[0], names=tuple(name for item in best for name in item.names))


def classes(reference: Profile, field: str) -> list[tuple[tuple[str, ...], Profile]]:
    """Return the profiles whose rule for a field differs from the reference's; profiles with equal rules are grouped.
    Profiles that lower the network in another way have other steps, and are left out."""
    found: dict[Any, list[str]] = {}
    for name, profile in PROFILES.items():
        rule = getattr(profile, field)
        if not isinstance(rule, Undefined) and profile.lowers_like(reference):
            found.setdefault(_arithmetic(profile, field), []).append(name)
    found.pop(_arithmetic(reference, field), None)
    return [(tuple(names), PROFILES[names[0]]) for names in found.values()]


def _arithmetic(profile: Profile, field: str) -> Any:
    """Return what decides an operator's codes: its rule, and how sums are accumulated. The status is left out."""
    return replace(getattr(profile, field), status=""), profile.accumulate


def agrees(device: Device, name: str, profile: Profile) -> bool:
    """Return whether a profile makes a dumped layer's codes, in every case, from the device's own inputs."""
    index = device.segments[name].steps[0]
    tensor = device.tensors[name]
    try:
        return all(
            same(_made(device, index, case, profile, tensor.target.codes), tensor.cases[case])
            for case in range(device.count)
        )
    except QdqnpError:  # outside the profile's domain
        return False


def _made(device: Device, index: int, case: int, profile: Profile, codes: str) -> Array:
    return device.reference.step(index, profile).compute(device.values(case))[codes]
