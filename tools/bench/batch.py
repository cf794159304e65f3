"""Time a batch beside its pictures one by one, with one thread and with more: no other runtime is in the process.

    python -m tools.bench.batch net.onnx --pictures 16 --threads 2 --markdown batch.md

The runs take turns. Before they are timed, all must have made the same bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from qdqnp import Model, load
from qdqnp.errors import QdqnpError
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.quant import Array
from qdqnp.render.console import tracked
from tools.bench.candidates import require_equal, threads_text
from tools.bench.shapes import resized
from tools.bench.tables import Table, load_average, milliseconds, publish
from tools.bench.timing import Run, take_turns


def measure(path: Path, pictures: int, threads: Sequence[int], repeats: int) -> dict[str, Any]:
    """Return the times of one model. Raises BenchError where a batch makes other bits than its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        one, whole = (load(resized(path, Path(folder) / "net.onnx", count, None)) for count in (1, pictures))
    feeds = next(random_feeds(whole.program(), 1, seed=0))
    each = [{name: array[at : at + 1] for name, array in feeds.items()} for at in range(pictures)]
    runs: dict[str, Run] = {"one by one, 1 thread": partial(_one_by_one, one, each)}
    runs |= {f"batch, {threads_text(count)}": partial(whole.run, feeds, threads=count) for count in (1, *threads)}
    first, *others = (run() for run in runs.values())
    for outputs in others:
        require_equal(path.name, outputs, first)
    timings = take_turns(runs, tracked(range(repeats), repeats, path.name), threads=max(threads))
    candidates = [timing.as_json(name) for name, timing in timings.items()]
    return {"model": path.name, "pictures": pictures, "equal_elements": 0, "candidates": candidates}


def _one_by_one(model: Model, each: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    found = [model.run(feeds, threads=1) for feeds in each]
    return {name: np.concatenate([outputs[name] for outputs in found]) for name in found[0]}


def batch_table(results: Sequence[Mapping[str, Any]]) -> Table:
    """Make one row for each candidate; ratios are of the wall time, times of all pictures."""
    rows = []
    for result in results:
        alone, batch, *_ = (timing["median_ms"] for timing in result["candidates"])
        for timing in result["candidates"]:
            wall = timing["median_ms"]
            times = (milliseconds(value) for value in (timing["median_cpu_ms"], wall, timing["min_ms"]))
            ratios = (f"{wall / alone:.2f}", f"{batch / wall:.2f}")
            rows.append([result["model"], timing["label"], *times, *ratios, str(timing["runs"])])
    titles = ("processor ms", "median ms", "min ms", "/ one by one", "times as fast as the batch in 1 thread", "runs")
    return Table(("model", "candidate", *titles), rows, texts=2)


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--pictures", type=click.IntRange(2), default=16, show_default=True)
@click.option("--threads", type=click.IntRange(2), multiple=True, default=(2,), show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=9, show_default=True)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
@click.option("--markdown", "markdown_path", type=click.Path(dir_okay=False, path_type=Path), help="Write Markdown.")
def main(
    models: tuple[Path, ...],
    pictures: int,
    threads: tuple[int, ...],
    repeats: int,
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    """Time batches of each MODEL, which takes one tensor of pictures (N, C, H, W)."""
    load_before = load_average()
    try:
        results = [measure(model, pictures, threads, repeats) for model in models]
        publish(batch_table(results), results, load_before, json_path, markdown_path)
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
