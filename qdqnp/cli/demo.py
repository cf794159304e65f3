"""`qdqnp demo`: run a shipped network on shipped pictures, and compare it with ONNX Runtime layer by layer."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from qdqnp.cli.options import PATH
from qdqnp.diagnosis.verify import VerifyReport, verify
from qdqnp.errors import PeerError
from qdqnp.files.atomic import target, write_bytes
from qdqnp.files.regular import read_bytes
from qdqnp.inputs.pictures import Picture, picture_feeds, resolved
from qdqnp.inputs.shipped import CIFAR10, labels_path, model_names, pictures, pictures_path, shipped_model
from qdqnp.limits import MAX_FILE_BYTES
from qdqnp.model import Model, load
from qdqnp.peers.ort.child import Child
from qdqnp.peers.ort.peer import OrtPeer, host
from qdqnp.peers.ort.session import import_onnxruntime
from qdqnp.quant import Array
from qdqnp.render.console import CONSOLE, dims, name, table

SHOWN = 10
COMPARED = 3


@dataclass(frozen=True)
class Seen:
    """What the network made of the pictures."""

    #: float32 (N, classes).
    scores: Array
    #: The time for all pictures.
    seconds: float


@click.command("demo")
@click.option(
    "--model",
    "chosen",
    default="dla46_c_int8",
    show_default=True,
    type=click.Choice([item for item in model_names() if item.endswith("_int8")]),
    help="Which shipped network.",
)
@click.option(
    "--save",
    "folder",
    type=PATH,
    metavar="DIR",
    help="Only copy the network and its pictures to a folder, as net.onnx, pictures.npz and classes.txt.",
)
@click.pass_context
def demo_command(ctx: click.Context, chosen: str, folder: Path | None) -> None:
    """Run a shipped network on shipped pictures, and compare it with ONNX Runtime, tensor by tensor.

    Exit code 0: all equal, or onnxruntime is not installed. 1: some tensors differ.
    """
    path = shipped_model(chosen)
    if folder is not None:
        _save(path, folder)
        return
    x, y, classes = pictures()
    model = load(path)
    settings = resolved(CIFAR10, model.program())
    inputs = [picture_feeds([Picture(f"picture {i}", pixels)], settings, model.program()) for i, pixels in enumerate(x)]
    CONSOLE.print(f"{chosen}: an int8 network for CIFAR-10, on {len(x)} pictures of its test set")
    _print_classes(_classify(model, inputs), y, classes)
    report = _compare(model, path, inputs[:COMPARED])
    _print_next(str(ctx.find_root().info_name), path)
    sys.exit(0 if report is None or report.equal else 1)


def _save(network: Path, folder: Path) -> None:
    """Copy what the demo runs to a folder, over no file."""
    copies = {"net.onnx": network, "pictures.npz": pictures_path(), "classes.txt": labels_path()}
    places = [target(folder / name, f"'{name}'") for name in copies]
    for place, source in zip(places, copies.values(), strict=True):
        write_bytes(place, read_bytes(source, MAX_FILE_BYTES))
    CONSOLE.print(f"wrote {', '.join(copies)}")


def _classify(model: Model, inputs: Sequence[dict[str, Array]]) -> Seen:
    model.run(inputs[0])  # the first run also plans the layers
    start = time.perf_counter()
    outputs = [next(iter(model.run(feeds).values())) for feeds in inputs]
    return Seen(np.concatenate(outputs), time.perf_counter() - start)


def _print_classes(seen: Seen, truth: Array, classes: Sequence[str]) -> None:
    found = seen.scores.argmax(axis=1)
    rows = table("picture", "true class", "predicted", "score", "", right=("picture", "score"))
    for index in range(SHOWN):
        right = found[index] == truth[index]
        score = f"{_probability(seen.scores[index]):.3f}"
        rows.add_row(
            str(index),
            classes[truth[index]],
            classes[found[index]],
            score,
            "right" if right else "wrong",
            style=None if right else "yellow",
        )
    CONSOLE.print(rows)
    count = len(truth)
    correct, speed = np.count_nonzero(found == truth), 1000 * seen.seconds / count
    CONSOLE.print(f"right: {correct} of {count}; the first {SHOWN} are shown, with softmax scores")
    CONSOLE.print(f"speed: {speed:.1f} ms per picture, one at a time, measured on this machine")


def _probability(scores: Array) -> float:
    """Return the softmax of the largest score, for display only: the network ends before it."""
    wide = scores.astype(np.float64)
    return float(1 / np.exp(wide - wide.max()).sum())


def _compare(model: Model, path: Path, inputs: Sequence[dict[str, Array]]) -> VerifyReport | None:
    """Print and return the comparison; None where onnxruntime is not installed."""
    CONSOLE.print()
    try:
        import_onnxruntime()
    except PeerError:
        CONSOLE.print(
            'To compare every tensor with ONNX Runtime, install it: pip install "qdqnp[ort]"',
            soft_wrap=True,
        )
        return None
    peer = OrtPeer(path, sessions=Child())
    report = verify(model, peer, inputs)
    rows = table("operator", "tensor", "shape", "elements", "differing", right=("elements", "differing"))
    for column in rows.columns:
        column.no_wrap, column.overflow = True, "ellipsis"  # one line for each layer
    for layer in report.layers:
        rows.add_row(
            layer.op,
            name(layer.name),
            dims(layer.shape),
            str(layer.tally.elements),
            name(layer.tally.note or str(layer.differing)),
            style=None if layer.equal else "red",
        )
    CONSOLE.print(rows)
    CONSOLE.print(f"compared with onnxruntime {host()['onnxruntime']} on {len(inputs)} pictures")
    CONSOLE.print(report.verdict(), style="bold green" if report.equal else "bold red")
    return report


def _print_next(program: str, path: Path) -> None:
    """Print three commands to paste, never wrapped and quoted for the shell."""
    CONSOLE.print()
    CONSOLE.print("Next:")
    mean, std = (",".join(map(str, values)) for values in (CIFAR10.mean, CIFAR10.std))
    scaling = ["--scale", f"{CIFAR10.scale:g}/{CIFAR10.divisor:g}", "--mean", mean, "--std", std]
    for words in (
        ["inspect", str(path)],
        ["verify", str(path), "--random", "3"],
        ["run", str(path), "--input", str(pictures_path()), *scaling, "--labels", str(labels_path())],
    ):
        CONSOLE.print(f"  {program} {_quoted(words)}", soft_wrap=True)


def _quoted(words: Sequence[str]) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
