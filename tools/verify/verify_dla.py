"""Compare every tensor of many models with ONNX Runtime's, bit for bit, on many pictures: one table of all.

    python -m tools.verify.verify_dla --models networks --pictures photographs --count 20
    python -m tools.verify.verify_dla --models qdqnp/data --npz cifar10_test.npz --count 200 --profile ort-x64

Pictures are cropped at their centre to each model's input. Codes tell how much a comparison could show: a tensor that
holds three codes is easily equal. They are counted over all pictures, in tensors of 8-bit codes.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import onnx

from qdqnp import Model, load
from qdqnp.diagnosis.verify import VerifyReport, verify
from qdqnp.errors import InputError, ModelError, Problem, QdqnpError
from qdqnp.inputs.pictures import Picture, list_pictures
from qdqnp.peers.ort.peer import OrtPeer
from qdqnp.peers.ort.session import KINDS
from qdqnp.quant import Array
from qdqnp.render.console import tracked
from tools.bench.tables import Table, write_results
from tools.models.calibration import preparation, spread


@dataclass(frozen=True)
class Verified:
    """One model's comparison over all pictures, under the report's profile."""

    #: The model's name.
    model: str
    #: The comparison.
    report: VerifyReport

    @property
    def codes(self) -> list[int]:
        """Count the distinct codes that each tensor of 8-bit codes held."""
        return [len(layer.seen) for layer in self.report.layers if layer.seen]

    def as_json(self) -> dict[str, Any]:
        return {"model": self.model, "tensors": len(self.report.layers), **self.report.as_json()}


def quantized_models(sources: Sequence[Path]) -> list[Path]:
    """Return the given files, and the quantized ones of the given folders."""
    found: list[Path] = []
    for source in sources:
        files = sorted(source.glob("*.onnx")) if source.is_dir() else [source]
        found += [file for file in files if not source.is_dir() or is_quantized(file)]
    if not found:
        where = ", ".join(str(source) for source in sources)
        problem = Problem(where, "quantized .onnx files", "none", "Name a folder of them, or a file.")
        raise ModelError("There is nothing to verify", [problem])
    return found


def is_quantized(path: Path) -> bool:
    try:
        nodes = onnx.load(path, load_external_data=False).graph.node
    except Exception as error:  # protobuf and the file system each raise their own
        problem = Problem(str(path), "an ONNX file", str(error) or type(error).__name__, "Repair or remove the file.")
        raise ModelError("A model cannot be read", [problem]) from error
    return any(node.op_type.startswith("QLinear") or node.op_type == "DequantizeLinear" for node in nodes)


def picture_size(model: Model, name: str) -> tuple[int, int]:
    """Return height and width of the model's only input. Raises ModelError where it is not for RGB pictures."""
    program = model.program()
    shapes = [program.tensors[each].shape for each in program.inputs]
    match shapes:
        case [(_, 3, int(height), int(width))]:
            return height, width
    problem = Problem(name, "one input of shape (batch, 3, height, width)", str(shapes), "Leave this model out.")
    raise ModelError("A model is not one for pictures", [problem])


def inputs(model: Model, name: str, pictures: Sequence[Picture]) -> Iterator[dict[str, Array]]:
    """Yield the pictures as inputs of the model, one at a time, with a progress bar."""
    prepare = preparation(crop=picture_size(model, name))
    (to,) = model.program().inputs
    for picture in tracked(pictures, len(pictures), name):
        yield {to: prepare(picture)}


def verify_all(
    models: Sequence[Path], pictures: Sequence[Picture], profiles: Sequence[str] = ("ort",)
) -> list[Verified]:
    """Compare each model under each profile. Raises QdqnpError for a model that cannot run in qdqnp or in ONNX
    Runtime."""
    results = []
    for path in models:
        model = load(path)
        for profile in profiles:
            report = verify(model, OrtPeer(path, profile), inputs(model, path.name, pictures), profile)
            results.append(Verified(path.name, report))
    return results


def results_table(results: Sequence[Verified]) -> Table:
    """Make one row for each model."""
    columns = (
        "model",
        "profile",
        "tensors",
        "elements compared",
        "differing",
        "distinct codes, min",
        "distinct codes, median",
        "distinct outputs",
        "pictures",
    )
    return Table(columns, [_row(result) for result in results])


def _row(result: Verified) -> list[str]:
    report, codes = result.report, result.codes
    low, middle = (str(min(codes)), f"{statistics.median(codes):g}") if codes else ("-", "-")
    return [
        result.model,
        report.profile,
        str(len(report.layers)),
        str(report.elements),
        str(report.differing),
        low,
        middle,
        str(report.distinct_outputs),
        str(report.inputs),
    ]


def open_source(folder: Path | None, npz: Path | None) -> list[Picture]:
    """Return the pictures of the one source that was given."""
    if (folder is None) == (npz is None):
        raise click.UsageError("Expected either --pictures or --npz.")
    try:
        return list_pictures(folder or npz or Path())
    except InputError as error:
        raise click.ClickException(str(error)) from error


_PATH = click.Path(exists=True, path_type=Path)


@click.command()
@click.option("--models", multiple=True, required=True, type=_PATH, help="A folder, or a file; may be given again.")
@click.option("--pictures", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A folder.")
@click.option("--npz", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="x: uint8 NHWC.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    type=click.Choice(list(KINDS)),
    default=("ort",),
    show_default=True,
    help="Which session to hold against; may be given again.",
)
@click.option("--count", type=click.IntRange(1), default=20, show_default=True, help="Pictures, evenly spread.")
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write every tensor's result."
)
@click.option("--markdown", "markdown_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the table.")
def main(
    models: tuple[Path, ...],
    folder: Path | None,
    npz: Path | None,
    profiles: tuple[str, ...],
    count: int,
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    """Verify many models on many pictures. Exit code 1 where anything differs."""
    pictures = spread(open_source(folder, npz), count)
    try:
        results = verify_all(quantized_models(models), pictures, profiles)
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error
    table = results_table(results)
    table.show()
    write_results({"results": [result.as_json() for result in results]}, table.markdown(), json_path, markdown_path)
    wrong = [result for result in results if not result.report.equal]
    if wrong:
        raise click.ClickException("\n".join(f"{result.model}: {result.report.verdict()}" for result in wrong))


if __name__ == "__main__":
    main()
