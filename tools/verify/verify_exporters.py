"""Hold the networks of every exporter's style against ONNX Runtime, and device profiles against their definitions.

    python -m tools.verify.verify_exporters                       all of them: about an hour on one core
    python -m tools.verify.verify_exporters --style qcdq --profile ort --profile tflite

Under ONNX Runtime's profiles every tensor is compared with its session, bit by bit, as `qdqnp verify` does; "no
promise" counts models where tensors differ of which nothing is promised. Under a device's profile every layer of the
program is computed twice from the same inputs: by the fast form that runs, and by the definition. That shows that speed
changes nothing; the definitions are held against devices' own kernels by tests/oracles and kernel_tier.py. Prints
Markdown; exits 1 where anything is wrong.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import onnx

from qdqnp import Model, load
from qdqnp.diagnosis.verify import verify
from qdqnp.errors import PeerError, QdqnpError, shorten
from qdqnp.executor.walk import fold
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.peers.ort.peer import KINDS, OrtPeer
from qdqnp.render.console import tracked
from tools.models.exporters.nets import NETWORKS
from tools.models.exporters.styles import STYLES
from tools.models.make_exporters import made

EQUAL, UNPROMISED, REFUSED, PEER_REFUSES, WRONG = "equal", "no promise", "refused", "ONNX Runtime refuses", "WRONG"
VERDICTS = (EQUAL, UNPROMISED, REFUSED, PEER_REFUSES, WRONG)
PROFILES = (
    *("ort", "ort-x64", "ort-unfused"),
    *("exact", "tflite", "cmsis-nn", "tosa-double", "tosa-single", "ethos-u", "xnnpack-fp32", "pow2-even"),
    "neural-art-1.1.3",
)


@dataclass(frozen=True)
class Outcome:
    """What came of one model under one profile."""

    model: str
    profile: str
    verdict: str
    #: The reason of a refusal, or what differs.
    detail: str = ""


def outcome(
    name: str, proto: onnx.ModelProto, profile: str, count: int, seed: int, host_float: bool = False
) -> Outcome:
    """Return what comes of a model under a profile, on `count` random inputs.

    host_float: whether a device leaves to a host what it does not define.
    """
    arithmetic = replace(profile_named(profile), host_float=True) if host_float else profile_named(profile)
    try:
        model = load(proto)
        model.plan(arithmetic)
        if profile in KINDS:
            return _against_session(name, proto, model, profile, count, seed)
        wrong = differing_layers(model, arithmetic, count, seed)
    except QdqnpError as error:
        return Outcome(name, profile, REFUSED, _reason(error))
    return Outcome(name, profile, WRONG if wrong else EQUAL, ", ".join(wrong))


def _against_session(name: str, proto: onnx.ModelProto, model: Model, profile: str, count: int, seed: int) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(proto, path)
        try:
            peer = OrtPeer(path, profile)
        except PeerError as error:
            return Outcome(name, profile, PEER_REFUSES, _reason(error))
        report = verify(model, peer, random_feeds(model.program(profile), count, seed), profile)
    if report.equal and not report.accepted:
        return Outcome(name, profile, EQUAL, report.verdict())
    differing = [layer for layer in report.layers if layer.tally.differing]
    unpromised = bool(differing) and all(layer.promise != "exact" for layer in differing)
    return Outcome(name, profile, UNPROMISED if unpromised else WRONG, report.verdict())


def differing_layers(model: Model, profile: Profile | str, count: int, seed: int) -> list[str]:
    """Return the labels of the layers whose fast form and definition differ, on random inputs."""
    plan = model.plan(profile)
    wrong: dict[str, None] = {}
    for feeds in random_feeds(plan.program, count, seed):
        for done in fold(plan.steps, feeds):
            bound = done.bound
            with np.errstate(all="ignore"):
                defined = bound.operator.compute(bound.binding, *bound.arrays(done.values))
            for array, wanted in zip(done.made.values(), defined, strict=True):
                if array.dtype != wanted.dtype or array.shape != wanted.shape or array.tobytes() != wanted.tobytes():
                    wrong[bound.step.label] = None
    return list(wrong)


def _reason(error: QdqnpError) -> str:
    first = error.problems[0] if error.problems else None
    if first is None:
        return shorten(str(error), 100)
    if first.where.startswith("operator "):
        return f"{first.where} is not there"
    return shorten(f"{first.expected} expected, got {first.got}", 100)


def summary(outcomes: list[Outcome]) -> Iterator[str]:
    """Yield two Markdown tables: counts by profile, and the reasons of refusals and differences."""
    yield "| profile | " + " | ".join(VERDICTS) + " |"
    yield "|---|" + "--:|" * len(VERDICTS)
    for profile in dict.fromkeys(one.profile for one in outcomes):
        found = Counter(one.verdict for one in outcomes if one.profile == profile)
        yield f"| `{profile}` | " + " | ".join(str(found[verdict]) for verdict in VERDICTS) + " |"
    yield ""
    yield "| models | verdict | reason |\n|--:|---|---|"
    reasons = Counter((one.verdict, one.detail) for one in outcomes if one.verdict not in (EQUAL, UNPROMISED))
    for (verdict, detail), times in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        yield f"| {times} | {verdict} | {detail.replace('|', '/')} |"


@click.command()
@click.option("--network", "networks", multiple=True, type=click.Choice(sorted(NETWORKS)), help="[default: all]")
@click.option("--style", "styles", multiple=True, type=click.Choice(sorted(STYLES)), help="[default: all]")
@click.option("--profile", "profiles", multiple=True, default=PROFILES, show_default=True)
@click.option("--count", type=click.IntRange(1), default=2, show_default=True, help="Random inputs for each model.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--host-float", is_flag=True, help="Leave to a host what a device does not define.")
@click.option("--each", is_flag=True, help="Print every model's outcome too.")
def main(
    networks: tuple[str, ...],
    styles: tuple[str, ...],
    profiles: tuple[str, ...],
    count: int,
    seed: int,
    host_float: bool,
    each: bool,
) -> None:
    """Verify the exporters' zoo."""
    for profile in profiles:
        profile_named(profile)
    models = list(made(networks, styles, seed))
    pairs = [(name, model, profile) for name, model in models for profile in profiles]
    found = [outcome(*pair, count, seed, host_float) for pair in tracked(pairs, len(pairs), "verifying")]
    if each:
        for one in found:
            click.echo(f"{one.model:28} {one.profile:18} {one.verdict:12} {one.detail}")
    click.echo("\n".join(summary(found)))
    sys.exit(any(one.verdict == WRONG for one in found))


if __name__ == "__main__":
    main()
