"""Write a golden set: every chosen layer's tensors for every input, in the formats asked for, as one folder."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

from qdqnp.element_types import plain
from qdqnp.engine import Shard, Workplace, digest, each_shard
from qdqnp.errors import GoldenError, InputError, Problem, Problems, ProfileError
from qdqnp.executor.host import why_float
from qdqnp.executor.plan import Plan, on_host
from qdqnp.files.folder import Folder, Kind, new_folder
from qdqnp.find import find_steps
from qdqnp.golden_sets.capture import captured_tensors
from qdqnp.golden_sets.cases import CaseJob, repeated
from qdqnp.golden_sets.catalog import Catalog, Entry
from qdqnp.golden_sets.formats import WRITERS, Writer
from qdqnp.golden_sets.harness.writer import HarnessWriter
from qdqnp.golden_sets.manifest import (
    MANIFEST,
    MODEL,
    layer_documents,
    manifest,
    manifest_lines,
    model_document,
)
from qdqnp.golden_sets.names import distinct
from qdqnp.golden_sets.options import Options
from qdqnp.golden_sets.replace import contents_of, replaceable
from qdqnp.golden_sets.tensor import Document, GoldenTensor
from qdqnp.golden_sets.writers.raw import as_bytes
from qdqnp.limits import MAX_MANIFEST_BYTES, readable_bytes
from qdqnp.model import Model, load
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.quant import Array
from qdqnp.reader.embed import single_file
from qdqnp.reader.proto import Source

#: Names in C that no layer may have.
TAKEN = ("network", "under_test", "check_layer", "crc", "params")

GOLDEN_SET = Kind(
    "the golden set",
    "Choose fewer layers, roles, inputs or formats, or raise --limit-bytes.",
    GoldenError,
    contents_of,
)


def write(
    out: Path,
    source: Source,
    inputs: Iterable[Mapping[str, Array]],
    count: int,
    *,
    profile: str | Profile = "ort",
    options: Options | None = None,
    name: str = MODEL,
    seed: int | None = None,
    coverage: Mapping[str, Any] | None = None,
    force: bool = False,
    kind: Kind = GOLDEN_SET,
    announce: Callable[[int], None] = lambda size: None,
    progress: Callable[[], None] = lambda: None,
    **where: Unpack[Workplace],
) -> Document:
    """Write the set of a model under a profile to the folder `out`, and return its manifest without the checksums.

        out: the folder, which appears whole or not at all.
        source: the model.
        inputs: `count` sets of arrays by input name (real values, or codes), consumed one at a time: memory does not
            grow with them.
        count: number of inputs.
        profile: the arithmetic.
        options: what the set holds; the defaults of Options if None.
        name: the model's name, for the manifest.
        seed: the seed of the inputs, where they are random.
        coverage: what is known of the inputs, any JSON.
        force: whether to replace a golden set in the way; nothing else is ever replaced.
        kind: what messages call the set, and what they advise where it would be too large.
        announce: told how many bytes the set will have, about, once the first of several inputs is written.
        progress: called after each input.
        where: where all inputs but the first are computed: keyword arguments of qdqnp.engine.run_shards, one process
            without them. The set does not depend on it.

    Raises GoldenError for what cannot be written so, InputError for layers that do not exist, and ModelError,
    InputError and ProfileError as `Model.run` does.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from qdqnp import golden_sets
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> options = golden_sets.Options(layers=("level0.0",))
    >>> x = np.zeros((1, 3, 32, 32), np.float32)
    >>> written = golden_sets.write(Path("vectors"), shipped_model("dla46_c_int8"), [{"input": x}], 1, options=options)
    >>> [layer["op"] for layer in written["layers"]]
    ['QLinearConv']
    """
    chosen = options or Options()
    chosen.check()
    old = replaceable(out, force)
    model = load(source)
    data = single_file(source)
    plan, steps = _chosen(model, profile_named(profile), chosen.layers)
    with new_folder(out, kind, chosen.limit_bytes, old) as folder:
        if chosen.store_model:
            folder.append(MODEL, memoryview(data))
        run = _Run(folder, model, plan, steps, chosen, count, announce)
        run.cases(inputs, progress, where)
        run.finish()
        document = manifest(
            model=model_document(name, data, chosen.store_model),
            profile=plan.profile,
            lowering=plan.program.lowering,
            seed=seed,
            inputs=count,
            options=chosen,
            layers=run.layers,
            tensors=run.tensors(),
            files=folder.files(),
            coverage=coverage,
        )
        size = 0
        for text in manifest_lines(document, run.entries):
            size += len(text)
            if size > MAX_MANIFEST_BYTES:
                problem = Problem(MANIFEST, f"at most {readable_bytes(MAX_MANIFEST_BYTES)}", "more", kind.smaller)
                raise GoldenError("the golden set would be too large", [problem])
            folder.append(MANIFEST, memoryview(text.encode()))
    return document


def _chosen(model: Model, profile: Profile, layers: Sequence[str]) -> tuple[Plan, frozenset[int]]:
    """Return the plan, and the steps that are meant.

    Where layers are named, the rest of the network need not be defined: what is not runs in float32, and its values
    are marked. Raises ProfileError where a layer that is meant is not defined.
    """
    try:
        plan = model.plan(profile)
    except ProfileError:
        if not layers or profile.host_float:
            raise
        plan = model.plan(replace(profile, host_float=True))
        steps = frozenset(find_steps(plan.program, layers))
        problems = Problems()
        for index in sorted(steps):
            step = plan.program.steps[index]
            if floats := on_host(plan.program, step):
                got = f"{floats}: {why_float(plan.program, step)}"
                problems.add(f"layer '{step.label}'", "what the profile defines", got)
        problems.raise_if_any(f"the profile '{profile.name}' does not define layers of the set", ProfileError)
        return plan, steps
    return plan, frozenset(find_steps(plan.program, layers))


class _Run:
    """One set while it is being written."""

    def __init__(
        self,
        folder: Folder,
        model: Model,
        plan: Plan,
        steps: frozenset[int],
        options: Options,
        count: int,
        announce: Callable[[int], None],
    ) -> None:
        self._folder, self._plan, self._steps, self._options, self._count = folder, plan, steps, options, count
        self._model, self._announce = model, announce
        self._catalog = Catalog()
        self._writers: dict[str, Writer] = {
            name: WRITERS[name](folder, options, count) for name in dict.fromkeys(options.formats)
        }
        names = distinct([*TAKEN, *(bound.step.label for bound in plan.steps)])[len(TAKEN) :]
        for writer in self._writers.values():
            writer.layer_names = dict(enumerate(names))
        self.layers: list[Document] = []

    def cases(self, inputs: Iterable[Mapping[str, Array]], progress: Callable[[], None], where: Workplace) -> None:
        waiting = iter(inputs)
        try:
            first = next(waiting, None)
            if first is not None:
                self._first(first)
                progress()
                done = 1 + self._others(waiting, progress, where)
        except BaseException:
            for writer in self._writers.values():
                writer.abandon()
            raise
        if first is None or done != self._count:
            problem = Problem("inputs", str(max(self._count, 1)), "0" if first is None else str(done))
            raise InputError("not as many inputs as were announced", [problem])

    def _first(self, feeds: Mapping[str, Array]) -> None:
        """Write the first input, which decides what the set holds of each."""
        if self._options.harness:
            sizes = {name: feeds[name] for name in self._plan.size_inputs}
            found = self._plan.shapes({name: array.shape for name, array in feeds.items()}, sizes)
            self._writers["harness"] = HarnessWriter(self._folder, self._options, self._count, self._plan, found)
        if self._options.limit_flash:
            self._steps = self._fitting(feeds)
        before, constants = self._folder.written, 0
        shapes: dict[str, tuple[int, ...]] = {}
        with self._case(0):
            for tensor, array in captured_tensors(self._plan, feeds, self._steps, self._options):
                if tensor.shared:
                    shapes[tensor.name] = array.shape
                entry = self._catalog.new(tensor) if tensor.role in self._options.wanted else None
                if entry is not None:
                    start = self._folder.written
                    self._add(entry, tensor.order.stored(plain(array)), 0)
                    constants += 0 if tensor.varies else self._folder.written - start
        self.layers = layer_documents(self._plan, self._steps, shapes)
        each = self._folder.written - before - constants
        total = self._folder.written + (self._count - 1) * each
        self._folder.require(total)
        if self._count > 1:
            self._announce(total)

    def _others(self, inputs: Iterator[Mapping[str, Array]], progress: Callable[[], None], where: Workplace) -> int:
        """Write the other inputs, and return how many there are; what is not of the set is not computed."""
        keys = frozenset(entry.tensor.key for entry in self.entries if entry.repeats)
        job = CaseJob(self._model, self._plan.profile, self._steps, self._options, keys)
        wanted = enumerate(islice(inputs, max(0, self._count - 1)))
        shards = (Shard(index, dict(feeds), digest(feeds)) for index, feeds in wanted)
        case = 0
        chosen = Workplace(**{"workers": 1, **where})
        for case, captured in enumerate(each_shard(job, shards, **chosen), 1):
            with self._case(case):
                for entry, stored in repeated(captured, self._catalog, case):
                    self._add(entry, stored, case)
            progress()
        return case + sum(1 for _ in inputs)

    @contextmanager
    def _case(self, case: int) -> Iterator[None]:
        for writer in self._writers.values():
            writer.begin(case)
        yield
        for writer in self._writers.values():
            writer.end(case)

    def _add(self, entry: Entry, stored: Array, case: int) -> None:
        entry.crcs.append(zlib.crc32(as_bytes(stored)))
        for writer in self._writers.values():
            writer.add(entry, stored, case)

    def _fitting(self, feeds: Mapping[str, Array]) -> frozenset[int]:
        """Return as many of the layers as fit in the limit of flash, the smallest first; a tensor that two share is
        counted once. Raises GoldenError where none fits."""
        layers: dict[int, dict[str, int]] = {index: {} for index in self._steps}
        held: dict[str, int] = {}
        for tensor, _ in captured_tensors(self._plan, feeds, self._steps, self._options):
            if tensor.role in self._options.wanted:
                owner = held if tensor.index is None else layers[tensor.index]
                owner[tensor.name if tensor.shared else tensor.key] = self._flash(tensor)
        chosen, least = [], 0
        for index, own in sorted(layers.items(), key=lambda item: (sum(item[1].values()), item[0])):
            needed = sum((held | own).values())
            least = least or needed
            if needed <= self._options.limit_flash:
                held |= own
                chosen.append(index)
        if layers and not chosen:
            expected, got = f"at least {least} bytes, for the smallest layer", str(self._options.limit_flash)
            problem = Problem("option limit_flash", expected, got, "Choose fewer inputs or roles.")
            raise GoldenError("no layer fits in flash", [problem])
        return frozenset(chosen)

    def _flash(self, tensor: GoldenTensor) -> int:
        """Return the bytes of a tensor's array in C."""
        return tensor.nbytes * (self._count if tensor.varies else 1)

    def finish(self) -> None:
        entries = self._catalog.entries
        held: dict[int | None, int] = {}
        for entry in entries.values():
            if entry.same_as is None:
                index = entry.tensor.index
                held[index] = held.get(index, 0) + self._flash(entry.tensor)
        for layer in self.layers:
            layer["bytes"] = held.get(layer["index"], 0)
        if not entries:
            raise GoldenError(
                "an empty golden set", [Problem("tensors", "at least one", "none", "Choose other roles.")]
            )
        for writer in self._writers.values():
            writer.finish(entries, self.layers)

    @property
    def entries(self) -> Collection[Entry]:
        return self._catalog.entries.values()

    def tensors(self) -> Iterable[Document]:
        for entry in self.entries:
            found = {name: writer.place(entry) for name, writer in self._writers.items()}
            places = {name: place for name, place in found.items() if place}
            yield replace(entry.tensor, files=places).as_json()
