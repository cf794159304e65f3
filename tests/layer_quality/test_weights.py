"""Weights and biases: their own error by channel, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from qdqnp.layer_quality import QualityRow, quality
from tests.layer_quality.nets import data, float_net, int8_net, weights, zoo


def rows(w1: np.ndarray | None = None) -> dict[str, QualityRow]:
    report = quality(float_net().SerializeToString(), int8_net(w1=w1).SerializeToString(), data(2))
    return {row.tensor: row for row in report.rows}


def test_each_channel_has_its_error() -> None:
    array = weights()["w1"].astype(np.float64)
    scale = (np.abs(array).max(axis=(1, 2, 3)) / 127).astype(np.float32).reshape(-1, 1, 1, 1)
    made = np.rint(array / scale) * scale
    wanted = 20 * np.log10(
        np.linalg.norm(array.reshape(4, -1), axis=1) / np.linalg.norm((array - made).reshape(4, -1), axis=1)
    )
    error = rows()["r1_q"].weights
    assert error is not None
    assert error.channels == pytest.approx(wanted, abs=1e-3)
    assert error.worst(2)[0][0] == int(np.argmin(wanted))
    assert not error.per_tensor and error.bias is not None and error.bias < 0.01
    assert error.at_best == pytest.approx(error.sums.sqnr, abs=0.1)
    assert rows()["a_q"].weights is None


def test_one_scale_for_all_channels_is_said() -> None:
    array = weights()["w1"]
    one = np.full(4, np.abs(array).max() / 127)
    found = rows(one)["r1_q"]
    assert found.weights is not None
    assert found.weights.sums.sqnr < found.weights.at_best
    worst = rows(one * 4)["r1_q"]
    assert worst.weights is not None
    (finding,) = worst.findings
    assert finding.kind == "weights" and "channel" in finding.text
    assert finding.cost == pytest.approx(worst.weights.at_best - worst.weights.sums.sqnr)
    assert (
        quality(float_net().SerializeToString(), int8_net(w1=one * 4).SerializeToString(), data(2)).rows[0].tensor
        == "r1_q"
    )


def test_the_weights_are_the_loss_debuggers(tmp_path: object) -> None:
    """compute_weight_error, on weights that both files have under a name."""
    debug = pytest.importorskip("onnxruntime.quantization.qdq_loss_debug")
    from pathlib import Path

    folder = Path(str(tmp_path))
    real, codes, inputs = zoo("residual")
    (folder / "real.onnx").write_bytes(real)
    (folder / "codes.onnx").write_bytes(codes)
    matched = debug.create_weight_matching(str(folder / "real.onnx"), str(folder / "codes.onnx"))
    wide = {name: {k: a.astype(np.float64) for k, a in pair.items()} for name, pair in matched.items()}
    theirs = debug.compute_weight_error(wide)
    ours = {
        row.weights.name.removesuffix("_quantized"): row.weights.sums.sqnr
        for row in quality(real, codes, inputs[:1]).rows
        if row.weights is not None
    }
    common = set(ours) & set(theirs)
    assert len(common) == len(ours) == 17
    for name in common:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-9), name
