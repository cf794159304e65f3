"""Equal to onnxruntime.quantization.qdq_loss_debug on the tensors that both have.

Its formula is ours, and its sums are float32: on float64 copies of the very same arrays both give one number. Run by
run, the two float networks add in other orders, which is all that is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdqnp.inputs.shipped import shipped_model
from qdqnp.layer_quality import quality
from qdqnp.layer_quality.sums import ErrorSums
from tests.layer_quality.nets import zoo

debug = pytest.importorskip("onnxruntime.quantization.qdq_loss_debug")
Activations = Mapping[str, Mapping[str, Sequence[np.ndarray[Any, Any]]]]


def activations(model: bytes, feeds: Sequence[Mapping[str, np.ndarray[Any, Any]]], folder: Path) -> Any:
    source, augmented = folder / "model.onnx", folder / "augmented.onnx"
    source.write_bytes(model)
    debug.modify_model_output_intermediate_tensors(source, augmented)
    return debug.collect_activations(str(augmented), feeds)


def given(network: str) -> tuple[bytes, bytes, list[dict[str, np.ndarray[Any, Any]]]]:
    if network != "dla46_c":
        real, codes, inputs = zoo(network)
        return real, codes, [{"input": x} for x in inputs[:3]]
    real, codes = (shipped_model(f"dla46_c_{kind}").read_bytes() for kind in ("float", "int8"))
    rng = np.random.default_rng(0)
    return real, codes, [{"input": rng.standard_normal((1, 3, 32, 32), np.float32)}]


@pytest.mark.parametrize("network", ["residual", "dla46_c"])
def test_the_same_numbers(network: str, tmp_path: Path) -> None:
    real, codes, feeds = given(network)
    matched: Activations = debug.create_activation_matching(
        activations(codes, feeds, tmp_path), activations(real, feeds, tmp_path)
    )
    wide = {n: {k: [a.astype(np.float64) for a in v] for k, v in m.items()} for n, m in matched.items() if "float" in m}
    theirs = debug.compute_activation_error(wide)
    narrow = debug.compute_activation_error({name: matched[name] for name in wide})
    report = quality(real, codes, feeds, profile="ort-unfused")
    rows = {row.real: row for row in report.rows}
    common = set(rows) & set(theirs)
    assert len(common) >= len(report.rows) - 2
    for tensor in common:
        sums = ErrorSums()
        for wanted, made in zip(matched[tensor]["float"], matched[tensor]["post_qdq"], strict=True):
            sums.add(wanted, made)
        assert sums.sqnr == pytest.approx(theirs[tensor]["xmodel_err"], abs=1e-12)
        assert narrow[tensor]["xmodel_err"] == pytest.approx(sums.sqnr, abs=1e-4)
        assert rows[tensor].sums.entire.sqnr == pytest.approx(sums.sqnr, abs=2e-3), tensor
