"""Measure what the engine costs and gains, and project a large run from it.

    python -m tools.bench.scale net.onnx pictures --preprocess pre.toml --workers 1,2

Of shards that do nothing, what a shard costs; of a network on pictures, what a picture costs in one process and in
more. Every worker's first shard is left out: what it takes is what starting takes. Numbers of workers take turns, and
medians are shown. Times of the wall depend on what else the machine does, which processor time hardly does.
What `qdqnp eval` does to hand a shard out is measured apart: it reads the pictures, hashes them for the key, and
pickles them.
The projection is arithmetic, and is printed as such.
"""

from __future__ import annotations

import math
import pickle
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from qdqnp.engine import Blobs, Job, Shard, key_of, run_shards
from qdqnp.evaluation.arrays import pairs_data
from qdqnp.evaluation.job import shards_of as evaluation_shards
from qdqnp.inputs.pictures import is_picture, read_preprocessing
from tools.bench.scale_jobs import Classify, Nothing
from tools.bench.tables import Table, host_facts, load_average

#: Of the projection: pictures, those of a shard, and numbers of cores.
PICTURES, IN_A_SHARD, CORES = 50_000, 32, (2, 16, 256)


@dataclass(frozen=True)
class Observed:
    """What one run took, in seconds; each item apart from those of every worker's first shard."""

    #: Processor time until a worker has its first result, without what a later shard takes.
    start: float
    #: Processor time of a worker for each item: the median, and the least, which other work lengthens least.
    item: float
    least: float
    #: Time of the wall for each item.
    wall: float
    #: Processor time of this process for each shard, where workers compute.
    here: float


def observe(job: Job, shards: Sequence[Shard], workers: int, **where: Any) -> Observed:
    """Run all shards, and see what they took."""
    finished: dict[int, float] = {}
    before = _own()
    found = run_shards(
        job,
        shards,
        workers=workers,
        progress=lambda shard, partial: finished.setdefault(shard.index, time.perf_counter()),
        **where,
    )
    here = _own() - before
    first = {one["process"]: index for index, one in reversed(list(enumerate(found)))}
    later = [index for index in range(len(found)) if index not in first.values()]
    ready = max(finished[index] for index in first.values())
    behind = [index for index in later if finished[index] > ready]
    items = [(found[index]["ended"] - found[index]["began"]) / len(shards[index].items) for index in later]
    item = statistics.median(items)
    wall = (max(finished.values()) - ready) / sum(len(shards[index].items) for index in behind)
    starts = [found[index]["ended"] - item * len(shards[index].items) for index in first.values()]
    return Observed(statistics.mean(starts), item, min(items), wall, here / len(shards) if workers > 1 else 0.0)


def _own() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def observations(job: Job, shards: Sequence[Shard], numbers: Sequence[int], turns: int) -> dict[int, Observed]:
    """Return the median of what runs took, by number of workers; they take turns."""
    runs = [{number: observe(job, shards, number) for number in numbers} for _ in range(turns)]
    return {
        number: Observed(*(statistics.median(getattr(run[number], field) for run in runs) for field in _FIELDS))
        for number in numbers
    }


_FIELDS = ("start", "item", "least", "wall", "here")


def shards_of(items: Sequence[str], size: int) -> list[Shard]:
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    return [Shard(index, part, key_of(list(part))) for index, part in enumerate(parts)]


def handing_out(names: Sequence[str], size: int = IN_A_SHARD) -> float:
    """Return the seconds of this process to read, to hash and to pickle a shard of so many pictures, as `qdqnp eval`
    does.

    names: paths of pictures.
    size: pictures of a shard.
    """
    before, pictures = _own(), 0
    for shard in evaluation_shards(pairs_data([(name, 0) for name in names]), size):
        pickle.dumps(shard.items)
        pictures += len(shard.items)
    return (_own() - before) / pictures * size


def projection(start: float, picture: float, shard: float, cores: int) -> tuple[float, str]:
    """Return how long PICTURES take on so many cores, in seconds, and the arithmetic.

    start: seconds until a worker is ready.
    picture: seconds of a worker for a picture.
    shard: seconds of the process that hands shards out, for each.
    cores: of workers; the process that hands out has a core beside them, or little to do.
    """
    shares, shards = PICTURES * picture / cores, math.ceil(PICTURES / IN_A_SHARD)
    last = IN_A_SHARD * picture
    text = (
        f"{start:.1f} s to start + the larger of ({PICTURES:,} x {1000 * picture:.0f} ms / {cores} = {shares:,.1f} s, "
        f"{shards:,.0f} shards x {1000 * shard:.2f} ms = {shards * shard:.1f} s) + {last:.1f} s for the last shard"
    )
    return start + max(shares, shards * shard) + last, text


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--preprocess", type=click.Path(exists=True, path_type=Path), required=True, help="As `run` takes it.")
@click.option("--profile", default="ort", show_default=True)
@click.option("--workers", default="1,2", show_default=True, help="Numbers of processes, beginning with 1.")
@click.option("--pictures", "count", default=64, show_default=True, help="How many pictures of the folder.")
@click.option("--shard", "size", default=2, show_default=True, help="Pictures of a shard, in the measurement.")
@click.option("--empty", default=2000, show_default=True, help="How many shards that do nothing.")
@click.option("--turns", default=3, show_default=True, help="How often everything is measured.")
@click.option("--scheduler", help="Also measure an empty shard on this Dask cluster.")
def main(
    model: Path,
    folder: Path,
    preprocess: Path,
    profile: str,
    workers: str,
    count: int,
    size: int,
    empty: int,
    turns: int,
    scheduler: str | None,
) -> None:
    """Measure the engine with MODEL on the pictures of FOLDER."""
    numbers = [int(text) for text in workers.split(",")]
    if numbers[0] != 1:
        raise click.UsageError("--workers begins with 1, which the others are compared with")
    before = load_average()
    nothing = shards_of([str(index) for index in range(empty)], 1)
    of_shards = observations(Nothing(), nothing, numbers, turns)
    names = sorted(str(path) for path in folder.iterdir() if is_picture(path))[:count]
    job = Classify(Blobs(model.read_bytes()), profile, read_preprocessing(preprocess))
    of_pictures = observations(job, shards_of(names, size), numbers, turns)
    handed = min(handing_out(names) for _ in range(turns))
    clustered = _clustered(nothing, scheduler)
    _show_shards(of_shards, _kept(nothing), clustered)
    _show_pictures(of_pictures, size)
    most = of_pictures[numbers[-1]]
    sent = (of_shards[numbers[-1]] if clustered is None else clustered).here
    click.echo(
        f"To hand out {IN_A_SHARD} pictures takes this process {1000 * handed:.1f} ms to read, hash and pickle them, "
        f"and {1000 * sent:.1f} ms to send them{'' if clustered is None else ' to a cluster'} and to take the result.\n"
    )
    click.echo(f"{PICTURES:,} pictures, {IN_A_SHARD} in a shard:\n")
    for cores in CORES:
        seconds, text = projection(most.start, most.item, handed + sent, cores)
        click.echo(f"- {cores} cores: {seconds:,.0f} s = {text}")
    click.echo()
    for name, value in host_facts(before).items():
        click.echo(f"{name}: {value}")


def _kept(shards: Sequence[Shard]) -> float:
    """Return the seconds of this process to compute an empty shard and to keep its result."""
    before = _own()
    with tempfile.TemporaryDirectory() as folder:
        run_shards(Nothing(), shards, workers=1, results=Path(folder))
    return (_own() - before) / len(shards)


def _clustered(shards: Sequence[Shard], scheduler: str | None) -> Observed | None:
    return None if scheduler is None else observe(Nothing(), shards, 2, scheduler=scheduler)


def _show_shards(found: dict[int, Observed], kept: float, clustered: Observed | None) -> None:
    rows = [[str(number), *_milliseconds(one.wall, one.here, one.item)] for number, one in found.items()]
    rows.append(["1, results kept", "", f"{1000 * kept:.2f}", ""])
    if clustered is not None:
        rows.append(["Dask", *_milliseconds(clustered.wall, clustered.here, clustered.item)])
    click.echo("A shard that does nothing, in ms:\n")
    Table(["processes", "wall", "processor, here", "processor, worker"], rows).show()


def _show_pictures(found: dict[int, Observed], size: int) -> None:
    one = found[1]
    rows = [
        [
            str(number),
            f"{this.start:.1f}" if number > 1 else "",
            *_milliseconds(this.wall, this.item, this.least, this.here / size),
            f"{one.wall / this.wall:.2f}",
            f"{number * one.item / (this.item + this.here / size):.2f}",
            f"{number * one.least / (this.least + this.here / size):.2f}",
        ]
        for number, this in found.items()
    ]
    click.echo("A picture, in ms, and what more processes gain:\n")
    columns = [
        "processes",
        "start of each, s",
        "wall",
        "processor",
        "least",
        "here",
        "gain, wall",
        "processor",
        "least",
    ]
    Table(columns, rows).show()


def _milliseconds(*seconds: float) -> list[str]:
    return [f"{1000 * one:.2f}" for one in seconds]


if __name__ == "__main__":
    main()
