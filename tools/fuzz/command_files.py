"""Make the small valid files that tools/fuzz/commands.py mutates: for each model inputs, a golden set, dumps and
mappings; profiles, pictures, and the folder of `qdqnp probe`."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import qdqnp
from qdqnp.cli import cli
from qdqnp.errors import ProfileError, QdqnpError
from qdqnp.files.npy import npy_bytes, npz_bytes
from qdqnp.files.run_results import run_results_bytes
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.model_card.device import device_folder
from qdqnp.numerics.profile_writer import to_toml
from qdqnp.numerics.profiles import PROFILES
from tests.layer_quality.nets import data as quality_data
from tests.layer_quality.nets import float_net, int8_net
from tests.networks import dla
from tests.ops.cases import CASES
from tests.ops.cases.floats import BITWISE, CLOSE
from tests.st.writing import random_network, write_folder

#: Contents by path; '/' between folders.
Files = Mapping[str, bytes]
# Two networks, and operators that tell much: of each kind of question, and of those that only move codes.
OPERATORS = (
    "QLinearConv",
    "QGemm",
    "QLinearMatMul",
    "QLinearAdd",
    "QLinearMul",
    "QLinearConcat",
    "QLinearAveragePool",
    "QLinearGlobalAveragePool",
    "QLinearSoftmax",
    "QLinearSigmoid",
    "MaxPool",
    "Gather",
    "Pad",
    "Resize",
    "DequantizeLinear",
)
FLOATS = ("Conv", "Gemm", "Softmax", "Sigmoid", "Mul")


@dataclass(frozen=True)
class Kit:
    """A model, and files that are valid for it."""

    #: What it is called.
    name: str
    #: m.onnx, in.npz, in.npy where it has one input, the folder gold, d.npz, d.json, the folders d_npy and d_bin,
    #: map.toml, map.json.
    files: Files
    #: Number of layers.
    layers: int
    #: The shape of each layer's first output.
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Originals:
    """Everything that is mutated."""

    #: The models with their files.
    kits: tuple[Kit, ...]
    #: Profiles, preprocessing, labels, pictures, and data sets of them: what does not depend on the model.
    common: Files
    #: The folder of `qdqnp probe` below 'probes', and the answers of a board below 'answers'.
    probes: Files
    #: Folders of compiled networks, below 'st0' and 'st1'.
    compiled: Files
    #: A network that takes pictures.
    pictured: bytes
    #: A float network, its int8 form, and data, below 'float.onnx', 'int8.onnx', 'x.npz' and 'pairs.toml'.
    quantized: Files
    #: A conformance pack below 'pack'.
    pack: Files


def originals() -> Originals:
    """Return them, the same in every process."""
    kits = [drawn(name, CASES[name], number) for number, name in enumerate(OPERATORS)]
    kits += [drawn(f"float {name}", {**CLOSE, **BITWISE}[name], number) for number, name in enumerate(FLOATS)]
    kits += [kit("dla", dla(size=8), 2), kit("many", many(), 3)]
    pictured = picture_model().SerializeToString()
    return Originals(tuple(kits), common(), probes(), compiled(), pictured, quantized(), pack())


def quantized() -> Files:
    """Make a float network, its int8 form, data with labels, and a mapping of tensors."""
    feeds = quality_data(3)
    arrays = {"x": np.concatenate([case["x"] for case in feeds]), "y": np.arange(3)}
    mapping = b'[tensors]\n"r1_q" = "c1_node"\n"c2_node" = "c2"\n'
    models = {"float.onnx": float_net(), "int8.onnx": int8_net(rescaled={"c2": 6.0})}
    made = {name: model.SerializeToString() for name, model in models.items()}
    return {**made, "x.npz": npz_bytes(arrays), "pairs.toml": mapping}


def compiled() -> Files:
    """Make the folders of two random compiled networks, one that the epoch controller runs."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2):
            write_folder(Path(folder) / f"st{number}", random_network(np.random.default_rng(number)), bool(number))
        return read(Path(folder))


def pack() -> Files:
    """Make a small conformance pack."""
    with tempfile.TemporaryDirectory() as folder:
        ran("conformance", "make", "--out", Path(folder) / "pack", "--operator", "QLinearMatMul,Flatten", "--limit", 2)
        return read(Path(folder))


def drawn(name: str, generator: Callable[[np.random.Generator], Any], number: int) -> Kit:
    """Make the kit of an operator's first case that has a golden set under its profile."""
    for seed in range(100):
        try:
            return kit(name, generator(np.random.default_rng(seed)).model, number)
        except QdqnpError:
            continue
    raise AssertionError(f"no case of {name} has a golden set")


def kit(name: str, model: onnx.ModelProto, number: int) -> Kit:
    """Make the kit of a model; number: which of the formats and profiles its golden set has."""
    data = model.SerializeToString()
    loaded = qdqnp.load(data)
    profile = next(name for name in (("tflite", "exact", "ort")[number % 3], "ort") if runs(loaded, name))
    feeds = list(random_feeds(loaded.program(), 2 if name == "dla" else 1, 0))
    traces = [loaded.trace(case, profile=profile) for case in feeds]
    steps = loaded.program(profile).steps
    names = [name for step in steps for name in step.output_names]
    dumped = {name: np.concatenate([np.atleast_1d(trace[name]) for trace in traces]) for name in names}
    inputs = {name: np.concatenate([np.atleast_1d(case[name]) for case in feeds]) for name in feeds[0]}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files: dict[str, bytes] = {"m.onnx": data, "in.npz": npz_bytes(inputs), "d.npz": npz_bytes(dumped)}
        runs_of = [{name: trace[name] for name in names} for trace in traces]
        files["d.json"] = run_results_bytes("fuzz", runs_of)
        for index, (key, array) in enumerate(dumped.items()):
            plain = "".join(char if char.isalnum() else "_" for char in key)
            files[f"d_npy/{plain}.npy"] = npy_bytes(array)
            files[f"d_bin/{index:03d}_{plain}.bin"] = array.tobytes()
        if len(inputs) == 1:
            files["in.npy"] = npy_bytes(next(iter(inputs.values())))
        lay(files, root)
        formats = ("npz", "npy,bin", "bin,c", "npz,hex")[number % 4]
        ran("golden", root / "m.onnx", "--input", root / "in.npz", "--profile", profile, "--out", root / "gold",
            "--format", formats)  # fmt: skip
        for suffix in ("toml", "json"):
            ran("compare", root / "gold", root / "d.npz", "--write-mapping", root / f"map.{suffix}")
        files = read(root)
    shapes = tuple(tuple(traces[0][step.output_names[0]].shape) for step in steps)
    return Kit(name, files, len(steps), shapes)


def runs(model: qdqnp.Model, profile: str) -> bool:
    """Return whether a profile defines everything in a model."""
    try:
        model.plan(profile)
    except ProfileError:
        return False
    return True


def ran(*words: object) -> None:
    """Run a command that must end well."""
    result = CliRunner().invoke(cli, [str(word) for word in words], standalone_mode=False)
    if result.exception is not None:
        raise result.exception


def lay(files: Files, root: Path) -> None:
    """Write files below a folder."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def read(root: Path) -> dict[str, bytes]:
    """Return all files below a folder, in the order of their names."""
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return dict(sorted(found.items()))


def common() -> dict[str, bytes]:
    """Return the files that do not depend on a model."""
    found = {
        f"p_{name}.toml": to_toml(PROFILES[name]).encode() for name in ("ort", "tflite", "neural-art-1.1.3", "exact")
    }
    tuned = replace(PROFILES["tflite"], name="tuned")
    found["p_tuned.toml"] = to_toml(tuned).encode()
    found["p_base.toml"] = b'base = "tflite"\nname = "mine"\n[conv]\nkind = "float-scale"\n'
    found["pre.toml"] = (
        b'resize = 10\nmethod = "bilinear"\ncrop = [8, 8]\nlayout = "NCHW"\ncolor = "RGB"\nscale = 1.0\n'
        b"divisor = 255.0\nmean = [0.5, 0.4, 0.3]\nstd = [0.2, 0.2, 0.3]\n"
    )
    found["device.toml"] = (device_folder() / "stm32n6.toml").read_bytes()
    found["labels.txt"] = b"cat\ndog\n\xc3\xa4hre\n"
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
    for suffix in ("png", "bmp", "gif", "jpeg", "ppm", "tiff", "webp"):
        found[f"pictures/a.{suffix}"] = picture(pixels, suffix)
    found["pixels.npy"] = npy_bytes(pixels[None])
    found |= {f"set/{name}": found[f"pictures/{name}"] for name in ("a.png", "a.gif", "a.tiff")}
    found["set/labels.csv"] = b"file,class\na.png,0\na.gif,2\na.tiff,1\n"
    found["set.npz"] = npz_bytes({"x": np.stack([pixels, pixels]), "y": np.uint8([0, 2])})
    return found


def picture(pixels: NDArray[np.uint8], suffix: str) -> bytes:
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, suffix)
    return made.getvalue()


def probes() -> dict[str, bytes]:
    """Return the folder of `qdqnp probe`, and the answers that fit the first hypothesis of each probe."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ran("probe", "--out", root / "probes")
        files = read(root)
    for name in [name for name in files if name.endswith("/expected.npz")]:
        with np.load(io.BytesIO(files[name])) as expected:
            files[f"answers/{name.split('/')[1]}.npy"] = npy_bytes(expected["h00"])
    return files


def picture_model() -> onnx.ModelProto:
    """Make a network of pictures [N, 3, 8, 8] -> [N, 3]."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    return _model(nodes, ["N", 3, 8, 8])


def many() -> onnx.ModelProto:
    """Make layers one after the other, with names that need care."""
    nodes = []
    last = "x"
    for index, name in enumerate(("a/b", "a b", "[red]", "ü", "%s{}", "a.npy")):
        nodes.append(helper.make_node("QuantizeLinear", [last, "s", "z"], [f"{name}q"], f"q {name}"))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}q", "s", "z"], [f"{name}d"], f"d {name}"))
        last = f"{name}r" if index < 5 else "y"
        nodes.append(helper.make_node("Relu", [f"{name}d"], [last], name))
    return _model(nodes, [1, 3, 4])


def _model(nodes: list[onnx.NodeProto], shape: list[int | str]) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    constants = [numpy_helper.from_array(np.float32(0.02), "s"), numpy_helper.from_array(np.int8(3), "z")]
    inputs, outputs = [info("x", TensorProto.FLOAT, shape)], [info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "seed", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
