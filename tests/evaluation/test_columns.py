"""Columns: how they are named, and what cannot be computed is said of all at once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import InputError
from qdqnp.evaluation.columns import ModelColumn, column_from, columns_of, open_columns
from qdqnp.numerics.profiles import profile_named
from qdqnp.quant import Array
from tests.evaluation.kit import network, save


@pytest.mark.parametrize(
    ("text", "name", "path", "arithmetic"),
    [
        ("float=float.onnx", "float", "float.onnx", None),
        ("board=int8.onnx:neural-art", "board", "int8.onnx", "neural-art"),
        ("x=a/int8.onnx:session", "x", "a/int8.onnx", "session"),
        ("x=a/int8.onnx:session-unfused", "x", "a/int8.onnx", "session-unfused"),
        ("int8.onnx:tflite", "int8:tflite", "int8.onnx", "tflite"),
        ("int8.onnx", "int8", "int8.onnx", None),
        ("x=c:int8.onnx", "x", "c:int8.onnx", None),
        ("x=c:int8.onnx:ort", "x", "c:int8.onnx", "ort"),
        ("int8.onnx:my/device.toml", "int8:device", "int8.onnx", "my/device.toml"),
        ("a=b=c.onnx", "a", "b=c.onnx", None),
    ],
)
def test_texts(text: str, name: str, path: str, arithmetic: str | None) -> None:
    found = column_from(text)
    assert (found.name, found.model, found.arithmetic) == (name, Path(path), arithmetic)


def test_a_file_with_the_whole_name_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.onnx:tflite", "b=c.onnx", "plain.onnx"):
        save(tmp_path / name, network())
    assert column_from("x=a.onnx:tflite").arithmetic is None
    assert column_from("b=c.onnx").model == Path("b=c.onnx")
    assert column_from("plain.onnx:tflit").arithmetic == "tflit"  # which is then refused by its name


@pytest.mark.parametrize("text", ["", "=net.onnx", "a=", "a=net.onnx:", ":tflite", "a=:tflite"])
def test_a_column_with_an_empty_part(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "net.onnx", network())
    with pytest.raises(InputError, match="expected NAME=MODEL:ARITHMETIC, got '" + text):
        column_from(text)


def test_what_python_may_pass() -> None:
    model = network()
    assert [one.name for one in columns_of("a/net.onnx")] == ["net"]
    assert [one.name for one in columns_of([Path("net.onnx"), model, b""])] == ["net", "model 1", "model 2"]
    named = columns_of({"a": model, "b": (model, "tflite"), "c": ModelColumn("old", model, "exact")})
    assert [(one.name, one.arithmetic) for one in named] == [("a", None), ("b", "tflite"), ("c", "exact")]
    with pytest.raises(InputError, match=r"column 'net': expected a name of its own, got 2 columns"):
        columns_of(["a/net.onnx", "b/net.onnx"])
    with pytest.raises(InputError, match="one or more"):
        columns_of([])


def test_a_loaded_model_is_what_its_file_is(tmp_path: Path) -> None:
    file = save(tmp_path / "net.onnx", network())
    columns, held = open_columns(columns_of([qdqnp.load(file)]), None, True)
    (from_file,), in_file = open_columns(columns_of(file), None, True)
    assert columns == [from_file] and columns[0].name == "net" and columns[0].model == "net.onnx"
    assert dict(held) == dict(in_file)


def test_a_changed_model_is_evaluated_as_it_was_changed() -> None:
    model = qdqnp.load(network())
    layer = next(layer.label for layer in model.layers if layer.op == "QLinearConv")
    blind = model.replace(layer, weight=np.zeros((3, 3, 1, 1), np.int8))
    red, blue = (np.zeros((3, 4, 4), np.float32) for _ in range(2))
    red[0], blue[2] = 20, 20
    found = qdqnp.evaluate({"seeing": model, "blind": (blind, "ort-x64")}, [(red, 0), (blue, 2)])
    assert [(column.model, column.top1) for column in found.report.columns] == [("", 2), ("", 1)]


def test_a_model_that_cannot_be_sent_to_workers_is_refused() -> None:
    class Twice:
        op_domain = "com.vendor"

        def _run(self, x: Array) -> tuple[Array]:
            return (x + x,)

    model = network()
    equipped = qdqnp.load(model, operators=[Twice])
    for one in (equipped, equipped.between(end=equipped.layers[0].label)):
        with pytest.raises(InputError, match=r"column 'a', model: expected no operators of your own, .* got Twice"):
            open_columns(columns_of({"a": one}), None, True)
    with pytest.raises(InputError, match=r"column 'a', model: expected a path, .* got a Model of a graph alone"):
        open_columns(columns_of({"a": qdqnp.Model(equipped.graph)}), None, True)


def test_every_bad_column_is_listed() -> None:
    model = network()
    columns = [
        ModelColumn("lost", "lost.onnx"),
        ModelColumn("odd", 7),  # type: ignore[arg-type]
        ModelColumn("good", model),
        ModelColumn("unknown", model, "tflit"),
        ModelColumn("damaged", b"not a model"),
        ModelColumn("undefined", network(quantized=False), "tflite"),
    ]
    with pytest.raises(InputError) as caught:
        open_columns(columns, None, True)
    text = str(caught.value)
    assert "tflite" in text and "session-x64" in text and "got 'tflit'. Did you mean 'tflite'" in text
    assert [f"column '{name}'" in text for name in ("lost", "odd", "good", "unknown", "damaged", "undefined")] == [
        *(True, True, False, True, True, True)
    ]


def test_who_computes() -> None:
    quantized, real = network(), network(quantized=False)
    own = profile_named("tflite")
    columns = {"a": quantized, "b": real, "c": (real, "ort"), "d": (quantized, "session-x64"), "e": (quantized, own)}
    found, models = open_columns(columns_of(columns), None, True, host_float=True)
    assert [one.session for one in found] == ["", "session", "", "session-x64", ""]
    assert [one.profile and one.profile.name for one in found] == ["ort", None, "ort", None, "tflite"]
    assert [one.arithmetic for one in found[::4]] == ["ort", "tflite, floats on the host"]
    assert "qdqisint8allowed=0" in found[3].arithmetic and found[3].arithmetic.startswith("onnxruntime 1.")
    assert len(models) == 2 and found[0].key == found[3].key == found[4].key


def test_without_onnxruntime_a_float_model_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found, _ = open_columns([ModelColumn("a", network(quantized=False))], None, True)
    assert found[0].profile is not None and found[0].profile.name == "ort"
    with pytest.raises(InputError, match=r"qdqnp\[ort\]"):
        open_columns([ModelColumn("a", network(), "session")], None, True)


@pytest.mark.parametrize(("batch", "wanted"), [(1, 1), (16, 16), ("N", 0)])
def test_the_batch_that_a_model_declares(batch: int | str, wanted: int) -> None:
    found, _ = open_columns([ModelColumn("a", network(np.eye(3), batch=batch))], None, True)
    assert found[0].batch == wanted
