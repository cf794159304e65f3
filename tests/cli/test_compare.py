"""`qdqnp compare`: golden sets and dumps on disk, outputs, mapping, tolerance, exit codes, and bad dumps."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp import golden_sets
from qdqnp.cli import cli
from qdqnp.inputs.random_inputs import random_feeds
from tests.networks import dla

Array = np.ndarray[Any, Any]
EVIL = "<img src=x onerror=alert(1)>[red]/../../"


def hostile(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network, every tensor and node of it with HTML, markup and path characters in its name."""
    for node in model.graph.node:
        node.name = EVIL + node.name
        for names in (node.input, node.output):
            names[:] = [EVIL + name if name else "" for name in names]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.name = EVIL + value.name
    return model


class Place:
    """A folder with a golden set of two inputs, and what a right device makes of them."""

    def __init__(self, path: Path, proto: onnx.ModelProto, profile: str = "ort") -> None:
        self.path = path
        onnx.save(proto, path / "net.onnx")
        model = qdqnp.load(proto)
        self.feeds = list(random_feeds(model.program(), 2, 3))
        options = golden_sets.Options(roles=("network_input", "network_output", "output"))
        golden_sets.write(path / "gold", str(path / "net.onnx"), self.feeds, 2, profile=profile, options=options)
        traces = [model.trace(feeds, profile=profile) for feeds in self.feeds]
        self.right = {n: np.concatenate([t[n] for t in traces]) for n in traces[0] if n not in model.program().inputs}
        self.convs = [s.output_names[0] for s in model.program().steps if s.op == "QLinearConv"]

    def dump(self, name: str, arrays: dict[str, Array]) -> Path:
        with (self.path / name).open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # no tensor is called allow_pickle
        return self.path / name


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("compare"), dla(seed=1))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["compare", *(str(argument) for argument in arguments)])


def wrong(place: Place) -> dict[str, Array]:
    """Channel 2 of one convolution is zero, in the dump only."""
    array = place.right[place.convs[4]].copy()
    array[:, 2] = np.where(array[:, 2] == 0, 1, 0)
    return {**place.right, place.convs[4]: array}


def test_equal_is_0(place: Place) -> None:
    result = run(place.path / "gold", place.dump("right.npz", place.right))
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0].startswith("equal: 0 of ")


def test_a_difference_is_1_and_the_layer_is_named(place: Place) -> None:
    dump, files = place.dump("wrong.npz", wrong(place)), [place.path / "o.xml", place.path / "r.html"]
    result = run(place.path / "gold", dump, "--junit", files[0], "--html", files[1])
    assert result.exit_code == 1
    assert f"tensor '{place.convs[4]}'" in result.output.splitlines()[0]
    assert ET.parse(files[0]).getroot()[0].attrib["failures"] == "1"
    assert place.convs[4] in files[1].read_text(encoding="utf-8").replace("<wbr>", "")


def test_json_is_one_document(place: Place) -> None:
    found = json.loads(run(place.path / "gold", place.dump("wrong.npz", wrong(place)), "--json").stdout)
    assert found["first_divergence"] == place.convs[4] and found["golden"] == "gold"
    assert len(found["layers"]) == len(place.right) and not found["equal"]


def test_a_folder_of_one_case(place: Place) -> None:
    folder = place.path / "second"
    folder.mkdir()
    for name, array in place.right.items():
        half = array[len(array) // 2 :]
        np.save(folder / f"{name}.npy", half) if half.dtype != np.int8 else half.tofile(folder / f"{name}.bin")
    assert run(place.path / "gold", folder, "--case", 1).exit_code == 0
    assert run(place.path / "gold", folder).exit_code == 1
    assert run(place.path / "gold", folder, "--case", 2).exit_code == 2


def test_an_st_validate_file(place: Place) -> None:
    """Network inputs and outputs only, device's side channel-last of rank 4."""
    program = qdqnp.load(place.path / "net.onnx").program()
    values = place.right[program.outputs[0]]
    x = np.concatenate([feeds[program.inputs[0]] for feeds in place.feeds])
    arrays = {
        "m_inputs_1": x,
        "m_outputs_1": values,
        "c_inputs_1": np.moveaxis(x, 1, -1),
        "c_outputs_1": values.reshape(len(values), 1, 1, -1),
    }
    good = run(place.path / "gold", place.dump("net_val_io.npz", arrays))
    assert good.exit_code == 0, good.output
    arrays["c_outputs_1"] = arrays["c_outputs_1"][..., ::-1].copy()
    bad = run(place.path / "gold", place.dump("net_val_io.npz", arrays))
    assert bad.exit_code == 1 and "suspect layers" in bad.output


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_an_st_validate_file_of_codes(place: Place, kind: type) -> None:
    """Codes of the network's inputs and outputs: those that the quantizers make, or 128 higher. The file is an input
    too."""
    model = qdqnp.load(place.path / "net.onnx")
    program = model.program()
    quantizer = next(step for step in program.steps if step.quantizes)
    last = program.makers[program.outputs[0]]
    assert quantizer.input_names[0] in program.inputs and last.dequantizes
    x, y = place.right[quantizer.output_names[0]], place.right[last.input_names[0]]

    def as_st_writes(codes: np.ndarray) -> np.ndarray:
        moved = np.moveaxis(codes, 1, -1) if codes.ndim == 4 else codes.reshape(len(codes), 1, 1, -1)
        return (moved.astype(np.int16) + (128 if kind is np.uint8 else 0)).astype(kind)

    arrays = {"c_inputs_1": as_st_writes(x), "c_outputs_1": as_st_writes(y), "m_outputs_1": y}
    path = place.dump("net_val_io.npz", arrays)
    good = run(place.path / "gold", path, "--json")
    assert good.exit_code == 0, good.output
    report = json.loads(good.stdout)
    assert report["unused"] == [] and {row["name"] for row in report["layers"]} == {
        quantizer.output_names[0],
        program.outputs[0],
    }
    made = [
        "golden",
        str(place.path / "net.onnx"),
        "--input",
        str(path),
        "--out",
        str(place.path / np.dtype(kind).name),
    ]
    assert CliRunner().invoke(cli, made).exit_code == 0
    again = run(place.path / np.dtype(kind).name, path)
    assert again.exit_code == 0, again.output
    arrays["c_inputs_1"] = arrays["c_inputs_1"] ^ np.ones((), kind)
    bad = run(place.path / "gold", place.dump("net_val_io.npz", arrays))
    assert bad.exit_code == 1 and f"layer {quantizer.label}" in bad.output


def test_a_dump_may_use_the_golden_sets_own_names(place: Place) -> None:
    keys = {t.name: t.key for t in golden_sets.read(place.path / "gold").tensors if t.role == "output"}
    assert set(keys) == set(place.right) and not set(keys) & set(keys.values())
    dump = place.dump("keys.npz", {keys[name]: array for name, array in place.right.items()})
    result = run(place.path / "gold", dump, "--json")
    assert result.exit_code == 0 and len(json.loads(result.stdout)["layers"]) == len(place.right)


def test_mapping(place: Place) -> None:
    names = {f"buffer{index}": name for index, name in enumerate(place.convs[:3])}
    dump = place.dump("renamed.npz", {key: place.right[name] for key, name in names.items()})
    path = place.path / "m.toml"
    result = run(place.path / "gold", dump, "--write-mapping", path)
    assert result.exit_code == 0 and "3 tensors mapped" in result.stderr
    path.write_text("[tensors]\n" + "".join(f'"{name}" = "{key}"\n' for key, name in names.items()), encoding="utf-8")
    assert run(place.path / "gold", dump, "--mapping", path).exit_code == 2
    result = run(place.path / "gold", dump, "--mapping", path, "--json", "--partial")
    assert result.exit_code == 0 and {x["name"] for x in json.loads(result.stdout)["layers"]} == set(names.values())


def incomplete(place: Place) -> dict[str, tuple[dict[str, Array], str]]:
    """Dumps in which nothing differs and something is missing, and what is said first of each."""
    right, first = place.right, place.convs[0]
    x = np.concatenate([feeds["input"] for feeds in place.feeds])
    nothing = np.zeros(3, np.int8)
    half = {name: array[: len(array) // 2] for name, array in right.items()}
    return {
        "only the input": ({"input": x}, "nothing was compared that a layer computes"),
        "an unknown entry": (
            {**right, "convolution": np.zeros(3, np.int8)},
            "not compared: 1 entry of the dump, no tensor of the model: 'convolution'",
        ),
        "one entry paired": (
            {(n if n == first else f"layer {i}"): right[n] if n == first else nothing for i, n in enumerate(right)},
            f"not compared: {len(right) - 1} entries of the dump",
        ),
        "the first layers": ({name: right[name] for name in place.convs[:3]}, "not compared: "),
        "one of two inputs": (half, "not compared: 1 input of the golden set (1): the dump has 1"),
    }


KINDS = ("only the input", "an unknown entry", "one entry paired", "the first layers", "one of two inputs")


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_compared_is_said_behind_the_verdict_and_is_no_success(kind: str, place: Place) -> None:
    arrays, words = incomplete(place)[kind]
    dump, files = place.dump("part.npz", arrays), [place.path / "part.xml", place.path / "part.html"]
    result = run(place.path / "gold", dump, "--junit", files[0], "--html", files[1], "--force")
    assert result.exit_code == 2, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("no verdict: ") and lines[1].startswith(words)
    suite = ET.parse(files[0]).getroot()[0]
    assert (
        suite.attrib["failures"] == "0" and int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped")) > 0
    )
    assert len(suite.findall("testcase/error")) == int(suite.attrib["errors"]) == (kind == "only the input")
    assert int(suite.attrib["tests"]) == len(suite)
    page = files[1].read_text(encoding="utf-8")
    assert 0 < page.index("no verdict: ") < page.index('class="verdict left-out"')
    found = json.loads(run(place.path / "gold", dump, "--json").stdout)
    assert list(found)[2] == "not_compared" and found["not_compared"][0].startswith(words)
    assert not found["equal"] and not found["complete"]
    accepted = run(place.path / "gold", dump, "--partial")
    assert accepted.exit_code == (2 if kind == "only the input" else 0)
    assert accepted.stdout.splitlines()[1].startswith(words) and "equal:" not in accepted.stdout


def test_a_difference_is_1_whatever_else_was_not_compared(place: Place) -> None:
    dump = place.dump("both.npz", {**wrong(place), "nonsense": np.zeros(3, np.int8)})
    assert run(place.path / "gold", dump).exit_code == run(place.path / "gold", dump, "--partial").exit_code == 1


def test_a_whole_set_may_be_compared_with_itself(place: Place, tmp_path: Path) -> None:
    """Its weights and sums are no tensors of layers, and no failure: they are named."""
    golden_sets.write(
        tmp_path / "set", str(place.path / "net.onnx"), place.feeds, 2, options=golden_sets.Options(formats=("npy",))
    )
    result = run(tmp_path / "set", tmp_path / "set" / "npy")
    assert result.exit_code == 0, result.output
    assert "other arrays of the golden set" in result.stdout.splitlines()[1]
    np.save(tmp_path / "set" / "npy" / "misspelt.npy", np.zeros(3, np.int8))
    assert run(tmp_path / "set", tmp_path / "set" / "npy").exit_code == 2


def test_files_that_are_not_read_are_named(place: Place) -> None:
    folder = place.path / "others"
    folder.mkdir()
    for name, array in place.right.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "conv.raw").write_bytes(b"1234")
    result = run(place.path / "gold", folder)
    assert result.exit_code == 0 and result.stdout.splitlines()[1].endswith("no tensors by their names: 'conv.raw'")


def test_tolerance(place: Place) -> None:
    array = place.right[place.convs[4]]
    near = {**place.right, place.convs[4]: np.where(array < 0, array + 1, array)}
    dump = place.dump("near.npz", near)
    assert run(place.path / "gold", dump).exit_code == 1
    for texts in (["1"], ["QLinearConv=1"], ["0", "QLinearConv=1"]):
        assert run(place.path / "gold", dump, *(x for text in texts for x in ("--tolerance", text))).exit_code == 0
    result = run(place.path / "gold", dump, "--tolerance", "layer:absent=1")
    assert result.exit_code == 2 and "a layer of the model" in result.stderr


def test_another_profile(place: Place) -> None:
    model = qdqnp.load(place.path / "net.onnx")
    traces = [model.trace(feeds, profile="tflite") for feeds in place.feeds]
    dump = place.dump("tflite.npz", {name: np.concatenate([t[name] for t in traces]) for name in place.right})
    result = run(place.path / "gold", dump)
    assert result.exit_code == 1 and "as another arithmetic does: tflite" in result.output
    assert run(place.path / "gold", dump, "--profile", "tflite").exit_code == 0
    assert run(place.path / "gold", dump, "--profile", "nonsense").exit_code == 2


def test_bad_golden_sets(place: Place, tmp_path: Path) -> None:
    dump = place.dump("right.npz", place.right)
    assert run(tmp_path, dump).exit_code == 2
    assert run(tmp_path / "absent", dump).exit_code == 2
    golden_sets.write(
        tmp_path / "bare", str(place.path / "net.onnx"), place.feeds, 2, options=golden_sets.Options(store_model=False)
    )
    result = run(tmp_path / "bare", dump)
    assert result.exit_code == 2 and "its model" in result.stderr


def test_a_set_whose_values_are_not_its_models(place: Place, tmp_path: Path) -> None:
    """Hashes are right, and yet the profile that it names gives other values."""
    golden_sets.write(tmp_path / "set", str(place.path / "net.onnx"), place.feeds, 2, profile="neural-art")
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    manifest["profile"] = json.loads((place.path / "gold" / "manifest.json").read_text())["profile"]
    (tmp_path / "set" / "manifest.json").write_text(json.dumps(manifest))
    result = run(tmp_path / "set", place.dump("right.npz", place.right))
    assert result.exit_code == 2 and "other values than its golden set" in result.stderr


def test_a_set_of_a_profile_of_ones_own_states_it(place: Place, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('base = "neural-art"\n[conv]\nkind = "narrow-then-affine"\ntie = "half-even"', encoding="utf-8")
    from qdqnp.numerics.profile_toml import profile_from

    profile = profile_from(str(mine))
    golden_sets.write(tmp_path / "set", str(place.path / "net.onnx"), place.feeds, 2, profile=profile)
    traces = [qdqnp.load(place.path / "net.onnx").trace(feeds, profile=profile) for feeds in place.feeds]
    dump = place.dump("mine.npz", {name: np.concatenate([t[name] for t in traces]) for name in place.right})
    assert run(tmp_path / "set", dump).exit_code == 0
    assert run(tmp_path / "set", dump, "--profile", mine).exit_code == 0


def test_bad_dumps_exit_with_2_and_a_message(place: Place, tmp_path: Path) -> None:
    name = place.convs[4]
    shape = place.right[name].shape
    arrays: dict[str, dict[str, Array]] = {
        "NaN or infinite": {name: np.full(shape, np.nan, np.float32)},
        "within its range": {name: np.full(shape, 1000, np.int32)},
        "got int8[3, 3]": {name: np.zeros((3, 3), np.int8)},
        "complex64": {name: np.zeros(shape, np.complex64)},
        "tensors of the model": {"nonsense": np.zeros(5, np.int8)},
    }
    for words, bad in arrays.items():
        result = run(place.path / "gold", place.dump("bad.npz", bad))
        assert result.exit_code == 2 and words in result.stderr and "Traceback" not in result.output, result.output
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{name}.npy", "w") as member:
        np.lib.format.write_array_header_1_0(  # type: ignore[no-untyped-call]
            member, {"descr": "|i1", "fortran_order": False, "shape": (2**28,)}
        )
        for _ in range(256):
            member.write(bytes(2**20))
    pickled = tmp_path / "pickled.npy"
    np.save(pickled, np.array([{}], dtype=object), allow_pickle=True)
    for path, words in (
        (bomb, "got int8[268435456]"),
        (pickled, "Pickles"),
        (tmp_path / "absent", "no such file"),
        (tmp_path / "empty", "none"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        result = run(place.path / "gold", path)
        assert result.exit_code == 2 and words in result.stderr and "Traceback" not in result.output, result.output


def test_reports_that_cannot_be_written(place: Place) -> None:
    dump = place.dump("right.npz", place.right)
    for option in ("--html", "--junit", "--write-mapping"):
        result = run(place.path / "gold", dump, option, place.path / "absent" / "x")
        assert result.exit_code == 2 and "cannot write" in result.stderr


def test_hostile_names_are_escaped_everywhere(tmp_path: Path) -> None:
    place = Place(tmp_path, hostile(dla(seed=2)))
    arrays = {f"e{index}": place.right[name] for index, name in enumerate(place.right)}
    mapping = tmp_path / "m.json"
    mapping.write_text(json.dumps({"tensors": dict(zip(place.right, arrays, strict=True))}), encoding="utf-8")
    broken = dict(zip(place.right, arrays, strict=True))[place.convs[4]]
    arrays[broken] = np.zeros_like(arrays[broken])
    dump = place.dump("d.npz", arrays)
    files = ("--html", tmp_path / "r.html", "--junit", tmp_path / "o.xml")
    result = run(tmp_path / "gold", dump, "--mapping", mapping, "--all", *files)
    assert result.exit_code == 1 and "all zero" in result.output
    assert "[red]" in result.output  # as text, no markup
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert EVIL not in text and "&lt;img src=x" in text
    assert ET.parse(tmp_path / "o.xml").getroot().find(".//img") is None
    assert {path.name for path in tmp_path.iterdir()} == {"net.onnx", "gold", "m.json", "d.npz", "r.html", "o.xml"}


# -- what is printed ---------------------------------------------------------------------------------------------------
def both(place: Place) -> dict[str, Array]:
    """Two layers err by themselves, and what follows them inherits nothing: the dump alone is wrong."""
    other = place.right[place.convs[6]].copy()
    other[:, :, 1] = np.where(other[:, :, 1] == 7, 8, 7)
    return {**wrong(place), place.convs[6]: other}


def test_two_layers_that_err_by_themselves_are_two_verdicts(place: Place) -> None:
    dump = place.dump("both.npz", both(place))
    lines = run(place.path / "gold", dump).stdout.splitlines()
    assert lines[0].startswith("first divergence: ") and f"'{place.convs[4]}'" in lines[0]
    assert lines[1].startswith("also wrong by itself: ") and f"'{place.convs[6]}'" in lines[1]
    found = json.loads(run(place.path / "gold", dump, "--json").stdout)
    assert found["diverging"] == [place.convs[4], place.convs[6]] and len(found["verdict"]) == 2


def test_the_layers_that_matter_fit_80_columns(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from qdqnp.render import console

    dump = place.dump("both.npz", both(place))
    whole = run(place.path / "gold", dump, "--all").stdout
    assert len([line for line in whole.splitlines() if "QLinearConv" in line]) >= len(place.convs)
    monkeypatch.setattr(console.CONSOLE, "_width", 80)
    monkeypatch.setattr(console.CONSOLE, "_force_terminal", True)
    monkeypatch.setattr(console.CONSOLE, "_color_system", None)
    lines = run(place.path / "gold", dump).stdout.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) < 20
    told = " ".join(lines)
    assert "(--all shows them)" in told and "the device went on with the right values" in told
    for line in run(place.path / "gold", dump, "--json").stdout and lines:
        assert "..." not in line  # nothing is cut


def test_a_reason_is_never_cut_in_its_middle() -> None:
    from qdqnp.render.console import reason

    text = " ".join(f"word{index}" for index in range(2000))
    assert reason("short") == "short"
    shown = reason(text)
    assert len(shown) < 4100 and text.startswith(shown.removesuffix(" ... (--json has the rest)"))
