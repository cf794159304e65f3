"""`verify` on random graphs of all supported operators, under each session's profile.

    python -m tools.verify.random_verify --count 500

Its verdict must rest on elements: "differs" (exit code 1) is held against ONNX Runtime itself, where some output, or
some tensor of the file that both have by the same name, must really be another.
"""

from __future__ import annotations

import sys
from collections import Counter

import click
import numpy as np
import onnx

from qdqnp import load
from qdqnp.diagnosis.verify import VerifyReport, verify
from qdqnp.errors import PeerError, QdqnpError
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.model import Model
from qdqnp.peers.ort.peer import OrtPeer
from tools.verify.graphs.genes import build, genome

PROFILES = ("ort", "ort-x64", "ort-unfused")
EQUAL, DIFFERS, NOTHING, BASELESS = "equal", "differs", "nothing to compare", "differs without a differing element"


def judged(model: onnx.ModelProto, profile: str, seed: int) -> tuple[str, VerifyReport | None]:
    """Return the verdict on one model, and the report where there is one."""
    try:
        ours = load(model)
        plan = ours.plan(profile)
        plan.admit({name: tuple(map(int, ours.graph.values[name].shape)) for name in ours.graph.inputs}, keep_all=True)
    except QdqnpError:
        return "refused", None
    try:
        peer = OrtPeer(model, profile)
    except PeerError:
        return "onnxruntime refuses", None
    report = verify(ours, peer, random_feeds(plan.program, 1, seed), profile)
    if report.equal:
        return EQUAL, report
    if not report.differing:
        return NOTHING, report
    return (DIFFERS if _really(ours, peer, profile, seed) else BASELESS), report


def _really(model: Model, peer: OrtPeer, profile: str, seed: int) -> bool:
    """Tell whether a tensor that both have by its name in the file differs."""
    (feeds,) = random_feeds(model.program(profile), 1, seed)
    ours = model.trace(feeds, profile=profile)
    theirs = {**peer.tensors(feeds), **peer.outputs(feeds)}
    named = {name for node in model.graph.nodes for name in node.outputs}
    common = [name for name in ours if name in theirs and name in named]
    return any(
        ours[name].dtype != np.asarray(theirs[name]).dtype or ours[name].tobytes() != np.asarray(theirs[name]).tobytes()
        for name in common
    )


@click.command()
@click.option("--count", type=int, default=500, help="how many graphs, each under every profile")
@click.option("--first", type=int, default=0, help="seed of the first graph")
def main(count: int, first: int) -> None:
    """Judge random graphs; exit code 1 where a verdict has no element to rest on."""
    counts: Counter[str] = Counter()
    missing = 0
    for seed in range(first, first + count):
        for profile in PROFILES:
            verdict, report = judged(build(genome(seed)), profile, seed)
            counts[verdict] += 1
            missing += len(report.missing) if report is not None else 0
            if verdict in (DIFFERS, NOTHING, BASELESS) and report is not None:
                print(f"{seed} {profile}: {verdict}: {report.verdict()}"[:200], flush=True)
    print(f"{dict(counts)}; {missing} tensors not comparable")
    sys.exit(1 if counts[BASELESS] else 0)


if __name__ == "__main__":
    main()
