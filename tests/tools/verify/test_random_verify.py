"""Random graphs through `verify`: no verdict without an element."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from qdqnp.peers.ort.peer import OrtPeer
from tools.verify import random_verify
from tools.verify.graphs.genes import build, genome


def test_a_few_graphs() -> None:
    result = CliRunner().invoke(random_verify.main, ["--count", "4"])
    assert result.exit_code == 0 and "'equal': " in result.output


def test_a_verdict_without_an_element_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that gives wrong tensors to `verify` and right ones afterwards."""
    calls: list[int] = []

    class Moody(OrtPeer):
        """Its first answers are off."""

        def tensors(self, feeds):  # type: ignore[no-untyped-def]
            found = super().tensors(feeds)
            calls.append(1)
            return {name: array + 1 if len(calls) == 1 else array for name, array in found.items()}

        def outputs(self, feeds):  # type: ignore[no-untyped-def]
            return super().outputs(feeds)

    monkeypatch.setattr(random_verify, "OrtPeer", Moody)
    seed = next(seed for seed in range(50) if random_verify.load(build(genome(seed))).program().steps)
    verdict, report = random_verify.judged(build(genome(seed)), "ort", seed)
    assert report is not None and report.differing
    assert verdict == random_verify.BASELESS
