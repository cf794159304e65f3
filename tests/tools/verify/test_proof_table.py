"""The table of proofs: its rows, and that a claim which inputs contradict is not passed over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

import qdqnp
from qdqnp.diagnosis.proof.prove import prove
from qdqnp.numerics.profiles import profile_named
from tests.networks import dla
from tools.verify.proof_table import main, show, weaker

PROFILES = ("ort", "tflite", "neural-art")


def test_a_row_for_each_network_and_profile(tmp_path: Path) -> None:
    onnx.save(dla(seed=1), tmp_path / "net.onnx")
    chosen = [word for name in PROFILES for word in ("--profile", name)]
    files = ["--markdown", str(tmp_path / "t.md"), "--json", str(tmp_path / "t.json")]
    result = CliRunner().invoke(main, [str(tmp_path / "net.onnx"), "--inputs", "20", *chosen, *files])
    assert result.exit_code == 0, result.output
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (tmp_path / "t.md").read_text().splitlines()]
    assert [row[:2] for row in rows[2:]] == [["net", "tflite"], ["net", "neural-art"]]
    assert [row[-1] for row in rows] == ["weaker claims", "---:", "0", "0"]
    assert (tmp_path / "t.json").stat().st_size


def test_a_claim_that_inputs_contradict_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = qdqnp.load(dla(seed=1))
    report = prove(model, [(name, profile_named(name)) for name in PROFILES])
    shown = show(model, PROFILES, 60, 0, "net")
    assert [weaker(report, index, one) for index, one in enumerate(shown, 1)] == [[], []]
    assert all(one.differing and one.codes > 60 * 100 for one in shown)
    never = replace(report, rows=tuple(
        replace(row, claims=tuple(replace(claim, largest=0) for claim in row.claims)) for row in report.rows
    ))  # fmt: skip
    found = weaker(never, 2, shown[1])
    assert found and set(found) <= {row.name for row in report.rows if row.claims[1].largest}
