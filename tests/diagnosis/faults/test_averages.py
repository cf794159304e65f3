"""Averages that are cut off, or whose sums do not fit: of the one average of a network, beside other arithmetics."""

from __future__ import annotations

import numpy as np
import pytest

from tests.diagnosis.small import Array, model, outputs, report, row, tensors

(NAME,) = outputs("QLinearGlobalAveragePool")
LABEL = next(step for step in model().program().steps if step.output_names[0] == NAME)


def mean(change: str) -> list[Array]:
    """What the average makes where its quotient is cut off, or its sums wrap at 8 bits."""
    x, y = LABEL.inputs[0].quant, LABEL.outputs[0].quant  # type: ignore[union-attr]
    assert x is not None and y is not None
    made = []
    for planes in tensors()[LABEL.input_names[0]]:
        sums = planes.astype(np.int64).sum(axis=(2, 3), keepdims=True)
        count = planes[0, 0].size
        if change == "wraps":
            sums = sums.astype(np.int8).astype(np.int64)
        real = (sums - int(x.zero_point) * count) * float(x.scale) / float(y.scale) / count
        rounded = {"floor": np.floor, "truncate": np.trunc, "wraps": np.rint}[change](real)
        made.append(np.clip(rounded + int(y.zero_point), -128, 127).astype(np.int8))
    return made


@pytest.mark.parametrize(
    ("change", "kind"),
    [("floor", "truncating average"), ("truncate", "truncating average"), ("wraps", "int8 pooling sums")],
)
def test_one_average_is_faulty_though_some_profile_computes_it_so(change: str, kind: str) -> None:
    found = report({**tensors(), NAME: mean(change)})
    assert kind in [one.kind for one in row(found, NAME).findings]
    assert not found.arithmetics


def test_the_average_of_another_profile_is_no_fault() -> None:
    found = report(tensors("tflite"))
    assert not [one for one in found.rows if one.findings]
