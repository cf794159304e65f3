"""Measure top-1 accuracy of the shipped networks in every arithmetic that runs them, and where they part.

    python -m tools.verify.accuracy --pictures cifar10_test.npz --checkpoints dla_cifar10 --markdown accuracy.md

The first column is qdqnp's profile `ort`; ONNX Runtime's session with int8 allowed must have its bits on every picture,
else the exit code is 1. With --results a run that was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from qdqnp.cli.engine import engine_options
from qdqnp.errors import ModelError, Problem, QdqnpError
from qdqnp.evaluation.columns import ModelColumn
from qdqnp.evaluation.counts import Counts
from qdqnp.evaluation.evaluate import evaluate
from qdqnp.evaluation.result import Evaluation
from qdqnp.inputs.shipped import CIFAR10, model_names, shipped_model
from qdqnp.render.console import progress
from tools.bench.tables import Table, write_results
from tools.models.build_dla import checkpoint_weights
from tools.models.dla import ARCHITECTURES
from tools.models.dla_onnx import build_model

NETWORKS = ("dla46_c", "dla46x_c", "dla60x_c")
#: What is measured of an int8 network: the column's title, and its arithmetic.
INT8 = {
    "`ort`": "ort",
    "ONNX Runtime, int8 allowed": "session",
    "ONNX Runtime, default session": "session-x64",
    "ONNX Runtime, unfused": "session-unfused",
    "`tflite`": "tflite",
    "`cmsis-nn`": "cmsis-nn",
    "`neural-art-1.1.3`": "neural-art-1.1.3",
    "`neural-art-1.1.1`": "neural-art-1.1.1",
}
FLOAT, SAME = "float, ONNX Runtime", "ONNX Runtime, int8 allowed"


def columns_of(network: str, real: ModelColumn | None, wanted: Collection[str]) -> list[ModelColumn]:
    """Return the columns of a network, 'ort' first.

    real: its float model, where there is one.
    wanted: the other arithmetics; all of them where there is none.
    """
    kept = {title: name for title, name in INT8.items() if not wanted or name in ("ort", *wanted)}
    int8 = [ModelColumn(title, shipped_model(f"{network}_int8"), name) for title, name in kept.items()]
    return int8 if real is None else [*int8, real]


def float_column(network: str, given: Mapping[str, Path], checkpoints: Path | None) -> ModelColumn | None:
    """Return the float model: a given file, the shipped one, or built from a checkpoint; or None."""
    name = f"{network}_float"
    if network in given or name in model_names():
        return ModelColumn(FLOAT, given[network] if network in given else shipped_model(name), "session")
    if checkpoints is None:
        return None
    found = sorted(file for file in checkpoints.iterdir() if file.stem == network)
    if not found:
        problem = Problem(str(checkpoints), f"a checkpoint {network}.npz, .safetensors or .pth", "none")
        raise ModelError("A float model cannot be built", [problem])
    architecture = ARCHITECTURES[network]
    model = build_model(architecture, checkpoint_weights(found[0], architecture, None), (32, 32))
    return ModelColumn(FLOAT, model, "session")


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


def measured(network: str, columns: Sequence[ModelColumn], pictures: Path, where: Mapping[str, Any]) -> Evaluation:
    """Evaluate the columns of a network, with a progress bar."""
    with progress() as bar:
        task = bar.add_task(network, total=None)

        def notify(counts: Counts) -> None:
            bar.update(task, completed=counts.inputs)

        return evaluate(columns, pictures, preprocessing=CIFAR10, notify=notify, **where)


def results_table(results: Mapping[str, Evaluation]) -> Table:
    """Make a row for each network and column: top-1 with its interval, and how far it agrees with `ort`."""
    heads = (
        "network",
        "arithmetic",
        "top-1, %",
        "95 % interval",
        "another class than `ort`",
        "other scores than `ort`",
    )
    rows = []
    for network, found in results.items():
        for column in found.columns:
            low, high = column.interval(column.top1) or (0.0, 1.0)
            share = f"{100 * column.top1 / found.inputs:.2f}"
            apart = [f"{found.inputs - same:,}" for same in (column.same_class, column.same_bits)]
            rows.append([network, column.name, share, f"{100 * low:.2f} to {100 * high:.2f}", *apart])
    return Table(heads, rows, texts=2)


def differing(results: Mapping[str, Evaluation]) -> int:
    """Count the pictures to which ONNX Runtime with int8 allowed gives other bits than `ort`."""
    columns = [(found, one) for found in results.values() for one in found.columns if one.name == SAME]
    return sum(found.inputs - one.same_bits for found, one in columns)


@click.command()
@click.option(
    "--pictures",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An .npz with x (uint8 NHWC) and y.",
)
@click.option("--network", "networks", multiple=True, type=click.Choice(NETWORKS), help="[default: all]")
@click.option("--arithmetic", "wanted", multiple=True, type=click.Choice(list(INT8.values())), help="[default: all]")
@click.option("--float", "floats", multiple=True, metavar="NETWORK=FILE", help="The float model of a network.")
@click.option(
    "--checkpoints",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with trained weights, to build the float models that are not shipped.",
)
@engine_options(workers=1)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
@click.option("--markdown", "markdown_path", type=click.Path(dir_okay=False, path_type=Path), help="Write Markdown.")
def main(
    pictures: Path,
    networks: tuple[str, ...],
    wanted: tuple[str, ...],
    floats: tuple[str, ...],
    checkpoints: Path | None,
    where: Mapping[str, Any],
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    """Measure top-1 of the shipped networks. Exit code 1 where `ort` and ONNX Runtime differ on any picture."""
    given = named_paths(floats)
    results = {}
    try:
        for network in networks or NETWORKS:
            columns = columns_of(network, float_column(network, given, checkpoints), wanted)
            results[network] = measured(network, columns, pictures, where)
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error
    table = results_table(results)
    table.show()
    document = {network: found.as_json() for network, found in results.items()}
    write_results({"results": document}, table.markdown(), json_path, markdown_path)
    count = differing(results)
    if count:
        raise click.ClickException(f"qdqnp and ONNX Runtime differ on {count} pictures; expected 0.")


if __name__ == "__main__":
    main()
