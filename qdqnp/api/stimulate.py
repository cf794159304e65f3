"""stimulate: which inputs reach the ends of an arithmetic, and what two arithmetics do differently?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from qdqnp.api.arguments import (
    AnyModel,
    AnyPath,
    AnyProfile,
    AnyShape,
    Operators,
    Texts,
    listed,
    name_of,
    opened,
    profile_with,
    profiles_of,
    shapes_of,
    source_of,
)
from qdqnp.api.progress import Progress, counter
from qdqnp.api.result import Result
from qdqnp.api.storage import StorageOptions, fields_of
from qdqnp.engine import Workplace
from qdqnp.errors import InputError, Problem
from qdqnp.golden_sets.manifest import MODEL
from qdqnp.golden_sets.options import Options
from qdqnp.golden_sets.replace import replaceable
from qdqnp.numerics.profile import Profile
from qdqnp.quant import Array
from qdqnp.stimuli.document import document
from qdqnp.stimuli.goals import REACHED
from qdqnp.stimuli.layer import for_layer
from qdqnp.stimuli.network import for_network, inputs_tried
from qdqnp.stimuli.result import StimulusSet
from qdqnp.stimuli.write import write


@dataclass(frozen=True, repr=False, eq=False)
class StimulateResult(Result, os.PathLike[str]):
    """Inputs worth testing with; where they were written, it stands for their folder."""

    #: Name of the model's file.
    model: str
    #: The inputs, what each met, and what was proven.
    found: StimulusSet
    #: The folder of the golden set; None where nothing was written.
    folder: Path | None

    columns = ("case", "kind", "method", "differing")

    def __fspath__(self) -> str:
        if self.folder is None:
            raise InputError("no folder", [Problem("stimulate", "out=, a folder", "none: nothing was written")])
        return str(self.folder)

    @property
    def inputs(self) -> list[Mapping[str, Array]]:
        """Return the inputs, each arrays by name: what the other functions take as `inputs`."""
        return [stimulus.inputs for stimulus in self.found.stimuli]

    def summary(self) -> str:
        found = self.found
        what = f"layer {found.label}, {found.op}" if found.label else "the network"
        reached = sum(verdict.verdict == REACHED for verdict in found.verdicts)
        goals = f", {reached} of {len(found.verdicts)} goals reached" if found.verdicts else ""
        wrote = f"; wrote {self.folder.name}" if self.folder is not None else ""
        return f"{len(found.stimuli)} inputs for {what} under {found.profile}{goals}{wrote}"

    def document(self) -> dict[str, Any]:
        return {"model": self.model, "profile": self.found.profile, **document(self.found)}

    def items(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = document(self.found)["cases"]
        return found


def stimulate(
    model: AnyModel,
    *,
    out: AnyPath | None = None,
    outputs: Texts = (),
    operators: Operators = (),
    layer: str | None = None,
    profile: AnyProfile = "ort",
    host_float: bool = False,
    discriminate: Texts | Iterable[AnyProfile] = (),
    count: int = 4,
    steps: int = 30,
    seed: int = 0,
    shape: AnyShape = (),
    exhaustive: bool = False,
    format: Texts = ("npz",),
    force: bool = False,
    workers: int | None = 1,
    scheduler: str | None = None,
    executor: Executor | None = None,
    results: AnyPath | None = None,
    progress: Progress | None = None,
    **storage: Unpack[StorageOptions],
) -> StimulateResult:
    """Make inputs that drive a model's arithmetic to where implementations differ, as `qdqnp stimulate` does.

        model: a path, bytes, an onnx.ModelProto, or what qdqnp.load returned.
        out: the folder of the golden set to write; None to write nothing.
        outputs: tensors to cut the model at.
        operators: classes of operators that qdqnp does not have, as qdqnp.load takes them.
        layer: one layer alone, by construction; the whole network, by search, if None.
        profile: the arithmetic.
        host_float: whether what the profile does not define runs in float32.
        discriminate: two profiles; also inputs on which they differ.
        count: number of random inputs; for a network also of inputs to search for.
        steps: inputs to try for each that is searched for.
        seed: seed of whatever is random.
        shape: sizes that the model leaves open: '1x3x32x32', a tuple, or by name; 1 if not given.
        exhaustive: whether to try everything, however long it takes.
        format: one or more of qdqnp.golden_sets.FORMATS.
        force: whether to replace a golden set that is in the way.
        workers: processes that compute a network's inputs, and the set; 1 is this one, None is one for each processor.
        scheduler: the address of a Dask cluster to compute on instead.
        executor: a concurrent.futures.Executor to compute in instead.
        results: a folder that keeps what is finished, from which an interrupted run goes on.
        progress: called with how many inputs of a search are done, and of how many.
        storage: how the set is stored, see `StorageOptions`.

    Raises InputError for a layer that there is not or that has no integer arithmetic, and for fewer or more than two
    profiles to tell apart; GoldenError, ModelError and ProfileError.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> found = qdqnp.stimulate(shipped_model("dla46_c_int8"), layer="fc", profile="tflite")
    >>> sorted({row["method"] for row in found.rows()})
    ['exact', 'pattern', 'random']
    """
    options = Options(formats=listed(format), **fields_of(storage))
    options.check()
    arithmetic, pair = profile_with(profile, host_float), _pair(discriminate, host_float)
    folder = None if out is None else Path(out)
    kept = None if results is None else Path(results)
    where = Workplace(workers=workers, scheduler=scheduler, executor=executor, results=kept)
    if folder is not None:
        replaceable(folder, force)
    loaded = opened(model, outputs, operators)
    sizes = shapes_of(shape, loaded.program(arithmetic).inputs)
    if layer is not None:
        found = for_layer(
            loaded, layer, arithmetic, against=pair, seed=seed, count=count, shapes=sizes, exhaustive=exhaustive
        )
    else:
        step = counter(inputs_tried(count, steps, pair is not None), "searching", progress)
        found = for_network(
            loaded,
            arithmetic,
            against=pair,
            seed=seed,
            count=count,
            steps=steps,
            shapes=sizes,
            notify=step,
            exhaustive=exhaustive,
            **where,
        )
    if folder is not None:
        source = source_of(model, outputs, operators)
        write(folder, found, source, arithmetic, name=name_of(model) or MODEL, options=options, force=force, **where)
    return StimulateResult(name_of(model), found, folder)


def _pair(profiles: Texts | Iterable[AnyProfile], host_float: bool) -> tuple[Profile, Profile] | None:
    found = [profile for _, profile in profiles_of(profiles, host_float)]
    if not found:
        return None
    if len(found) != 2:
        problem = Problem("discriminate", "two profiles, such as tflite,tflite-single", str(len(found)))
        raise InputError("expected two profiles to tell apart", [problem])
    return found[0], found[1]
