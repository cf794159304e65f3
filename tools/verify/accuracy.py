"""Measure top-1 accuracy of the shipped networks: the float model, and the int8 one in ONNX Runtime and in qdqnp.

    python -m tools.verify.accuracy --pictures cifar10_test.npz --checkpoints dla_cifar10 --markdown accuracy.md

The two int8 runs must agree on every picture, bit for bit. Batches of many pictures make it fast; that they give what
the files, whose batch is 1, give is checked first. Where scores tie, the first class counts, in all three runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from numpy.typing import NDArray

from qdqnp import load
from qdqnp.errors import InputError, ModelError, PeerError, Problem, QdqnpError
from qdqnp.inputs.pictures import Picture, list_pictures
from qdqnp.peers.ort.peer import OrtPeer
from qdqnp.peers.ort.session import import_onnxruntime
from qdqnp.quant import Array
from qdqnp.render.console import tracked
from tools.bench.bench import Table, write_results
from tools.models.build_dla import checkpoint_weights
from tools.models.calibration import preparation
from tools.models.dla import ARCHITECTURES
from tools.models.dla_onnx import build_model

DATA = Path(__file__).parents[2] / "qdqnp" / "data"
NETWORKS = ("dla46_c", "dla46x_c", "dla60x_c")
CHECKED = 5  # pictures on which a batch is compared with single runs

# From a float32 batch, (pictures, 3, height, width), to scores, (pictures, classes).
Scores = Callable[[Array], Array]


@dataclass(frozen=True)
class Labelled:
    """Pictures with their classes."""

    #: uint8 (pictures, height, width, 3).
    x: NDArray[np.uint8]
    #: The class of each picture.
    y: NDArray[np.integer[Any]]

    def batches(self, size: int) -> Iterator[tuple[Array, NDArray[np.integer[Any]]]]:
        """Yield network inputs and classes, `size` pictures at a time."""
        prepare = preparation()
        for start in range(0, len(self.x), size):
            part = slice(start, start + size)
            yield np.concatenate([prepare(Picture("a picture", pixels)) for pixels in self.x[part]]), self.y[part]


@dataclass
class Result:
    """How many of the pictures each run classified correctly."""

    #: The network's name.
    network: str
    #: Number of pictures.
    pictures: int = 0
    #: Correct pictures of the float model in ONNX Runtime; None where a float model was not given.
    ort_float: int | None = None
    #: Correct pictures of the int8 model in ONNX Runtime.
    ort_int8: int = 0
    #: Correct pictures of the int8 model in qdqnp.
    qdqnp: int = 0
    #: Pictures for which any output of the two int8 runs has other bits.
    differing: int = 0

    def as_json(self) -> dict[str, Any]:
        percent = {f"{key}_percent": self.percent(count) for key, count in self.correct().items()}
        return {**asdict(self), **percent}

    def correct(self) -> dict[str, int | None]:
        return {"ort_float": self.ort_float, "ort_int8": self.ort_int8, "qdqnp": self.qdqnp}

    def percent(self, count: int | None) -> float | None:
        return None if count is None else 100 * count / self.pictures


def read_labelled(path: Path, limit: int | None) -> Labelled:
    """Read the first `limit` pictures (or all) of an .npz with x (uint8 NHWC) and y (their classes)."""
    pictures = np.stack([picture.pixels() for picture in list_pictures(path)])
    with np.load(path, allow_pickle=False) as arrays:
        y = arrays.get("y")
    if y is None or y.dtype.kind not in "iu" or y.shape != (len(pictures),):
        got = "no y" if y is None else f"{y.dtype} {y.shape}"
        problem = Problem(str(path), f"an array y of {len(pictures)} integers, the classes of the pictures", got)
        raise InputError("The pictures have no labels", [problem])
    return Labelled(pictures[:limit], y[:limit])


def dynamic_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of the model whose first axis, of all inputs and outputs, is open."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants = {tensor.name for tensor in copy.graph.initializer}
    inputs = [value for value in copy.graph.input if value.name not in constants]
    for value in (*inputs, *copy.graph.output):
        # Assigning the name takes the number away: the two share one field.
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    del copy.graph.value_info[:]  # they repeat the old size
    return copy


def qdqnp_scores(model: onnx.ModelProto) -> Scores:
    """Return qdqnp's scores; the model has one input and one output."""
    loaded = load(model)

    def scores(batch: Array) -> Array:
        (found,) = loaded.run(batch).values()
        return found

    return scores


def ort_scores(model: onnx.ModelProto, threads: int) -> Scores:
    """Return the scores of ONNX Runtime with int8 allowed."""
    peer, name = OrtPeer(model, threads=threads), model.graph.input[0].name

    def scores(batch: Array) -> Array:
        (found,) = peer.outputs({name: batch}).values()
        return found

    return scores


def float_scores(network: str, model: onnx.ModelProto, threads: int) -> Scores:
    """Return ONNX Runtime's scores of a float model."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads

    def scores(batch: Array) -> Array:
        try:
            return np.asarray(session.run(None, {model.graph.input[0].name: batch})[0])
        except Exception as error:  # onnxruntime raises its own classes, which share no public base
            raise refused(error) from error

    def refused(error: Exception) -> PeerError:
        hint = "It must take the input of the int8 model."
        return PeerError("ONNX Runtime refuses a float model", [Problem(network, "scores", str(error), hint)])

    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise refused(error) from error
    return scores


def require_same_batched(single: Scores, batched: Scores, batch: Array, who: str) -> None:
    """Raise unless the pictures of `batch` have the same scores, bit for bit, together and one at a time."""
    alone = np.concatenate([single(batch[index : index + 1]) for index in range(len(batch))])
    together = batched(batch)
    if alone.tobytes() != together.tobytes():
        got = "other bits" if alone.shape == together.shape else f"shape {together.shape} instead of {alone.shape}"
        problem = Problem(who, "the scores of single runs", got, "The open batch changes what the model computes.")
        raise ModelError("a batch does not give what its pictures give one at a time", [problem])


def evaluate(
    network: str, int8: onnx.ModelProto, real: onnx.ModelProto | None, pictures: Labelled, batch: int, threads: int
) -> Result:
    """Count what each run gets right. `real` is the float model, of an open batch."""
    opened = dynamic_batch(int8)
    ours, theirs = qdqnp_scores(opened), ort_scores(opened, threads)
    sample, _ = next(Labelled(pictures.x[:CHECKED], pictures.y).batches(CHECKED))
    require_same_batched(qdqnp_scores(int8), ours, sample, f"{network} in qdqnp")
    require_same_batched(ort_scores(int8, threads), theirs, sample, f"{network} in ONNX Runtime")
    unquantized = float_scores(network, real, threads) if real is not None else None
    result = Result(network, len(pictures.x), None if unquantized is None else 0)
    rounds = -(-len(pictures.x) // batch)
    for x, y in tracked(pictures.batches(batch), rounds, network):
        left, right = ours(x), theirs(x)
        result.qdqnp += correct(left, y)
        result.ort_int8 += correct(right, y)
        result.differing += differing_pictures(left, right)
        if unquantized is not None:
            result.ort_float = (result.ort_float or 0) + correct(unquantized(x), y)
    return result


def correct(scores: Array, y: NDArray[np.integer[Any]]) -> int:
    return int(np.count_nonzero(scores.argmax(axis=1) == y))


def differing_pictures(left: Array, right: Array) -> int:
    """Count the rows of two float32 score matrices that differ in any bit."""
    left, right = (np.ascontiguousarray(scores, np.float32).view(np.uint32) for scores in (left, right))
    return int(np.count_nonzero((left != right).any(axis=1)))


def float_model(network: str, given: Mapping[str, Path], checkpoints: Path | None) -> onnx.ModelProto | None:
    """Return the float model with an open batch: a given file, the shipped one, or built from a checkpoint; or None."""
    shipped = DATA / f"{network}_float.onnx"
    if network in given or shipped.is_file():
        return dynamic_batch(onnx.load(given.get(network, shipped)))
    if checkpoints is None:
        return None
    found = sorted(file for file in checkpoints.iterdir() if file.stem == network)
    if not found:
        problem = Problem(str(checkpoints), f"a checkpoint {network}.npz, .safetensors or .pth", "none")
        raise ModelError("A float model cannot be built", [problem])
    architecture = ARCHITECTURES[network]
    return build_model(architecture, checkpoint_weights(found[0], architecture, None), (32, 32), dynamic_batch=True)


def named_paths(values: Sequence[str]) -> dict[str, Path]:
    """Parse `NETWORK=FILE` options into paths by network."""
    found: dict[str, Path] = {}
    for value in values:
        network, _, path = value.partition("=")
        if network not in NETWORKS or not Path(path).is_file():
            names = ", ".join(NETWORKS)
            raise click.UsageError(f"--float: expected NETWORK=FILE, NETWORK one of {names}, got '{value}'.")
        found[network] = Path(path)
    return found


def results_table(results: Sequence[Result]) -> Table:
    """Make one row for each network, in percent of the pictures."""
    columns = ("network", "pictures", "float, %", "ONNX Runtime int8, %", "qdqnp int8, %", "pictures that differ")
    rows = [
        [
            result.network,
            str(result.pictures),
            *(_percent(result, count) for count in result.correct().values()),
            str(result.differing),
        ]
        for result in results
    ]
    return Table(columns, rows)


def _percent(result: Result, count: int | None) -> str:
    return "-" if count is None else f"{result.percent(count):.2f}"


@click.command()
@click.option(
    "--pictures",
    "source",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An .npz with x (uint8 NHWC) and y.",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first so many pictures.  [default: all]")
@click.option("--network", "networks", multiple=True, type=click.Choice(NETWORKS), help="[default: all]")
@click.option("--float", "floats", multiple=True, metavar="NETWORK=FILE", help="The float model of a network.")
@click.option(
    "--checkpoints",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with trained weights, to build the float models that are not shipped.",
)
@click.option("--batch", type=click.IntRange(1), default=100, show_default=True, help="Pictures at a time.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of ONNX Runtime.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
@click.option("--markdown", "markdown_path", type=click.Path(dir_okay=False, path_type=Path), help="Write Markdown.")
def main(
    source: Path,
    limit: int | None,
    networks: tuple[str, ...],
    floats: tuple[str, ...],
    checkpoints: Path | None,
    batch: int,
    threads: int,
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    """Measure top-1 of the shipped networks. Exit code 1 where qdqnp and ONNX Runtime differ on any picture."""
    given = named_paths(floats)
    try:
        pictures = read_labelled(source, limit)
        results = []
        for network in networks or NETWORKS:
            int8 = onnx.load(DATA / f"{network}_int8.onnx")
            real = float_model(network, given, checkpoints)
            results.append(evaluate(network, int8, real, pictures, batch, threads))
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error
    table = results_table(results)
    table.show()
    write_results({"results": [result.as_json() for result in results]}, table.markdown(), json_path, markdown_path)
    differing = sum(result.differing for result in results)
    if differing:
        raise click.ClickException(f"qdqnp and ONNX Runtime differ on {differing} pictures; expected 0.")


if __name__ == "__main__":
    main()
