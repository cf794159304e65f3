"""The reference of a comparison: a golden set whose model is run again must hold what it gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qdqnp.diagnosis.reference import reference_from
from qdqnp.errors import InputError
from qdqnp.golden_sets import GoldenSet, write
from qdqnp.golden_sets.tensor import GoldenTensor
from tests.ops.case import one_node

F = np.float32


def test_a_nan_is_the_same_as_another(tmp_path: Path) -> None:
    x = np.array([[4, -1, np.inf, 0]], F)
    case = one_node("Sqrt", [("x", x)])
    write(tmp_path / "set", case.model.SerializeToString(), [case.inputs], 1)
    (values,) = reference_from(tmp_path / "set").cases
    assert np.array_equal(values["y"], np.array([[2, np.nan, np.inf, 0]], F), equal_nan=True)


@pytest.mark.parametrize(("golden", "found"), [(np.nan, 1), (1, np.nan), (1, 2), (np.inf, -np.inf)])
def test_other_values_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: float, found: float) -> None:
    case = one_node("Identity", [("x", np.array([golden], F))])
    write(tmp_path / "set", case.model.SerializeToString(), [case.inputs], 1)
    real = GoldenSet.array

    def array(golden: GoldenSet, tensor: GoldenTensor, case: int) -> np.ndarray:
        return np.array([found], F) if tensor.role == "output" else real(golden, tensor, case)

    monkeypatch.setattr(GoldenSet, "array", array)
    with pytest.raises(InputError, match="other values than its golden set"):
        reference_from(tmp_path / "set")


def test_a_set_of_a_release_without_a_rule_for_resize(tmp_path: Path) -> None:
    case = one_node("Sqrt", [("x", np.ones((1, 4), F))])
    write(tmp_path / "set", case.model.SerializeToString(), [case.inputs], 1)
    file = tmp_path / "set" / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    del manifest["profile"]["parameters"]["resize"], manifest["profile"]["rules"]["resize"]
    file.write_text(json.dumps(manifest), encoding="utf-8")
    assert reference_from(tmp_path / "set").cases
    del manifest["profile"]["parameters"]["softmax"]
    file.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(InputError, match="not one of qdqnp"):
        reference_from(tmp_path / "set")
