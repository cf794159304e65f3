"""Mutated model files through load, inspect and run: a result or an error of our own, within 2 GiB and 10 s each.

    python -m tools.fuzz.fuzz                                   10,000 files on one core
    python -m tools.fuzz.fuzz -n 1000000 --jobs 2 --seed 7
    python -m tools.fuzz.fuzz --only 4711 --seed 7              one file again, with its traceback
    python -m tools.fuzz.fuzz --atheris                         guided by coverage, where atheris is installed

File k of a run depends on --seed, --profiles and k alone. Findings (other exceptions, warnings of NumPy, files opened
outside the model's folder, more time, more memory, a dead process) go to --out: the file, made as small as is easy,
and its traceback. Prints a Markdown table; exits 1 where anything was found.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tools.fuzz.fuzz_case import SECONDS, Case, Finding, Runner, Sandbox, Tally, limit_process, make
from tools.fuzz.fuzz_seeds import seeds
from tools.fuzz.fuzz_shrink import shrink

KEPT = 3  # examples kept of each kind of finding, by each process
GRACE = 5  # seconds after the alarm until a process counts as hung
BLOCK = 200  # files between two reports of a worker
PROCESSES = multiprocessing.get_context("fork")  # the seeds are made once


@dataclass(frozen=True)
class Settings:
    """The settings that decide every file of a run."""

    #: Seed of the run.
    seed: int
    #: Names of the profiles that files run under.
    profiles: tuple[str, ...]
    #: Folder for findings.
    out: Path
    #: The valid models that are mutated.
    models: Sequence[Any] = field(repr=False)

    def case(self, index: int) -> Case:
        return make(self.seed, index, self.models, self.profiles)

    def work(self, indices: range, at: Any, pipe: Connection) -> None:
        """Run one process.

        indices: the files to take.
        at: the index of the file under way, for the parent to see where this process died or hung.
        pipe: where counts and findings are sent.
        """
        limit_process()
        with tempfile.TemporaryDirectory() as folder:
            runner = Runner(Sandbox(Path(folder).resolve()))
            for done, index in enumerate(indices, 1):
                at.value = index
                finding = runner.run(self.case(index))
                if finding is not None and runner.seen[finding.kind] <= KEPT:
                    save(self.out, shrink(self.case(index), finding, runner), finding)
                if done % BLOCK == 0:
                    pipe.send(runner.take_tally())
            pipe.send(runner.take_tally())
            pipe.send(None)

    def died(self, index: int, kind: str) -> None:
        """Save the file that killed its process, or hung it."""
        save(self.out, self.case(index), Finding(kind, "unknown", ""))


class Work(Protocol):
    """What a Worker does in its process: fuzz.Settings for models, commands.Commands for commands."""

    def work(self, indices: range, at: Any, pipe: Connection) -> None: ...

    def died(self, index: int, kind: str) -> None: ...


def save(out: Path, case: Case, finding: Finding) -> None:
    """Save the file and what it did, under one name."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{case.index}.onnx").write_bytes(case.data)
    text = f"{finding.kind}\nstage {finding.stage}, profile {case.profile}, index {case.index}\n\n{finding.trace}"
    (out / f"{case.index}.txt").write_text(text)


class Worker:
    """A process over every jobs-th file, started again behind a file that kills it."""

    def __init__(self, settings: Work, indices: range, patience: float) -> None:
        """settings: what to do. indices: for which files. patience: seconds until one counts as hung."""
        self._settings, self._indices, self._patience = settings, indices, patience
        self.tally = Tally()
        self.done = not indices
        if indices:
            self._start()

    def _start(self) -> None:
        self._at = PROCESSES.Value("q", -1, lock=False)
        self.pipe, theirs = PROCESSES.Pipe(duplex=False)
        self._process = PROCESSES.Process(target=self._settings.work, args=(self._indices, self._at, theirs))
        self._process.start()
        theirs.close()
        self._seen, self._since = -1, time.monotonic()

    def poll(self) -> None:
        """Receive what the process says; end and replace it where it stays silent for too long."""
        while self.pipe.poll():
            try:
                found = self.pipe.recv()
            except EOFError:
                return self._died()
            if found is None:
                self.done = True
                return self._process.join()
            self.tally.add(found)
        if self._at.value != self._seen:
            self._seen, self._since = self._at.value, time.monotonic()
        elif time.monotonic() - self._since > self._patience:
            self._process.kill()
            self._process.join()
            self._replace(f"no answer for {self._patience} s")

    def _died(self) -> None:
        self._process.join()
        code = self._process.exitcode
        if code is None or code >= 0:
            raise RuntimeError(f"a fault of the fuzzer itself at file {self._at.value}: see above")
        self._replace(f"process killed by signal {-code}")

    def _replace(self, kind: str) -> None:
        """Continue behind the file under way. Up to BLOCK files before it drop out of the counts."""
        index = self._at.value
        self.tally.findings[kind] += 1
        self.tally.files += 1
        self._settings.died(index, kind)
        self._indices = range(index + self._indices.step, self._indices.stop, self._indices.step)
        self.done = not self._indices
        if not self.done:
            self._start()


def run(settings: Work, files: int, jobs: int, first: int, patience: float | None = None) -> tuple[Tally, float]:
    """Run all files; return the counts and the seconds they took.

    patience: seconds until a process counts as hung; the alarm and some grace if None.
    """
    start, limit = time.monotonic(), SECONDS + GRACE if patience is None else patience
    workers = [Worker(settings, range(first + job, first + files, jobs), limit) for job in range(jobs)]
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("files", total=files)
        while not all(worker.done for worker in workers):
            wait([worker.pipe for worker in workers if not worker.done], timeout=0.5)
            for worker in workers:
                if not worker.done:
                    worker.poll()
            total = Tally.sum(worker.tally for worker in workers)
            shown.update(task, completed=total.files, description=f"{sum(total.findings.values())} findings")
    return Tally.sum(worker.tally for worker in workers), time.monotonic() - start


def report(tally: Tally, seconds: float, jobs: int) -> str:
    rate = tally.files / seconds / jobs
    lines = [
        "| | |",
        "|---|--:|",
        f"| files | {tally.files:,} |",
        f"| mean size, bytes | {tally.bytes // max(1, tally.files):,} |",
        *(f"| {stage} gave a result | {tally.reached[stage]:,} |" for stage in ("load", "inspect", "run")),
        *(f"| refused by {name} | {count:,} |" for name, count in sorted(tally.refused.items())),
        f"| findings | {sum(tally.findings.values()):,} |",
        f"| slowest file, s (index) | {tally.slowest[0]:.2f} ({tally.slowest[1]}) |",
        f"| peak resident memory, MiB (index) | {tally.largest[0] / 2**20:.0f} ({tally.largest[1]}) |",
        f"| seconds | {seconds:.0f} |",
        f"| files per second and process | {rate:.0f} |",
    ]
    lines += [f"| FINDING: {kind} | {count:,} |" for kind, count in tally.findings.most_common()]
    return "\n".join(lines)


def again(settings: Settings, index: int) -> Finding | None:
    """Run one file, in this process."""
    limit_process()
    with tempfile.TemporaryDirectory() as folder:
        case = settings.case(index)
        finding = Runner(Sandbox(Path(folder).resolve())).run(case)
    if finding is not None:
        save(settings.out, case, finding)
        click.echo(f"{finding.kind}\n{finding.trace}")
    return finding


@click.command(help=__doc__)
@click.option("-n", "--files", default=10_000, show_default=True, help="Mutated files.")
@click.option("--seed", default=0, show_default=True, help="Another seed, other files.")
@click.option("--first", default=0, show_default=True, help="Index of the first file.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--profiles", default="ort,tflite,exact", show_default=True, help="One of them is drawn for each file.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("fuzz-findings"),
    show_default=True,
    help="Folder of the findings.",
)
@click.option("--only", type=int, help="Only the file of this index, in this process.")
@click.option(
    "--atheris",
    "guided",
    is_flag=True,
    help="Guided by coverage: see fuzz_atheris.py. Of the other options, -n and --seed count.",
)
def main(
    files: int, seed: int, first: int, jobs: int, profiles: str, out: Path, only: int | None, guided: bool
) -> None:
    if guided:
        os.execv(sys.executable, [sys.executable, "-m", "tools.fuzz.fuzz_atheris", f"-runs={files}", f"-seed={seed}"])
    settings = Settings(seed, tuple(profiles.split(",")), out, seeds())
    if only is not None:
        sys.exit(again(settings, only) is not None)
    tally, seconds = run(settings, files, jobs, first)
    click.echo(report(tally, seconds, jobs))
    sys.exit(bool(tally.findings))


if __name__ == "__main__":
    main()
