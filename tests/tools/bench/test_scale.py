"""tools/bench/scale.py: what it measures, and its arithmetic."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from tests.networks import dla
from tools.bench.scale import PICTURES, handing_out, main, observe, projection, shards_of
from tools.bench.scale_jobs import Nothing, timed

Image = pytest.importorskip("PIL.Image")


def test_the_first_shard_is_starting_and_not_counted() -> None:
    found = observe(Nothing(), shards_of(["a"] * 50, 1), 1)
    assert 0 <= found.least <= found.item < 0.01 and found.wall > 0 and found.start > 0 and found.here == 0


def test_a_shard_says_which_process_took_how_long() -> None:
    found = timed(lambda items: sum(range(10**6)))(["a"])
    assert found["process"] == os.getpid() and found["ended"] > found["began"]


def test_the_projection_is_bound_by_the_workers_or_by_who_hands_out() -> None:
    seconds, text = projection(start=2.0, picture=0.1, shard=0.001, cores=16)
    assert seconds == 2 + PICTURES * 0.1 / 16 + 3.2 and "1,563 shards x 1.00 ms = 1.6 s" in text
    seconds, _ = projection(start=2.0, picture=0.1, shard=1.0, cores=256)
    assert seconds == 2 + 1563 + 3.2


def test_handing_out_reads_every_picture(tmp_path: Path) -> None:
    names = [str(tmp_path / f"{index}.png") for index in range(5)]
    for name in names:
        Image.new("RGB", (4, 4)).save(name)
    assert 0 < handing_out(names, 2) < 1


def test_command_line(tmp_path: Path) -> None:
    onnx.save(dla(), tmp_path / "net.onnx")
    (tmp_path / "pre.toml").write_text("resize = [16, 16]\ndivisor = 255\n")
    (tmp_path / "pictures").mkdir()
    for index in range(5):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{index}.png")
    words = [str(tmp_path / "net.onnx"), str(tmp_path / "pictures"), "--preprocess", str(tmp_path / "pre.toml")]
    result = CliRunner().invoke(main, [*words, "--workers", "1", "--shard", "1", "--empty", "9", "--turns", "1"])
    assert result.exit_code == 0, result.output
    assert "| 1, results kept |" in result.output and "To hand out 32 pictures takes this process " in result.output
    assert "- 256 cores: " in result.output
    refused = CliRunner().invoke(main, [*words, "--workers", "2"])
    assert refused.exit_code == 2 and "begins with 1" in refused.output
