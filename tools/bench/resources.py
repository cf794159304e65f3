"""Measure what a process takes: peak memory, and the time from the start of a command to its first result.

    python -m tools.bench.resources net.onnx --markdown resources.md

Each candidate runs in processes of its own, which take turns; medians are shown. Memory is the peak of resident memory,
with Python, NumPy and whatever else the candidate imports.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from qdqnp.errors import Problem, QdqnpError
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.model import load
from qdqnp.peers.ort.session import KINDS
from tools.bench.bench import environment
from tools.bench.candidates import why_slow
from tools.bench.tables import Table, load_average, milliseconds, publish

#: Runs in a process, so that what a run keeps for the next one counts.
RUNS = 3
OURS = f"""
import sys, numpy, qdqnp
model, feeds = qdqnp.load(sys.argv[1]), dict(numpy.load(sys.argv[2]))
for _ in range({RUNS}):
    model.run(feeds, profile=sys.argv[3])
"""
THEIRS = f"""
import sys, json, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 4
for key, value in json.loads(sys.argv[3]).items():
    options.add_session_config_entry(key, value)
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feeds = dict(numpy.load(sys.argv[2]))
for _ in range({RUNS}):
    session.run(None, feeds)
"""
ALLOWED = '{"' + '": "'.join(next(iter(KINDS["ort"].config.items()))) + '"}'


def candidates(model: Path, feeds: Path, folder: Path) -> Mapping[str, Sequence[str]]:
    """Return the command of each candidate."""
    python, name = sys.executable, str(model)
    command = [python, "-m", "qdqnp"]
    golden = ["--random", "1", "--format", "npz", "--force", "--out", str(folder / "golden")]
    return {
        "qdqnp in Python": [python, "-c", OURS, name, str(feeds), "ort"],
        "qdqnp in Python, tflite": [python, "-c", OURS, name, str(feeds), "tflite"],
        "ONNX Runtime in Python, default session": [python, "-c", THEIRS, name, str(feeds), "{}"],
        "ONNX Runtime in Python, int8 allowed": [python, "-c", THEIRS, name, str(feeds), ALLOWED],
        "qdqnp --version": [*command, "--version"],
        "qdqnp run": [*command, "run", name, "--input", str(feeds), "--json"],
        "qdqnp golden": [*command, "golden", name, *golden],
    }


#: Starts a command and prints what it took. A process's peak counts from before its program was loaded, when it was a
#: copy of its parent: this parent is small.
STARTER = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, 1, 0)])
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def measure(command: Sequence[str]) -> dict[str, float]:
    """Run a command; return its wall time and processor time in milliseconds, and its peak memory in 10^6 bytes.

    Raises QdqnpError where the command fails.
    """
    starter = [sys.executable, "-S", "-c", STARTER, *command]
    done = subprocess.run(starter, env=environment(1), stdout=subprocess.PIPE, text=True, check=True)
    code, wall, cpu, peak = done.stdout.split()
    if int(code):
        problem = Problem("exit code", "0", code, " ".join(command[:6]))
        raise QdqnpError("a command that is measured has failed", [problem])
    scale = 1024 if sys.platform != "darwin" else 1  # Linux counts in KiB
    return {"wall_ms": 1000 * float(wall), "cpu_ms": 1000 * float(cpu), "peak_mb": float(peak) * scale / 1e6}


def measure_model(model: Path, repeats: int) -> dict[str, Any]:
    """Return the medians of every candidate for one model."""
    with tempfile.TemporaryDirectory() as folder:
        feeds = Path(folder) / "feeds.npz"
        np.savez(feeds, **next(random_feeds(load(model).program(), 1, seed=0)))  # type: ignore[arg-type]
        runs = candidates(model, feeds, Path(folder))
        found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, command in runs.items():
                found[name].append(measure(command))
    medians = {
        name: {key: statistics.median(each[key] for each in times) for key in times[0]} for name, times in found.items()
    }
    return {"model": model.name, "equal_elements": 0, "candidates": [], "resources": medians}


def resources_table(results: Sequence[Mapping[str, Any]]) -> Table:
    """Make one row for each candidate and model."""
    rows = [
        [result["model"], name, *(milliseconds(found[key]) for key in ("wall_ms", "cpu_ms", "peak_mb"))]
        for result in results
        for name, found in result["resources"].items()
    ]
    return Table(("model", "process", "wall ms", "processor ms", "peak memory, MB"), rows, texts=2)


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
@click.option("--markdown", "markdown_path", type=click.Path(dir_okay=False, path_type=Path), help="Write Markdown.")
def main(models: tuple[Path, ...], repeats: int, json_path: Path | None, markdown_path: Path | None) -> None:
    """Measure processes that load and run each MODEL, which does not leave sizes open."""
    load_before = load_average()
    try:
        results = [measure_model(model, repeats) for model in models]
        publish(resources_table(results), results, load_before, json_path, markdown_path, why_slow())
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
