"""Run one mutated file for tools/fuzz/fuzz.py (load, inspect, run), and decide what counts as a finding."""

from __future__ import annotations

import contextlib
import copy
import os
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.errors import QdqnpError
from qdqnp.executor.threads import one_blas_thread
from qdqnp.inspection.layers import inspect
from qdqnp.model import Model, load
from qdqnp.program import Program, Tensor
from tools.fuzz.fuzz_mutate import mutate

MEMORY = 2 * 2**30
SECONDS = 10
LARGEST_INPUT = 2**10  # elements: who calls `run` has memory for the arrays that he passes
LONGEST_MESSAGE = 2**20
STAGES = ("load", "inspect", "run")
# Events that code in a file could cause; none of them is needed to read a model.
FORBIDDEN = (
    "subprocess.",
    "socket.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.listdir",
    "os.scandir",
    "shutil.",
    "pickle.",
    "ctypes.dlopen",
    "exec",
    "compile",
    "urllib.",
    "tempfile.",
    "import",
)


class TooSlow(BaseException):
    """Raised by the alarm. It is not an Exception, so that no handler on the way takes it for something else."""


class TouchedError(Exception):
    """Raised where the code touched a file that it must not touch, or started something."""


@dataclass(frozen=True)
class Finding:
    """One fault that a file caused."""

    #: Where it happened, so that the same fault is counted once.
    kind: str
    #: The stage that was running: load, inspect or run.
    stage: str
    #: The traceback.
    trace: str


@dataclass
class Tally:
    """The counts over many files."""

    #: Number of files.
    files: int = 0
    #: Bytes of all files.
    bytes: int = 0
    #: Number of files by stage that ended without an error.
    reached: Counter[str] = field(default_factory=Counter)
    #: Number of files that qdqnp refused, by "stage ErrorClass".
    refused: Counter[str] = field(default_factory=Counter)
    #: Number of findings by kind.
    findings: Counter[str] = field(default_factory=Counter)
    #: Seconds and index of the slowest file.
    slowest: tuple[float, int] = (0.0, -1)
    #: Peak resident bytes of the process, and the index of the file that raised it.
    largest: tuple[int, int] = (0, -1)

    def add(self, other: Tally) -> None:
        self.files += other.files
        self.bytes += other.bytes
        for name in ("reached", "refused", "findings"):
            getattr(self, name).update(getattr(other, name))
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)

    @staticmethod
    def sum(tallies: Iterable[Tally]) -> Tally:
        total = Tally()
        for tally in tallies:
            total.add(tally)
        return total


class Sandbox:
    """A folder with a model's data files and traps, and a watch over which files are opened."""

    def __init__(self, folder: Path) -> None:
        self.secret = folder / "secret.bin"
        self.folder = folder / "model"
        (self.folder / "sub").mkdir(parents=True)
        self.secret.write_bytes(bytes(4096))
        (self.folder / "w.bin").write_bytes(bytes(4096))
        (self.folder / "sub" / "v.bin").write_bytes(bytes(48))
        (self.folder / "hard.bin").hardlink_to(self.folder / "w.bin")
        for name, target in (("inner", "w.bin"), ("link", "../secret.bin"), ("up", ".."), ("loop", "loop")):
            (self.folder / name).symlink_to(target)
        os.mkfifo(self.folder / "pipe")
        self._watching = False
        self._broken: str | None = None
        with one_blas_thread():  # what this imports, and looks up, at its first use
            pass
        sys.addaudithook(self._audit)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Raise TouchedError at the end where something was touched that must not be."""
        self._watching, self._broken = True, None
        try:
            yield
        finally:
            self._watching = False
            if self._broken is not None:
                raise TouchedError(self._broken)

    def model_file(self, data: bytes) -> Path:
        """Write `data` as a file beside the data files."""
        path = self.folder / "m.onnx"
        watching, self._watching = self._watching, False  # the watch is for qdqnp, not for this
        path.write_bytes(data)
        self._watching = watching
        return path

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event == "open":
            path, mode = arguments[0], arguments[1]
            inside = isinstance(path, str) and Path(os.path.realpath(path)).is_relative_to(self.folder)
            if not inside or mode not in (None, "r", "rb"):
                self._broken = f"open {path!r} {mode!r}"
        elif event.startswith(FORBIDDEN):
            self._broken = f"{event} {arguments!r}"[:300]


@dataclass
class Case:
    """A mutated file."""

    #: The file's number in the run.
    index: int
    #: The file's bytes.
    data: bytes
    #: The profile that the file runs under.
    profile: str
    #: The source of everything else that the index decides.
    rng: random.Random


def make(seed: int, index: int, seeds: Sequence[Any], profiles: Sequence[str]) -> Case:
    rng = random.Random(seed * 2**40 + index)
    profile = rng.choice(profiles)
    return Case(index, mutate(rng, seeds), profile, rng)


class Runner:
    """Takes files through all stages, and keeps count."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.seen: Counter[str] = Counter()
        self._tally = Tally()
        self._sandbox = sandbox

    def run(self, case: Case) -> Finding | None:
        """Return what one file did that it must not do, or None."""
        start, before = time.perf_counter(), peak()
        finding = self.attempt(case, self._tally)
        self._tally.files += 1
        self._tally.bytes += len(case.data)
        self._tally.slowest = max(self._tally.slowest, (time.perf_counter() - start, case.index))
        if peak() > before:
            self._tally.largest = max(self._tally.largest, (peak(), case.index))
        if finding is not None:
            self._tally.findings[finding.kind] += 1
            self.seen[finding.kind] += 1
        return finding

    def probe(self, case: Case) -> Finding | None:
        """Run a case as `run` does, without counting it, and with the same choices each time."""
        return self.attempt(replace(case, rng=copy.deepcopy(case.rng)), Tally())

    def take_tally(self) -> Tally:
        taken, self._tally = self._tally, Tally()
        return taken

    def attempt(self, case: Case, tally: Tally) -> Finding | None:
        stage = "load"

        def enter(name: str) -> None:
            nonlocal stage
            tally.reached[stage] += 1
            stage = name

        try:
            with _alarm(), self._sandbox.watched():
                self._stages(case, enter)
            tally.reached[stage] += 1
        except QdqnpError as error:
            tally.refused[f"{stage} {type(error).__name__}"] += 1
            if len(str(error)) > LONGEST_MESSAGE:
                return Finding(f"a message of {len(str(error))} characters", stage, "")
        except (Exception, TooSlow) as error:
            return Finding(_kind(error), stage, "".join(traceback.format_exception(error)))
        return None

    def _stages(self, case: Case, enter: Callable[[str], None]) -> None:
        model = self._load(case)
        enter("inspect")
        plan = model.plan(case.profile)
        inspect(plan)
        feeds = random_feeds(plan.program, case.rng)
        if feeds is not None:
            enter("run")
            if case.rng.random() < 0.2:
                model.trace(feeds, profile=case.profile, accumulators=True, events=True)
            else:
                model.run(feeds, profile=case.profile)

    def _load(self, case: Case) -> Model:
        if b"location" in case.data or case.rng.random() < 0.02:
            return load(self._sandbox.model_file(case.data))
        return load(case.data)


def random_feeds(program: Program, rng: random.Random) -> dict[str, Any] | None:
    """Make small inputs: mostly of the right shape, with values of every sort. None where a small input cannot fit."""
    sizes = {}
    for name in program.inputs:
        for dim in program.tensors[name].shape:
            if not isinstance(dim, int):
                sizes.setdefault(dim, rng.choice((0, 1, 1, 1, 2, 3, 5)))
    feeds = {}
    for name in program.inputs:
        tensor = program.tensors[name]
        shape = [dim if isinstance(dim, int) else sizes[dim] for dim in tensor.shape]
        if rng.random() < 0.02:
            shape = [rng.choice((0, 1, 2)) for _ in range(rng.randrange(6))]
        count = 1
        for dim in shape:
            count *= max(dim, 1)
        if count > LARGEST_INPUT:
            return None
        feeds[name] = _array(program, tensor, shape, np.random.default_rng(rng.getrandbits(32)), rng)
    return feeds


ODD = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3.4e38, -3.4e38], np.float32)


def _array(program: Program, tensor: Tensor, shape: list[int], values: np.random.Generator, rng: random.Random) -> Any:
    dtype = tensor.dtype
    way = rng.random()
    if way < 0.02:
        dtype = np.dtype(rng.choice((np.int8, np.uint8, np.int64, np.float64, np.bool_, np.float16, "U3", object)))
    elif way < 0.1:
        codes = [s.outputs[0].quant for s in program.steps if s.op == "QuantizeLinear" and tensor.name in s.input_names]
        dtype = codes[0].dtype if codes and codes[0] is not None else dtype
    if dtype.kind == "f":
        made = values.standard_normal(shape) * 10.0 ** rng.randrange(-3, 4)
        if rng.random() < 0.2:
            made = np.where(values.random(shape) < 0.2, values.choice(ODD, shape), made)
        with np.errstate(all="ignore"):
            return np.asarray(made, dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return values.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return np.zeros(shape, dtype)


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(signum: int, frame: Any) -> None:
    raise TooSlow


def limit_process() -> None:
    """Limit the process: 2 GiB of address space, the alarm, and warnings of NumPy as errors, because an unnoticed
    overflow is a fault.

    What it has from its parent does not count: BLAS reserves 40 MB for each of a machine's processors.
    """
    most = MEMORY + address_space()
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    catch_alarm()
    warnings.simplefilter("error")


def catch_alarm() -> None:
    signal.signal(signal.SIGALRM, _ring)


def address_space() -> int:
    """Return the bytes of address space that this process has; 0 where the system does not say."""
    told = Path("/proc/self/statm")
    return int(told.read_text().split()[0]) * resource.getpagesize() if told.exists() else 0


def peak() -> int:
    """Return the peak resident bytes of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _kind(error: BaseException) -> str:
    """Return the error's class and the innermost line of qdqnp."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f"{os.sep}qdqnp{os.sep}" in f.filename]
    if not frames:
        return f"{type(error).__name__}: {str(error)[:80]}"
    where = frames[-1].filename.rsplit(f"{os.sep}qdqnp{os.sep}")[-1]
    return f"{type(error).__name__} in {where}:{frames[-1].lineno} {frames[-1].name}"
