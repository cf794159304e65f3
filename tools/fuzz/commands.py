"""Commands on mutated files: models, inputs, golden sets, dumps, manifests, mappings, profiles, devices, pictures.

    python -m tools.fuzz.commands                                10,000 commands on one core
    python -m tools.fuzz.commands -n 200000 --jobs 2 --seed 7
    python -m tools.fuzz.commands --only 4711 --seed 7           one command again, its files kept in --out

Command k of a run depends on --seed and k alone. It runs in a process of the fuzzer, below the net that turns what
escapes into a line, with 2 GiB of address space and 10 s of CPU. A finding is an exception that is not ours, a warning,
an exit code that is not documented, a recognizer that failed, JSON or XML that is none, a file written, changed or left
behind that is no output of the command, more memory, more time, or a dead process. Findings go to --out. Prints a
Markdown table; exits 1 where anything was found.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import json
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from qdqnp.cli import cli
from qdqnp.cli.net import DONE, MISMATCH, REFUSED
from qdqnp.errors import QdqnpError
from qdqnp.golden_sets.formats import formats
from tools.fuzz.command_files import Kit, Originals, lay, originals
from tools.fuzz.command_mutate import TEXTS, disturb, forge, mutate_file
from tools.fuzz.fuzz import BLOCK, KEPT, run
from tools.fuzz.fuzz_case import SECONDS, Finding, Tally, TooSlow, limit_process, peak
from tools.fuzz.fuzz_seeds import seeds
from tools.verify.sweep import kind, no_json

PATIENCE = 90.0  # seconds until a process counts as hung; other processes may have the CPU
VICTIM = b"must stay as it is"
MOST_FITTED = 3  # layers
# What compare prints of a recognizer that raised something.
FAILED = re.compile(r"'[\w. ]+' failed: \w+: [^\n]{0,60}")
PROFILES = ("ort", "ort", "ort", "ort", "tflite", "tflite", "exact", "neural-art-1.1.3", "tosa-double", "pow2")


class LeftError(Exception):
    """Raised where a command wrote, changed or left behind what is no output of it."""


# -- one command -------------------------------------------------------------------------------------------------------
@dataclass
class Command:
    """One command with its files."""

    #: The number in the run.
    index: int
    #: The arguments; paths are relative to the folder that it runs in.
    words: list[str]
    #: The files, mutated.
    files: dict[str, bytes]
    #: The outputs, which are no inputs.
    outputs: tuple[str, ...]
    #: Whether something else is put in the place of a file or folder.
    disturbed: bool
    #: The source of what the index decides later.
    rng: random.Random


class Drawing:
    """Draws the arguments of one command, and notes which files it reads and which it writes."""

    def __init__(self, rng: random.Random, kit: Kit, made: Originals) -> None:
        self.rng, self.kit, self.made = rng, kit, made
        self.reads: list[str] = []
        self.outputs: list[str] = []
        self.files: dict[str, bytes] = dict(kit.files)
        self.files.update(made.common)

    def given(self, *names: str) -> str:
        """Return one of the names; it is read, if the kit has it."""
        name = self.rng.choice([n for n in names if any(f == n or f.startswith(f"{n}/") for f in self.files)])
        self.reads.append(name)
        return name

    def new(self, name: str) -> str:
        """Return the name of an output."""
        self.outputs.append(name)
        return name

    def profile(self) -> str:
        if self.rng.random() < 0.6:
            return self.rng.choice(PROFILES)
        return self.given(*(name for name in self.files if name.startswith("p_")))

    def maybe(self, share: float, *words: str) -> list[str]:
        return list(words) if self.rng.random() < share else []

    def layer(self) -> str:
        if self.rng.random() < 0.1:
            return self.rng.choice(TEXTS).replace("\0", "0")
        return str(self.rng.randrange(max(self.kit.layers, 1)))

    def element(self, layer: str) -> str:
        if self.rng.random() < 0.1 or not layer.isdigit() or int(layer) >= len(self.kit.shapes):
            return self.rng.choice(("", "0", "-1", "0,0,0,0", "9999999999999999999999", "a", "0,", "1.5", "0,0"))
        return ",".join(str(self.rng.randrange(max(size, 1))) for size in self.kit.shapes[int(layer)])


def _inspect(d: Drawing) -> list[str]:
    words = ["inspect", d.given("m.onnx"), *d.maybe(0.5, "--json")]
    if d.rng.random() < 0.2:
        return [*words, "--node-data", d.new(d.rng.choice(("nodes.json", "nodes.onnx")))]
    if d.rng.random() < 0.3:
        return [*words, "--lowering", d.rng.choice(("ort", "ort-x64", "ort-unfused"))]
    return [*words, "--profile", d.profile()]


def _card(d: Drawing) -> list[str]:
    words = ["card", d.given("m.onnx"), "--profile", d.profile(), *d.maybe(0.3, "--json")]
    words += [*d.maybe(0.2, "--host-float"), *d.maybe(0.7, "--device", d.given("device.toml"))]
    return [*words, *(["--html", d.new("h.html"), "--markdown", d.new("h.md")] if d.rng.random() < 0.4 else [])]


def _run(d: Drawing) -> list[str]:
    words = ["run", d.given("m.onnx"), "--input", d.given("in.npz", "in.npy"), "--profile", d.profile()]
    words += [*d.maybe(0.3, "--codes"), *d.maybe(0.3, "--json"), *d.maybe(0.2, "--labels", d.given("labels.txt"))]
    return [*words, *(["--output", d.new(d.rng.choice(("out.npz", "out.json")))] if d.rng.random() < 0.3 else [])]


def _pictures(d: Drawing) -> list[str]:
    d.files["net.onnx"] = d.made.pictured
    pictures = [name for name in d.files if name.startswith("pictures/")]
    words = ["run", "net.onnx", "--input", d.given(*pictures, *pictures, "pixels.npy", "pictures")]
    words += ["--preprocess", d.given("pre.toml")] if d.rng.random() < 0.7 else ["--resize", "8x8", "--scale", "1/255"]
    return [*words, *d.maybe(0.3, "--labels", d.given("labels.txt")), *d.maybe(0.5, "--json")]


def _eval(d: Drawing) -> list[str]:
    d.files["net.onnx"] = d.made.pictured
    words = ["eval", "net.onnx", "--column", f"b=net.onnx:{d.profile()}", "--data", d.given("set", "set", "set.npz")]
    words += ["--preprocess", d.given("pre.toml"), "--workers", "1", *d.maybe(0.5, "--host-float")]
    words += [
        *d.maybe(0.3, "--class-names", d.given("labels.txt")),
        *d.maybe(0.5, "--skip-bad"),
        *d.maybe(0.4, "--json"),
    ]
    words += ["--html", d.new("h.html")] if d.rng.random() < 0.3 else []
    return [*words, *(["--csv", d.new("e.csv")] if d.rng.random() < 0.2 else [])]


def _diff(d: Drawing) -> list[str]:
    profiles = f"{d.rng.choice(PROFILES)},{d.profile()}"
    words = ["--prove"] if d.rng.random() < 0.3 else ["--input", d.given("in.npz")]
    return ["diff", d.given("m.onnx"), *words, "--profiles", profiles, *d.maybe(0.5, "--json")]


def _quality(d: Drawing) -> list[str]:
    d.files = dict(d.made.quantized)
    words = ["quality", d.given("float.onnx"), d.given("int8.onnx"), "--data", d.given("x.npz")]
    words += [*d.maybe(0.3, "--what-if"), *d.maybe(0.2, "--greedy", "1"), *d.maybe(0.4, "--json")]
    words += d.maybe(0.3, "--mapping", d.given("pairs.toml"))
    return [*words, *(["--html", d.new("q.html")] if d.rng.random() < 0.2 else [])]


def _golden(d: Drawing) -> list[str]:
    words = ["golden", d.given("m.onnx"), "--input", d.given("in.npz", "in.npy"), "--profile", d.profile()]
    words += ["--format", ",".join(d.rng.sample(list(formats()), d.rng.choice((1, 1, 2)))), *d.maybe(0.2, "--cmsis-nn")]
    if d.rng.random() < 0.25:
        return [*words, "--out", d.given("gold"), "--force"]  # over a golden set that is no longer one
    return [*words, "--out", d.new("out")]


def _stimulate(d: Drawing) -> list[str]:
    words = ["stimulate", d.given("m.onnx"), "--count", "1", "--steps", "1", "--profile", d.profile()]
    words += [*d.maybe(0.7, "--layer", d.layer()), *d.maybe(0.3, "--discriminate", f"ort,{d.profile()}")]
    return [*words, *d.maybe(0.3, "--json"), "--out", d.new("out")]


def _conformance(d: Drawing) -> list[str]:
    d.files.update(d.made.pack)
    return ["conformance", "run", d.given("pack"), "--runtime", "qdqnp", "--timeout", "5", *d.maybe(0.5, "--json")]


def _reduce(d: Drawing) -> list[str]:
    return ["reduce", d.given("m.onnx"), "--while", "false", "--code", "1", "--out", d.new("small.onnx")]


def _explain(d: Drawing) -> list[str]:
    layer = d.layer()
    words = ["explain", d.given("m.onnx"), "--input", d.given("in.npz"), "--layer", layer, "--index", d.element(layer)]
    words += [*d.maybe(0.5, "--profiles", f"ort,{d.profile()}"), *d.maybe(0.4, "--json")]
    return [*words, *d.maybe(0.5, "--got", str(d.rng.choice((0, 1, -128, 255, 127, 2**31, -(2**63), 10**30))))]


def _compare(d: Drawing) -> list[str]:
    words = ["compare", d.given("gold"), d.given("d.npz", "d.npz", "d_npy", "d_bin", "d.json")]
    if d.rng.random() < 0.1:
        return [*words, "--write-mapping", d.new(d.rng.choice(("new.toml", "new.json")))]
    words += d.maybe(0.7 * (words[2] == "d.npz"), "--mapping", d.given("map.toml", "map.json"))
    words += d.maybe(0.15, "--profile", d.profile())
    words += [*d.maybe(0.3, "--envelope"), *d.maybe(0.3, "--partial"), *d.maybe(0.3, "--all"), *d.maybe(0.3, "--json")]
    words += ["--junit", d.new("j.xml")] if d.rng.random() < 0.3 else []
    words += ["--html", d.new("h.html")] if d.rng.random() < 0.3 else []
    words += ["--node-data", d.new("nodes.json")] if d.rng.random() < 0.2 else []
    tolerances = ("1", "0", "QLinearAdd=1", "layer:0=2", "x", "1e9", "-1", "=", "layer:=1")
    return [*words, *d.maybe(0.2, "--tolerance", d.rng.choice(tolerances)), *d.maybe(0.1, "--case", "1")]


def _identify(d: Drawing) -> list[str]:
    words = [
        "identify",
        d.given("gold"),
        d.given("d.npz", "d.npz", "d_npy", "d_bin", "d.json"),
        *d.maybe(0.5, "--json"),
    ]
    words += [*d.maybe(0.2, "--mapping", d.given("map.toml", "map.json")), *d.maybe(0.2, "--model", d.given("m.onnx"))]
    words += d.maybe(0.95, "--profiles", f"{d.rng.choice(PROFILES)},{d.profile()}")
    if d.kit.layers > MOST_FITTED:  # the search for a network takes seconds on valid files, and is meant to
        return words
    return [*words, *(["--fit", d.new("fit.toml")] if d.rng.random() < 0.1 else [])]


def _probes(d: Drawing) -> list[str]:
    d.files = dict(d.made.probes)
    words = ["identify", d.given("probes"), d.given("answers"), *d.maybe(0.5, "--json")]
    return [*words, *(["--fit", d.new("fit.toml")] if d.rng.random() < 0.1 else [])]


def _profiles(d: Drawing) -> list[str]:
    name = d.given(*(name for name in d.files if name.startswith("p_")))
    return ["profiles", "show", name, *d.maybe(0.5, "--toml")]


def _st(d: Drawing) -> list[str]:
    d.files = {**d.made.compiled, "m.onnx": d.kit.files["m.onnx"]}
    what = d.rng.choice(("read", "read", "read", "memory", "dump-hook"))
    words = ["st", what, d.given("st0", "st1"), *d.maybe(0.1, d.given("st0", "st1"))]
    words += d.maybe(0.1, "--model", d.given("m.onnx"))
    if what == "dump-hook":
        return [*words, "--out", d.new("new.c")]
    words += d.maybe(0.5, "--json")
    if what == "memory":
        return words
    words += ["--graph", d.new("new.onnx")] if d.rng.random() < 0.1 else []
    return [*words, *(["--out", d.new("new.toml")] if d.rng.random() < 0.5 else [])]


#: How a command is drawn, and how often: those that read more kinds of files more often, slow ones more seldom.
DRAWN: Sequence[tuple[Callable[[Drawing], list[str]], float]] = (
    (_inspect, 8),
    (_card, 6),
    (_run, 14),
    (_pictures, 12),
    (_diff, 8),
    (_quality, 4),
    (_eval, 10),
    (_golden, 10),
    (_stimulate, 6),
    (_conformance, 2),
    (_reduce, 0.5),
    (_explain, 10),
    (_compare, 22),
    (_identify, 6),
    (_probes, 0.3),
    (_profiles, 8),
    (_st, 12),
)


def draw(seed: int, index: int, made: Originals, models: Sequence[Any]) -> Command:
    """Draw a command, and mutate one to three of the files that it reads."""
    rng = random.Random(seed * 2**40 + index)
    drawing = Drawing(rng, rng.choice(made.kits), made)
    words = rng.choices([function for function, _ in DRAWN], [weight for _, weight in DRAWN])[0](drawing)
    used = set(words) | set(",".join(words).split(","))  # what is drawn is not always taken
    read = [name for name in drawing.reads if name in used]
    files = {
        n: d for n, d in drawing.files.items() if any(n == r or n.startswith(f"{r}/") for r in (*read, "net.onnx"))
    }
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        below = rng.choice(read)  # a folder's files together as often as one file
        name = rng.choice([n for n in files if n == below or n.startswith(f"{below}/")])
        if below == "gold" and rng.random() < 0.3:
            name = "gold/manifest.json"
        files[name] = mutate_file(rng, name, files[name], models)
    if "gold" in read and rng.random() < 0.8:
        forge(files)
    return Command(index, words, files, tuple(drawing.outputs), rng.random() < 0.03, rng)


class CommandRunner:
    """Runs commands in a folder of their own, and keeps count."""

    def __init__(self, folder: Path) -> None:
        self.seen: Counter[str] = Counter()
        self._tally = Tally()
        self._root, self._work, self._victim = folder, folder / "work", folder / "victim"
        self._victim.write_bytes(VICTIM)

    def take_tally(self) -> Tally:
        taken, self._tally = self._tally, Tally()
        return taken

    def run(self, command: Command) -> Finding | None:
        """Run a command; return what it did that it must not do, or None."""
        self._lay(command)
        start, before = time.process_time(), peak()
        try:
            end, finding = self._attempt(command)
        finally:
            os.chdir(self._root)
            shutil.rmtree(self._work)
        tally, name = self._tally, command.words[0]
        tally.files += 1
        tally.bytes += sum(map(len, command.files.values()))
        tally.reached[f"{name} {end}"] += 1
        tally.slowest = max(tally.slowest, (time.process_time() - start, command.index))
        if peak() > before:
            tally.largest = max(tally.largest, (peak(), command.index))
        if finding is not None:
            tally.findings[finding.kind] += 1
            self.seen[finding.kind] += 1
        return finding

    def _lay(self, command: Command) -> None:
        self._work.mkdir()
        os.chdir(self._work)
        lay(command.files, self._work)
        if command.disturbed:
            disturb(command.rng, self._work, self._victim)

    def _attempt(self, command: Command) -> tuple[str, Finding | None]:
        before = self._state()
        try:
            with alarm():
                end, text = invoke(command.words)
            self._check(command, before, text)
        except (Exception, TooSlow) as error:
            return "finding", Finding(kind(error), command.words[0], "".join(traceback.format_exception(error)))
        return end, None

    def _state(self) -> dict[str, tuple[int, int, int]]:
        found = {}
        for path in self._root.rglob("*"):
            status = path.lstat()
            found[path.relative_to(self._root).as_posix()] = (
                (status.st_mode, 0, 0) if path.is_dir() else (status.st_ino, status.st_size, status.st_mtime_ns)
            )
        return found

    def _check(self, command: Command, before: dict[str, tuple[int, int, int]], text: str) -> None:
        """Raise where the command left anything but its outputs, or printed that a recognizer failed."""
        allowed = [f"work/{name}" for name in command.outputs]
        if "--force" in command.words:
            allowed.append("work/gold")
        after = self._state()
        for name in sorted(before.keys() | after.keys()):
            mine = any(name == output or name.startswith(f"{output}/") for output in allowed)
            if not mine and before.get(name) != after.get(name):
                raise LeftError(f"{command.words[0]}: {name.replace('work/', '')}")
        if self._victim.read_bytes() != VICTIM:
            raise LeftError(f"{command.words[0]}: victim")
        failed = FAILED.search(text)
        if failed is not None:
            raise LeftError(failed.group())
        for name in command.outputs:
            if name.endswith(".xml") and (self._work / name).exists():
                ET.parse(self._work / name)


@contextmanager
def alarm() -> Iterator[None]:
    """Raise TooSlow after SECONDS of CPU."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def invoke(words: Sequence[str]) -> tuple[str, str]:
    """Run a command line below the net; return its exit code, and what it printed. Raises what is not ours."""
    result = CliRunner().invoke(cli, list(words), standalone_mode=False)
    error, text = result.exception, result.output
    if isinstance(error, QdqnpError | click.UsageError):
        return str(REFUSED), text + str(error)
    if error is not None and not isinstance(error, SystemExit):
        raise error
    code = result.return_value if error is None else error.code
    if code not in (None, DONE, MISMATCH, REFUSED):
        raise LeftError(f"exit code {code}")
    if "--json" in words and code != REFUSED:
        json.loads(result.stdout, parse_constant=no_json)
    return str(code or DONE), text


# -- many commands -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Commands:
    """The settings that decide every command of a run."""

    #: Seed of the run.
    seed: int
    #: Folder for findings.
    out: Path
    #: What is mutated.
    made: Originals = field(repr=False)
    #: Models from which parts are taken.
    models: Sequence[Any] = field(repr=False)

    def command(self, index: int) -> Command:
        return draw(self.seed, index, self.made, self.models)

    def work(self, indices: range, at: Any, pipe: Connection) -> None:
        """Run one process, as fuzz.Settings.work does."""
        limit_process()
        prepare()
        with tempfile.TemporaryDirectory() as folder:
            runner = CommandRunner(Path(folder).resolve())
            for done, index in enumerate(indices, 1):
                at.value = index
                command = self.command(index)
                finding = runner.run(command)
                if finding is not None and runner.seen[finding.kind] <= KEPT:
                    self.save(index, finding)
                if done % BLOCK == 0:
                    pipe.send(runner.take_tally())
            pipe.send(runner.take_tally())
            pipe.send(None)
            os.chdir("/")

    def died(self, index: int, kind: str) -> None:
        self.save(index, Finding(kind, "unknown", ""))

    def save(self, index: int, finding: Finding) -> None:
        """Save the files, and a text with the command line and what it did."""
        command, folder = self.command(index), self.out / str(index)
        lay(command.files, folder)
        if command.disturbed:
            disturb(command.rng, folder, folder / "victim")
        text = f"{finding.kind}\nindex {index}: qdqnp {' '.join(map(repr, command.words))}\n\n{finding.trace}"
        (self.out / f"{index}.txt").write_text(text, "utf-8", "backslashreplace")


def prepare() -> None:
    """Have CPU time ring, and what the commands import lazily imported, before memory and time are counted."""
    signal.signal(signal.SIGPROF, signal.getsignal(signal.SIGALRM))
    warnings.simplefilter("error")


def report(tally: Tally, seconds: float, jobs: int) -> str:
    names = sorted({key.rpartition(" ")[0] for key in tally.reached})
    ends = sorted({key.rpartition(" ")[2] for key in tally.reached})
    lines = ["| command | " + " | ".join(ends) + " |", "|---" + "|--:" * len(ends) + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{tally.reached[f'{name} {end}']:,}" for end in ends) + " |" for name in names
    ]
    lines += [
        "",
        f"{tally.files:,} commands (mean {tally.bytes // max(1, tally.files):,} bytes of files), "
        f"{tally.findings.total():,} findings of {len(tally.findings)} kinds; slowest {tally.slowest[0]:.2f} s of CPU "
        f"({tally.slowest[1]}), peak resident {tally.largest[0] / 2**20:.0f} MiB ({tally.largest[1]}), "
        f"{seconds:.0f} s with {jobs} processes",
    ]
    return "\n".join(lines + [f"FINDING: {count:,} x {what}" for what, count in tally.findings.most_common()])


@click.command(help=__doc__)
@click.option("-n", "--commands", "count", default=10_000, show_default=True, help="Commands.")
@click.option("--seed", default=0, show_default=True, help="Another seed, other commands.")
@click.option("--first", default=0, show_default=True, help="Index of the first command.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("fuzz-findings"),
    show_default=True,
    help="Folder of the findings.",
)
@click.option("--only", type=int, help="Only the command of this index.")
def main(count: int, seed: int, first: int, jobs: int, out: Path, only: int | None) -> None:
    settings = Commands(seed, out.resolve(), originals(), seeds())
    if only is not None:
        first, count = only, 1
    tally, seconds = run(settings, count, jobs, first, PATIENCE)
    click.echo(report(tally, seconds, jobs))
    if only is not None and (settings.out / f"{only}.txt").exists():
        click.echo((settings.out / f"{only}.txt").read_text("utf-8"))
    sys.exit(bool(tally.findings))


if __name__ == "__main__":
    main()
