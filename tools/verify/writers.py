"""Kill every command that writes at random moments, fill its disk, and run two of it at once: what is left behind?

    python -m tools.verify.writers --kills 200 --disks 50 --races 50 --markdown writers.md

Whatever happens, what is not the command's output has the bytes that it had; the output is absent (or the old one,
where it may be replaced) or whole, byte for byte that of an undisturbed run; and after the next run of the command
nothing else is left. A command runs in a fork of this process, so that a kill hits the command and not Python's start.
Half of the kills come at any moment, half after the command has begun to write. A full disk is a tmpfs, for which this
must run as root, with as little room as the round has it; without it, a limit on the size of files.

Exit code 0: nothing was found. 1: something was.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import click
import numpy as np
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp import golden_sets
from qdqnp.cli import COMMANDS, cli
from tests.st.writing import random_network, write_folder
from tools.bench.tables import Table, write_results

Contents = dict[str, bytes | None]
KIB = 1024
DONE, REFUSED = 0, 2
HIDDEN = ".qdqnp-"


@dataclass(frozen=True)
class Writing:
    """A command that writes."""

    #: The name in the table.
    name: str
    #: The arguments; {out} is the output, {seed} tells the old one from the new one.
    arguments: str
    #: The output's name.
    out: str
    #: Whether an older output is in the way, which --force replaces.
    force: bool = False
    #: Exit codes of a run that is not disturbed.
    codes: tuple[int, ...] = (DONE,)

    def command(self, given: Path, seed: int = 1) -> list[str]:
        text = self.arguments.format(out=self.out, seed=seed, given=given)
        return [*text.split(), *(["--force"] if self.force else [])]


COMPARED = "compare {given}/golden {given}/dump.npz"
WRITINGS = (
    Writing("golden", "golden {given}/net.onnx --random 3 --seed {seed} --format npz,bin,c --out {out}", "set"),
    Writing("golden --force", "golden {given}/net.onnx --random 3 --seed {seed} --out {out}", "set", force=True),
    Writing("stimulate", "stimulate {given}/net.onnx --layer conv --seed {seed} --out {out}", "stimuli"),
    Writing("stimulate --force", "stimulate {given}/net.onnx --layer conv --seed {seed} --out {out}", "s", force=True),
    Writing("capture", "capture {given}/net.onnx --device board:run --random 3 --seed {seed} --out {out}", "dump"),
    Writing("probe", "probe --out {out}", "probes"),
    Writing("conformance make", "conformance make --operator Flatten --limit 4 --out {out}", "pack"),
    Writing("reduce", "reduce {given}/net.onnx --while false --out {out}", "small.onnx"),
    Writing("run", "run {given}/net.onnx --input {given}/x{seed}.npy --output {out}", "y.npz"),
    Writing("run --force", "run {given}/net.onnx --input {given}/x{seed}.npy --output {out}", "y.npz", force=True),
    Writing("compare --html", f"{COMPARED} --html {{out}}", "report.html", codes=(0, 1)),
    Writing("compare --junit", f"{COMPARED} --junit {{out}}", "report.xml", codes=(0, 1)),
    Writing("compare --write-mapping", f"{COMPARED} --write-mapping {{out}}", "mapping.toml"),
    Writing("st read --out", "st read {given}/compiled --out {out}", "compiled.toml"),
    Writing("st dump-hook", "st dump-hook {given}/compiled --out {out}", "hook.c"),
    Writing("identify --fit", "identify {given}/golden {given}/dump.npz --fit {out}", "fit.toml", codes=(0, 1)),
)


@dataclass
class Found:
    """What the rounds of one command gave."""

    #: Rounds of each sort, and how often the output was absent, old and new after a kill.
    counts: dict[str, int] = field(default_factory=dict)
    #: What is wrong, in words.
    faults: list[str] = field(default_factory=list)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def contents(folder: Path) -> Contents:
    """Return the bytes of every file below a folder, None for folders."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def is_being_written(folder: Path) -> bool:
    """Return whether something in a folder is under construction, or left over."""
    return any(path.name.startswith(HIDDEN) for path in folder.iterdir())


# -- running -----------------------------------------------------------------------------------------------------------
def start(command: Sequence[str], folder: Path, limit: int | None = None) -> int:
    """Start a command in a fork of this process, in a folder, and return its process id.

    command: the arguments of qdqnp.
    folder: the current folder of the process.
    limit: the largest size of a file, in bytes; None for any.
    """
    child = os.fork()
    if child:
        return child
    code = 120
    try:
        os.chdir(folder)
        silent = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(silent, descriptor)
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        cli.main(args=list(command), prog_name="qdqnp", standalone_mode=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 121
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a process, and return its exit code; negative where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(child: int, folder: Path, delay: float, writing: bool) -> int:
    """Kill a process after a delay, which starts when it begins to write where `writing` says so."""
    while writing and not is_being_written(folder):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
    end = time.monotonic() + delay
    while time.monotonic() < end:
        pass  # a sleep is not as exact
    os.kill(child, signal.SIGKILL)
    return ended(child)


class Rounds:
    """The rounds of one command, each in a folder of its own with a file of the user's in it."""

    def __init__(self, writing: Writing, given: Path, place: Path, rng: random.Random) -> None:
        self.writing, self.given, self.rng, self.found = writing, given, rng, Found()
        self.folder = place / "work"
        self.old, _ = self._undisturbed(2)
        self.new, self.seconds = self._undisturbed(1)

    def _undisturbed(self, seed: int) -> tuple[Contents, float]:
        """Return the output of a run that nothing disturbs, and how long it takes."""
        self._fresh(old=False)
        began = time.monotonic()
        code = ended(start(self.writing.command(self.given, seed), self.folder))
        seconds = time.monotonic() - began
        if code not in self.writing.codes:
            raise click.ClickException(f"{self.writing.name}: exit code {code} of an undisturbed run")
        return self._output(), seconds

    def _fresh(self, old: bool) -> None:
        """Make the folder anew: a user's files, and the old output where there is one."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "notes.txt").write_bytes(b"years of work")
        (self.folder / ".qdqnp").write_bytes(b"of the user, too")
        (self.folder / "board.py").write_text("def run(inputs):\n    return {'y': inputs['x'] * 2}\n")
        if old and self.writing.force:
            for name, data in self.old.items():
                path = self.folder / name
                path.mkdir() if data is None else path.write_bytes(data)

    def _output(self) -> Contents:
        return {name: data for name, data in contents(self.folder).items() if name.split("/")[0] == self.writing.out}

    def _check(self, what: str, allowed: Sequence[Contents], left_over: bool) -> None:
        """Note what is wrong in the folder.

        what: the round, in words.
        allowed: what the output may be.
        left_over: whether something may still be under construction.
        """
        there = contents(self.folder)
        mine = {name: there.get(name) for name in ("notes.txt", ".qdqnp")}
        if mine != {"notes.txt": b"years of work", ".qdqnp": b"of the user, too"}:
            self.found.faults.append(f"{what}: a file of the user's was lost")
        if self._output() not in allowed:
            self.found.faults.append(f"{what}: an output that is not whole: {sorted(self._output())[:5]}")
        rest = [
            name
            for name in there
            if "/" not in name and name not in ("notes.txt", ".qdqnp", "board.py", "__pycache__", self.writing.out)
        ]
        if any(not name.startswith(HIDDEN) for name in rest) or (rest and not left_over):
            self.found.faults.append(f"{what}: {rest[:5]} left over")

    @property
    def _before(self) -> Contents:
        return self.old if self.writing.force else {}

    def kill(self) -> None:
        """Kill one run, then run the command once more."""
        self._fresh(old=True)
        writing = self.rng.random() < 0.5
        delay = self.rng.random() * (0.1 if writing else 1.1) * self.seconds
        code = killed(start(self.writing.command(self.given), self.folder), self.folder, delay, writing)
        self.found.count("kills" if code == -signal.SIGKILL else "ended before")
        self._check("after a kill", [self._before, self.new], left_over=True)
        if is_being_written(self.folder):
            self.found.count("kills with something left over")
        if self._output() == self.new and not self.writing.force:
            shutil.rmtree(self.folder / self.writing.out, ignore_errors=True)
            (self.folder / self.writing.out).unlink(missing_ok=True)
        code = ended(start(self.writing.command(self.given), self.folder))
        if code not in self.writing.codes:
            self.found.faults.append(f"the run after a kill: exit code {code}")
        self._check("the run after a kill", [self.new], left_over=False)

    def race(self) -> None:
        """Run the command twice at once, for the same output."""
        self._fresh(old=True)
        other = self.old if self.writing.force else self.new
        children = [start(self.writing.command(self.given, seed), self.folder) for seed in self._seeds]
        codes = [ended(child) for child in children]
        good = [code in self.writing.codes for code in codes]
        self.found.count("races")
        if not any(good) or any(not fine and code != REFUSED for fine, code in zip(good, codes, strict=True)):
            self.found.faults.append(f"two at once: exit codes {codes}")
        self._check("two at once", [self.new, other], left_over=False)

    @property
    def _seeds(self) -> tuple[int, int]:
        return (1, 2) if self.writing.force else (1, 1)

    def full(self, limited: Callable[[Path, int], Iterator[int | None]], room: int, needed: int) -> None:
        """Run the command on a disk with `room` bytes left of the `needed` ones."""
        self._fresh(old=True)
        with contextmanager(limited)(self.folder, room) as limit:
            code = ended(start(self.writing.command(self.given), self.folder, limit))
        self.found.count("full disks" if code == REFUSED else "disks that were large enough")
        if code not in (REFUSED, *self.writing.codes):
            self.found.faults.append(f"{room} bytes of {needed} left: exit code {code}")
        expected = self.new if code in self.writing.codes and code != REFUSED else self._before
        self._check(f"{room} bytes of {needed} left", [expected], left_over=False)


# -- a disk that is full -----------------------------------------------------------------------------------------------
def ballast(folder: Path, room: int) -> Iterator[int | None]:
    """Leave a number of bytes on the file system of a folder, which is a tmpfs."""
    path = folder.parent / "ballast"
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free - room, 1))
    try:
        yield None
    finally:
        path.unlink()


def limit_of_files(folder: Path, room: int) -> Iterator[int | None]:
    """Let no file become larger than a number of bytes."""
    yield room


@contextmanager
def disk(place: Path) -> Iterator[bool]:
    """Mount a tmpfs, and say whether that could be done."""
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={64 * KIB}k", "none", str(place)]
    mounted = shutil.which("mount") is not None and subprocess.run(options, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


# -- what the commands are given ---------------------------------------------------------------------------------------
def prepare(given: Path) -> None:
    """Write a network, two inputs, a golden set and a dump with an error."""
    given.mkdir()
    rng = np.random.default_rng(0)
    constants = {
        "xs": np.float32(0.1),
        "xz": np.int8(3),
        "w": rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "ws": np.float32(0.02),
        "wz": np.int8(0),
        "ys": np.float32(0.3),
        "yz": np.int8(-5),
    }
    node = helper.make_node("QLinearConv", ["x", *constants], ["y"], "conv")
    inputs = [helper.make_tensor_value_info("x", TensorProto.INT8, [1, 3, 8, 8])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT8, None)]
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph([node], "net", inputs, outputs, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (given / "net.onnx").write_bytes(model.SerializeToString())
    xs = [rng.integers(-128, 128, (1, 3, 8, 8)).astype(np.int8) for _ in range(2)]
    for index, x in enumerate(xs):
        np.save(given / f"x{index + 1}.npy", x)
    golden_sets.write(given / "golden", given / "net.onnx", [{"x": xs[0]}], 1)
    y = qdqnp.load(given / "net.onnx").run(xs[0])["y"].copy()
    y.reshape(-1)[5] ^= 1
    np.savez(given / "dump.npz", y=y)
    write_folder(given / "compiled", random_network(np.random.default_rng(0)))


@click.command()
@click.option("--kills", default=200, show_default=True, help="Kills of each command.")
@click.option("--disks", default=50, show_default=True, help="Full disks for each command.")
@click.option("--races", default=50, show_default=True, help="Pairs of runs at once of each command.")
@click.option("--only", multiple=True, help="Only these commands, by their names in the table.")
@click.option("--seed", default=0, show_default=True, help="Seed of the moments.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the table to a file.")
def main(kills: int, disks: int, races: int, only: tuple[str, ...], seed: int, markdown: Path | None) -> None:
    for name in COMMANDS:
        import_module(f"qdqnp.cli.{name}")  # before any fork: a kill is to hit a command, not its imports
    rng = random.Random(seed)
    rows, faults = [], 0
    with tempfile.TemporaryDirectory() as folder, disk(Path(folder) / "disk") as mounted:
        given = Path(folder) / "given"
        prepare(given)
        for writing in (one for one in WRITINGS if not only or one.name in only):
            rounds = Rounds(writing, given, Path(folder) / "disk", rng)
            for _ in range(5 * kills):
                if rounds.found.counts.get("kills", 0) < kills:
                    rounds.kill()
            for _ in range(races):
                rounds.race()
            needed = sum(len(data or b"") + 4 * KIB for data in rounds.new.values())
            for index in range(disks):
                room = int(needed * 1.2 * index / max(disks, 1)) if mounted else index * 64
                rounds.full(ballast if mounted else limit_of_files, room, needed)
            counts, found = rounds.found.counts, rounds.found.faults
            sorts = ("kills", "kills with something left over", "ended before", "races", "full disks")
            rows.append([writing.name, *(str(counts.get(sort, 0)) for sort in sorts), str(len(found))])
            faults += len(found)
            click.echo("  ".join(rows[-1]), err=True)
            for fault in found[:10]:
                click.echo(f"{writing.name}: {fault}", err=True)
    heads = ("command", "killed", "left something", "ended before", "two at once", "full disks", "found")
    table = Table(heads, rows)
    table.show()
    write_results({}, table.markdown(), None, markdown)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
