"""Every operator and every small network through every command: nothing ends in anything but what is documented.

    python -m tools.verify.sweep                                every operator, one case each, and the networks
    python -m tools.verify.sweep -n 20 --zoo ZOO                20 cases each, and the models of a folder
    python -m tools.verify.sweep --mutants 1000 --seed 7        mutated models instead
    python -m tools.verify.sweep --only QLinearConv --seed 7 -v

A model goes through inspect, card, run, diff, golden in every format, stimulate, explain of every layer at several
elements, and, with its own tensors as the dump and with one fault planted after the other, through compare (table,
JSON, HTML, JUnit) and identify; it is reduced, and the conformance cases of its operators are made and scored. A
finding is an exception that is not ours, a warning of NumPy, an exit code that is not documented, or a verdict of
compare that is wrong. Prints a Markdown table; exits 1 where anything was found.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.testing import CliRunner
from numpy.typing import NDArray

import qdqnp
from qdqnp.cli import cli
from qdqnp.cli.net import DONE, MISMATCH, REFUSED
from qdqnp.conformance.table import LAYERS
from qdqnp.errors import QdqnpError
from qdqnp.golden_sets.formats import formats
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.lowering import LOWERINGS
from qdqnp.model import Model
from tests.networks import dla
from tests.ops.cases import CASES
from tests.ops.cases.floats import BITWISE, CLOSE
from tools.fuzz.fuzz_mutate import mutate
from tools.fuzz.fuzz_seeds import seeds

Array = NDArray[Any]
Tensors = dict[str, Array]
PROFILES = "ort,tflite,exact"
# A model with more layers is not explained layer by layer, but at as many of them; the second: in the short form.
MOST_LAYERS, FEWEST_LAYERS = 12, 2
#: A command that fails whatever its arguments are.
NEVER = "false"
OPERATORS = {**CASES, **{f"float {name}": case for name, case in (*BITWISE.items(), *CLOSE.items())}}


@dataclass(frozen=True)
class Subject:
    """A model to take through the commands."""

    #: What it is called in findings.
    name: str
    #: The model's file.
    data: bytes
    #: Inputs for it; random ones where there are none.
    inputs: Mapping[str, Array] = field(default_factory=dict)


@dataclass
class Tally:
    """What came of the commands."""

    #: Number of runs, by command and end: an exit code, or 'finding'.
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: What was found, by its kind: where, and the trace or the output.
    findings: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, text: str) -> None:
        self.findings.setdefault(kind, []).append(text)


# -- faults ------------------------------------------------------------------------------------------------------------
def one_off(array: Array) -> Array:
    """One element is off by one."""
    found = array.copy()
    flat = found.reshape(-1)
    flat[-1:] = flat[-1:] + 1 if flat.dtype.kind == "f" else flat[-1:] ^ 1
    return found


def stuck(array: Array) -> Array:
    """Everything is the first element."""
    return np.full_like(array, array.reshape(-1)[0]) if array.size else array


def clamped(array: Array) -> Array:
    """The upper half of the range is missing."""
    return np.minimum(array, np.sort(array, axis=None)[array.size // 2]) if array.size else array


def shifted(array: Array) -> Array:
    """The elements are one place further."""
    return np.roll(array.reshape(-1), 1).reshape(array.shape)


def scaled(array: Array) -> Array:
    """Another scale: halves."""
    return np.asarray(array / 2).astype(array.dtype)


def turned(array: Array) -> Array:
    """The last two axes are exchanged, their sizes kept."""
    found = np.swapaxes(array, -1, -2) if array.ndim > 1 else array.reshape(-1)[::-1]
    return found.reshape(array.shape).copy()


FAULTS: Sequence[Callable[[Array], Array]] = (one_off, stuck, clamped, shifted, scaled, turned)


# -- commands ----------------------------------------------------------------------------------------------------------
class Course:
    """One model's way through all commands."""

    def __init__(self, subject: Subject, tally: Tally, rng: random.Random, folder: Path, short: bool) -> None:
        self._subject, self._tally, self._rng, self._folder, self._short = subject, tally, rng, folder, short
        self._model = folder / "m.onnx"
        self._count = 0

    def take(self) -> None:
        """Run every command that the model allows."""
        self._model.write_bytes(self._subject.data)
        for words in ([], ["--json"], *(["--lowering", name] for name in LOWERINGS), ["--profile", "tflite"]):
            self._run("inspect", self._model, *words)
        self._run("card", self._model, "--json")
        self._run(
            "card", self._model, "--device", "stm32n6", "--html", self._new("c.html"), "--markdown", self._new("d.md")
        )
        try:
            loaded = qdqnp.load(self._model)
            feeds = dict(self._subject.inputs) or next(iter(random_feeds(loaded.program(), 1, self._rng.randrange(99))))
        except QdqnpError:
            self._run("golden", self._model, "--out", self._new("g"))
            self._run("stimulate", self._model, "--out", self._new("s"))
            return
        inputs = self._npz("inputs", feeds)
        self._plain(feeds, inputs)
        if not self._short:
            self.take_apart(loaded)
        for profile in PROFILES.split(",")[: 1 if self._short else None]:
            self._golden(loaded, feeds, inputs, profile)

    def _plain(self, feeds: Tensors, inputs: Path) -> None:
        given = ("--input", inputs)
        for words in ([], ["--codes", "--json"], ["--output", self._new("o.npz"), "--profile", "tflite"]):
            self._run("run", self._model, *given, *words)
        for words in ([], ["--json"]):
            self._run("diff", self._model, *given, "--profiles", PROFILES, *words)
        self._run("diff", self._model, "--prove", "--profiles", PROFILES)
        self._run("quality", self._model, self._model, "--data", inputs, "--json")
        labelled = self._npz("labelled", {**feeds, "y": np.zeros(1, np.int64)})
        self._run("eval", self._model, "--data", labelled, "--workers", 1, "--json")
        self._run("golden", self._model, "--random", 2, "--out", self._new("g"), "--format", ",".join(formats()))
        self._run("stimulate", self._model, "--out", self._new("s"), "--count", 1, "--steps", 2, "--json")

    def take_apart(self, loaded: Model) -> None:
        """Reduce the model under a command that always fails; make and score a case of each operator in it."""
        self._run("reduce", self._model, "--while", NEVER, "--out", self._new("r.onnx"), "--json")
        for op in sorted({step.op for step in loaded.program().steps} & set(LAYERS)):
            pack = self._new("pack")
            made = self._run("conformance", "make", "--operator", op, "--limit", 1, "--out", pack, "--json")
            if made == "0":
                for words in ([NEVER, "--all", "--junit", self._new("p.xml")], ["qdqnp", "--json"]):
                    self._run("conformance", "run", pack, "--runtime", *words)

    def _golden(self, model: Model, feeds: Tensors, inputs: Path, profile: str) -> None:
        """Write a golden set under a profile, then hold dumps against it, and explain what they show."""
        golden = self._new("gold")
        if self._run("golden", self._model, "--input", inputs, "--profile", profile, "--out", golden) != "0":
            return
        trace = model.trace(feeds, profile=profile)
        steps = model.program(profile).steps
        if not steps:  # all of it is constants, or left out
            return
        right = {name: trace[name] for step in steps for name in step.output_names}
        self._compare(golden, right, right, steps[-1].op)
        self._run("identify", golden, self._npz("dump", right), "--json")
        for number, fault in enumerate(FAULTS if self._short else self._rng.sample(FAULTS, len(FAULTS))):
            where = self._rng.choice(list(right))
            wrong = {**right, where: fault(right[where])}
            self._compare(golden, right, wrong, steps[-1].op)
            if profile == "ort" and not self._short:
                self._run("identify", golden, self._npz("dump", wrong))
            if profile == "ort" and number == 0:  # the search takes longer than all the rest
                self._run("identify", golden, self._npz("dump", wrong), "--fit", self._new("f.toml"))
        if profile == "ort":
            self._explain(model, inputs, right)

    def _compare(self, golden: Path, right: Tensors, dumped: Tensors, op: str) -> None:
        """Compare a dump, and check the verdict: 0 if and only if every bit is right."""
        dump = self._npz("dump", dumped)
        junit, html = self._new("j.xml"), self._new("h.html")
        end = self._run("compare", golden, dump, "--all", "--junit", junit, "--html", html)
        if not self._short:
            self._run("compare", golden, dump, "--json", "--envelope")
        same = all(dumped[name].tobytes() == right[name].tobytes() for name in right)
        if end in "01" and junit.exists() and html.exists():
            try:
                ET.parse(junit)
            except ET.ParseError as error:
                self._tally.note(f"compare: JUnit XML that is none: {op}", f"{self._subject.name}: {error}")
            if same and end != "0":
                self._tally.note(f"compare: a right dump is called wrong: {op}", self._subject.name)

    def _explain(self, model: Model, inputs: Path, right: Tensors) -> None:
        steps = list(enumerate(model.program().steps))
        most = FEWEST_LAYERS if self._short else MOST_LAYERS
        for number, step in self._rng.sample(steps, min(len(steps), most)):
            self._stimulate(number)
            array = right[step.output_names[0]]
            places = {0, array.size - 1, self._rng.randrange(max(array.size, 1))}
            for place in sorted(place for place in places if 0 <= place < array.size):
                index = ",".join(map(str, np.unravel_index(place, array.shape))) if array.ndim else ""
                common = ("explain", self._model, "--input", inputs, "--layer", number, "--index", index)
                got = self._rng.choice(
                    (0, 1, -128, 255, int(np.clip(np.nan_to_num(float(array.reshape(-1)[place])), -9e9, 9e9)) + 1)
                )
                self._run(*common, "--profiles", PROFILES, "--got", got)
                self._run(*common, "--json")

    def _stimulate(self, layer: int) -> None:
        words = ("--layer", layer, "--out", self._new("s"))
        self._run("stimulate", self._model, *words, *(() if self._short else ("--discriminate", "ort,tflite")))

    # -- one command ---------------------------------------------------------------------------------------------------
    def _new(self, suffix: str) -> Path:
        self._count += 1
        return self._folder / f"{self._count}{suffix}"

    def _npz(self, name: str, arrays: Mapping[str, Array]) -> Path:
        path = self._new(f"{name}.npz")
        with path.open("wb") as file:
            np.savez(file, **dict(arrays))  # type: ignore[arg-type]
        return path

    def _run(self, command: str, *words: object) -> str:
        """Run a command and return how it ended: '0', '1', '2', or 'finding'."""
        arguments = [command, *map(str, words)]
        end = run(arguments, self._tally, f"{self._subject.name}: qdqnp {' '.join(arguments)}")
        self._tally.ends[command, end] += 1
        return end


def run(arguments: Sequence[str], tally: Tally, where: str) -> str:
    """Run one command below the net that would hide its exceptions; return how it ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = CliRunner().invoke(cli, list(arguments), standalone_mode=False)
    error = result.exception
    if error is None or isinstance(error, SystemExit):
        code = result.return_value if error is None else error.code
        if code in (None, DONE, MISMATCH, REFUSED):
            if "--json" in arguments and code != 2:
                try:
                    json.loads(result.stdout, parse_constant=no_json)
                except ValueError as error:
                    tally.note(f"{arguments[0]}: JSON that is none: {error}", where)
            return str(code or DONE)
        tally.note(f"exit code {code}", where)
        return "finding"
    if isinstance(error, QdqnpError | click.UsageError):
        return str(REFUSED)
    tally.note(kind(error), f"{where}\n{''.join(traceback.format_exception(error))}")
    return "finding"


def no_json(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def kind(error: BaseException) -> str:
    """Return the error's class and the innermost line of qdqnp."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/qdqnp/" in frame.filename]
    where = f"{frames[-1].filename.rsplit('/qdqnp/')[-1]}:{frames[-1].lineno} {frames[-1].name}" if frames else "?"
    return f"{type(error).__name__} in {where}: {str(error)[:80]}"


# -- subjects ----------------------------------------------------------------------------------------------------------
def operator_subjects(names: Sequence[str], cases: int, seed: int) -> Iterator[Subject]:
    """Yield cases of each operator."""
    for name in names:
        for index in range(cases):
            case = OPERATORS[name](np.random.default_rng(seed + index))
            yield Subject(f"{name} {seed + index}", case.model.SerializeToString(), case.inputs)


def network_subjects(folder: Path | None) -> Iterator[Subject]:
    """Yield small networks of the tests, and the models of a folder."""
    for name, model in (("dla", dla(size=8)), ("dla uint8", dla(seed=1, size=8, dtype=np.uint8, batch="N"))):
        yield Subject(name, model.SerializeToString())
    for path in sorted(folder.glob("*.onnx")) if folder is not None else ():
        yield Subject(path.stem, path.read_bytes())


def mutated_subjects(count: int, seed: int) -> Iterator[Subject]:
    """Yield mutated models of every operator."""
    models = seeds()
    for index in range(count):
        yield Subject(f"mutant {seed + index}", mutate(random.Random(seed + index), models))


def sweep(subjects: Iterable[Subject], seed: int, *, short: bool = False, verbose: bool = False) -> tuple[Tally, int]:
    """Take all subjects through all commands; return what came of it, and how many subjects there were.

    subjects: the models.
    seed: the seed of every choice.
    short: whether to spare profiles and variants of commands.
    verbose: whether to say how long each took.
    """
    tally, number = Tally(), 0
    for number, subject in enumerate(subjects, 1):
        start, folder = time.perf_counter(), Path(tempfile.mkdtemp())
        try:
            Course(subject, tally, random.Random(seed + number), folder, short).take()
        finally:
            shutil.rmtree(folder)
        if verbose:
            click.echo(f"{subject.name}: {time.perf_counter() - start:.2f} s", err=True)
    return tally, number


def table(tally: Tally, models: int) -> str:
    ends = sorted({end for _, end in tally.ends})
    lines = ["| command | " + " | ".join(ends) + " |", "|---" * (len(ends) + 1) + "|"]
    for command in sorted({command for command, _ in tally.ends}):
        lines.append(f"| {command} | " + " | ".join(str(tally.ends[command, end]) for end in ends) + " |")
    return "\n".join(
        [*lines, "", f"{models} models, {tally.ends.total()} commands, {len(tally.findings)} kinds of findings"]
    )


@click.command(help=__doc__)
@click.option("-n", "--cases", default=1, show_default=True, help="Cases of each operator.")
@click.option("--seed", default=0, show_default=True, help="First seed.")
@click.option("--only", "names", multiple=True, type=click.Choice(sorted(OPERATORS)), help="Only these operators.")
@click.option("--zoo", type=click.Path(exists=True, path_type=Path), help="A folder of models, as of make_zoo.")
@click.option("--mutants", type=click.IntRange(1), help="As many mutated models instead.")
@click.option("--short", is_flag=True, help="One profile, and fewer commands: what the tests run.")
@click.option("-v", "--verbose", is_flag=True, help="Print what each finding is, and how long each model took.")
def main(
    cases: int, seed: int, names: tuple[str, ...], zoo: Path | None, mutants: int | None, short: bool, verbose: bool
) -> None:
    if mutants is not None:
        subjects = mutated_subjects(mutants, seed)
    else:
        networks = iter(()) if names else network_subjects(zoo)
        subjects = (s for many in (operator_subjects(names or sorted(OPERATORS), cases, seed), networks) for s in many)
    tally, models = sweep(subjects, seed, short=short, verbose=verbose)
    click.echo(table(tally, models))
    for what, places in sorted(tally.findings.items()):
        click.echo(f"\n{len(places)} x {what}\n  {places[0] if verbose else places[0].splitlines()[0]}", err=True)
    sys.exit(1 if tally.findings else 0)


if __name__ == "__main__":
    main()
