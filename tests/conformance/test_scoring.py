"""Scores: what is right, wrong, refused and failed; and that a pack is read with distrust."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from qdqnp.conformance.make import make
from qdqnp.conformance.pack import read_case, read_pack, spread
from qdqnp.conformance.scoring import score
from qdqnp.conformance.verdict import judge
from qdqnp.errors import InputError
from qdqnp.peers.runtimes.outcome import Declined, NoAnswer, Ran


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few cases of every operator."""
    out = tmp_path_factory.mktemp("packs") / "pack"
    make(
        out,
        operators=["QLinearConv", "QGemm", "QLinearMatMul", "QuantizeLinear", "QLinearSoftmax", "MaxPool"],
        limit=6,
    )
    return out


def test_onnxruntime_gives_every_output(pack: Path) -> None:
    """The expected outputs are not our own word: ONNX Runtime's sessions give them, optimized and not."""
    pytest.importorskip("onnxruntime")
    found = score(pack, "onnxruntime")
    assert found.counts() == {"right": 36, "wrong": 0, "refused": 0, "failed": 0} and found.exit_code == 0
    unfused = score(pack, "onnxruntime-unfused", operators=["QLinearMatMul", "QuantizeLinear"])
    assert unfused.counts()["right"] >= 8 and not unfused.counts()["refused"]


def test_a_refusal_is_no_wrong_answer(pack: Path) -> None:
    found = score(pack, "reference", operators=["QGemm", "MaxPool"])
    assert found.counts("QGemm")["refused"] >= 2 and found.counts()["wrong"] == 0
    assert found.exit_code == 0
    document = found.as_json()
    assert document["operators"]["MaxPool"]["right"] == 6
    json.dumps(document)


def test_qdqnp_under_another_profile_is_explained(tmp_path: Path) -> None:
    """Cases of tflite, answered by what ONNX Runtime computes: wrong by rounding, and named."""
    pytest.importorskip("onnxruntime")
    make(tmp_path / "pack", ["tflite"], ["QLinearMatMul"])
    found = score(tmp_path / "pack", "onnxruntime")
    wrong = [one.judged for one in found.cases if one.judged.verdict == "wrong"]
    assert len(wrong) > 5 and {one.kind for one in wrong} == {"rounding"}
    assert {one.as_profile for one in wrong} == {"ort"} and found.exit_code == 1
    assert score(tmp_path / "pack", "qdqnp", limit=5).counts()["right"] == 5


@pytest.mark.parametrize(
    ("found", "wanted", "kind"),
    [
        (np.int8([1, 2]), np.int8([1, 3]), "rounding"),
        (np.int8([1, -128]), np.int8([1, 127]), "saturation"),
        (np.int8([1, 40]), np.int8([1, 127]), "saturation"),
        (np.int8([1, 20]), np.int8([1, 40]), "specification"),
        (np.int32([1]), np.int32([2]), "specification"),
        (np.float32([1]), np.float32([1 + 2**-22]), "rounding"),
        (np.float32([1]), np.float32([1.1]), "specification"),
        (np.uint8([1]), np.int8([1]), "form"),
        (np.int8([[1]]), np.int8([1]), "form"),
    ],
)
def test_classes(found: np.ndarray, wanted: np.ndarray, kind: str) -> None:
    assert judge(Ran({"y": found}), {"y": wanted}).kind == kind


def test_other_verdicts() -> None:
    wanted = {"y": np.float32([np.nan, 1])}
    assert judge(Ran(wanted), wanted).verdict == "right"
    assert judge(Ran({}), wanted).kind == "form"
    assert judge(Declined("no"), wanted).verdict == "refused"
    assert judge(NoAnswer("crash"), wanted).verdict == "failed"
    assert list(spread(range(10), 3)) == [0, 3, 6] and list(spread(range(3), None)) == [0, 1, 2]


@pytest.mark.parametrize("file", ["model.onnx", "input_x.npy", "output_y.npy", "desc.json"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_pack_that_has_changed_is_refused(tmp_path: Path, file: str, how: str) -> None:
    make(tmp_path / "pack", operators=["Flatten"], limit=1)
    pack = read_pack(tmp_path / "pack")
    path = tmp_path / "pack" / pack.cases[0] / file
    if how == "changed":
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        path.unlink()
    with pytest.raises(InputError, match="has changed"):
        read_case(pack, pack.cases[0])
        pack.read(f"{pack.cases[0]}/{file}")


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "profiles": {}, "cases": ["a"], "files": {}}'],
)
def test_no_pack_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pack.json").write_text(text)
    with pytest.raises(InputError, match="no conformance pack"):
        read_pack(tmp_path)
    with pytest.raises(InputError, match="no conformance pack"):
        read_pack(tmp_path / "nothing")


def test_a_case_outside_the_pack_is_refused(tmp_path: Path) -> None:
    document = {"schema": 1, "profiles": {"ort": "established"}, "cases": ["ort/x/.."], "files": {}}
    (tmp_path / "pack.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="has changed"):
        score(tmp_path, "qdqnp")


def test_what_is_asked_for_must_be_there(pack: Path) -> None:
    with pytest.raises(InputError, match="no cases of this operator"):
        score(pack, "qdqnp", operators=["Tile"])
    with pytest.raises(InputError, match="does not say what is expected"):
        score(pack, "qdqnp", "tflite")
    with pytest.raises(InputError, match="no such runtime"):
        score(pack, "no-such-program-anywhere")


def test_a_command_is_scored(pack: Path, tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        "import sys, pathlib, onnx, numpy as np\n"
        "model, given, out = sys.argv[1:]\n"
        "if onnx.load(model).graph.node[0].op_type != 'MaxPool':\n"
        "    print('no such operator', file=sys.stderr); sys.exit(77)\n"
        "from onnx.reference import ReferenceEvaluator\n"
        "x = np.load(pathlib.Path(given, 'x.npy'))\n"
        "np.save(pathlib.Path(out, 'y.npy'), ReferenceEvaluator(model).run(None, {'x': x})[0])\n"
    )
    found = score(pack, f"{sys.executable} {script}", operators=["MaxPool", "QGemm"], limit=4)
    counts = found.counts()
    assert counts["right"] + counts["refused"] == 4 and counts["right"] and counts["refused"], found.as_json()
    assert {one.judged.told for one in found.cases if one.judged.verdict == "refused"} == {"no such operator"}
