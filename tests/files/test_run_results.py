"""Polygraphy's JSON against the package polygraphy, in both directions; and what is no such file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qdqnp.files.run_results import array_document, read_inputs, read_run_results, run_results_bytes

ARRAYS = {
    "a": np.float32([[1.5, -0.0], [np.inf, 3]]),
    "b": np.int8([-128, 127]),
    "scalar": np.array(2.5),
    "none": np.zeros((0, 3), np.uint8),
    "flags": np.array([True, False]),
}


def test_what_is_written_is_read_by_polygraphy(tmp_path: Path) -> None:
    theirs = pytest.importorskip("polygraphy.comparator")
    iterations = [ARRAYS, {name: array[..., ::-1] if array.ndim else array for name, array in ARRAYS.items()}]
    (tmp_path / "r.json").write_bytes(run_results_bytes("qdqnp", iterations))
    found = theirs.RunResults.load(str(tmp_path / "r.json"))
    assert list(found.keys()) == ["qdqnp"]
    for ours, their in zip(iterations, found["qdqnp"], strict=True):
        assert their.runner_name == "qdqnp" and list(their) == list(ours)
        for name, array in ours.items():
            assert their[name].dtype == array.dtype and np.array_equal(their[name], array)


def test_what_polygraphy_writes_is_read(tmp_path: Path) -> None:
    theirs = pytest.importorskip("polygraphy.comparator")
    results = theirs.RunResults()
    results.add([ARRAYS, ARRAYS], runner_name="onnxrt")
    results.save(str(tmp_path / "r.json"))
    found = read_run_results((tmp_path / "r.json").read_bytes())
    assert list(found) == list(ARRAYS)
    for name, arrays in found.items():
        assert len(arrays) == 2
        assert all(a.dtype == ARRAYS[name].dtype and np.array_equal(a, ARRAYS[name]) for a in arrays)


def test_inputs_are_those_that_polygraphy_loads(tmp_path: Path) -> None:
    theirs = pytest.importorskip("polygraphy.json")
    (tmp_path / "inputs.json").write_text(json.dumps([{name: array_document(a) for name, a in ARRAYS.items()}]))
    (found,) = theirs.load_json(str(tmp_path / "inputs.json"))
    assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())


def test_one_of_several_runners_is_chosen_by_what_its_name_begins_with() -> None:
    runners = [
        json.loads(run_results_bytes(name, [{"y": np.int8([at])}])) for at, name in enumerate(("trt-1", "onnxrt"))
    ]
    data = json.dumps({**runners[0], "lst": [runner["lst"][0] for runner in runners]}).encode()
    assert read_run_results(data, "trt")["y"][0].tolist() == [0]
    assert read_run_results(data, "onnxrt")["y"][0].tolist() == [1]
    for name, message in (("", "say which"), ("x", "of which 0 begin with 'x'")):
        with pytest.raises(ValueError, match=rf"2 runners \('trt-1', 'onnxrt'\), .*{message}"):
            read_run_results(data, name)


@pytest.mark.parametrize("text", ["{}", "[]", "[3]", '[{"x": 3}]'])
def test_what_is_no_list_of_inputs_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"as Polygraphy saves them|no NumPy array"):
        read_inputs(text.encode())


def document() -> dict[str, object]:
    found: dict[str, object] = json.loads(run_results_bytes("one", [ARRAYS, ARRAYS]))
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: [d], "no RunResults"),
        (lambda d: {**d, "polygraphy_class": "TensorMetadata"}, "no RunResults"),
        (lambda d: {**d, "lst": []}, "no RunResults"),
        (lambda d: {**d, "lst": d["lst"] * 2}, r"2 runners \('one', 'one'\)"),
        (lambda d: {**d, "lst": ["one"]}, "no pair"),
        (lambda d: {**d, "lst": [["one", [3]]]}, "without outputs"),
        (lambda d: {**d, "lst": [["one", [{"outputs": {"a": 3}}]]]}, "'a' is no NumPy array"),
        (
            lambda d: {**d, "lst": [["one", [{"outputs": {"a": {"array": "AAAA", "polygraphy_class": "ndarray"}}}]]]},
            "'a'",
        ),
        (lambda d: {**d, "lst": [["one", [{"outputs": {"a": {"array": "$", "polygraphy_class": "ndarray"}}}]]]}, "'a'"),
        (lambda d: {**d, "lst": [["one", [d["lst"][0][1][0], {"outputs": {}}]]]}, "not the same"),
    ],
)
def test_other_files_are_refused(change: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_run_results(json.dumps(change(document())).encode())  # type: ignore[operator]


def test_objects_are_not_unpickled() -> None:
    import base64
    import io

    made = io.BytesIO()
    np.save(made, np.array([{}], object), allow_pickle=True)
    value = {"array": base64.b64encode(made.getvalue()).decode(), "polygraphy_class": "ndarray"}
    text = {"lst": [["one", [{"outputs": {"a": value}}]]], "polygraphy_class": "RunResults"}
    with pytest.raises(ValueError, match="'a'"):
        read_run_results(json.dumps(text).encode())
