"""golden: every layer's inputs, parameters, inner values and outputs as files for unit tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from qdqnp.api.arguments import (
    AnyModel,
    AnyPath,
    AnyProfile,
    Operators,
    Texts,
    listed,
    name_of,
    opened,
    profile_with,
    source_of,
)
from qdqnp.api.inputs import AnyInputs, AnyPreprocessing, inputs_of
from qdqnp.api.progress import LOG, Progress, counter
from qdqnp.api.result import Result
from qdqnp.api.storage import StorageOptions, fields_of
from qdqnp.golden_sets import GoldenSet, read
from qdqnp.golden_sets.manifest import MODEL
from qdqnp.golden_sets.options import HARNESS_ORDERS, HARNESS_ROLES, ROLES, Options
from qdqnp.golden_sets.writing import write
from qdqnp.limits import readable_bytes


@dataclass(frozen=True, repr=False, eq=False)
class GoldenResult(Result, os.PathLike[str]):
    """A golden set that was written; it stands for its folder wherever a path is asked for."""

    #: The set's folder.
    folder: Path
    #: What its manifest says, without the checksums.
    manifest: Mapping[str, Any]

    columns = ("key", "name", "role", "layer", "dtype", "shape", "doubt")

    def __fspath__(self) -> str:
        return str(self.folder)

    def read(self) -> GoldenSet:
        """Return the set, with its arrays. Raises GoldenError where it was changed since."""
        return read(self.folder)

    def summary(self) -> str:
        made = self.manifest
        size, total = sum(file["bytes"] for file in made["files"].values()), made["inputs"]
        return (
            f"wrote {self.folder.name}: {len(made['tensors'])} tensors of {len(made['layers'])} layers, "
            f"{total} input{'s' if total != 1 else ''}, {size} bytes in {len(made['files'])} files"
        )

    def document(self) -> dict[str, Any]:
        return dict(self.manifest)

    def items(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.manifest["tensors"]
        return found


def golden(
    model: AnyModel,
    inputs: AnyInputs = None,
    *,
    out: AnyPath,
    outputs: Texts = (),
    operators: Operators = (),
    profile: AnyProfile = "ort",
    host_float: bool = False,
    layers: Texts = (),
    roles: Texts = (),
    format: Texts = ("npz",),
    harness: str | None = None,
    force: bool = False,
    random: int | None = None,
    seed: int = 0,
    preprocess: AnyPreprocessing | None = None,
    workers: int | None = 1,
    scheduler: str | None = None,
    executor: Executor | None = None,
    results: AnyPath | None = None,
    progress: Progress | None = None,
    announce: Callable[[str], None] = LOG.info,
    **storage: Unpack[StorageOptions],
) -> GoldenResult:
    """Write golden vectors of a model, as `qdqnp golden` does: every layer's inputs, weights, parameters, inner values
    and outputs.

        model: a path, bytes, an onnx.ModelProto, or what qdqnp.load returned.
        inputs: an array, arrays by name, a file, or several of these; None for random inputs.
        out: the folder, which appears whole or not at all.
        outputs: tensors to cut the model at.
        operators: classes of operators that qdqnp does not have, as qdqnp.load takes them.
        profile: the arithmetic.
        host_float: whether what the profile does not define runs in float32.
        layers: only these layers, as qdqnp.find names them.
        roles: only these tensors, of qdqnp.golden_sets.ROLES.
        format: one or more of qdqnp.golden_sets.FORMATS.
        harness: the library for which a C project that runs the whole network is written too.
        force: whether to replace a golden set that is in the way.
        random: number of seeded random inputs; one where there are no inputs.
        seed: their seed.
        preprocess: what is done to pictures.
        workers: processes that compute all inputs but the first; 1 is this one, None is one for each processor.
        scheduler: the address of a Dask cluster to compute on instead.
        executor: a concurrent.futures.Executor to compute in instead.
        results: a folder that keeps what is finished, from which an interrupted run goes on.
        progress: called with how many inputs are done, and of how many.
        announce: told how large the set will be, once the first of several inputs is written.
        storage: how the set is stored, see `StorageOptions`.

    Raises GoldenError for what cannot be written so, InputError, ModelError and ProfileError.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> made = qdqnp.golden(shipped_model("dla46_c_int8"), layers="level0.0", out="vectors")
    >>> [layer["op"] for layer in made.manifest["layers"]], made.read().inputs
    (['QLinearConv'], 1)
    """
    stored = fields_of(storage)
    given = {**HARNESS_ORDERS, **stored} if harness else stored
    own = HARNESS_ROLES if harness else ROLES
    texts = (layers,) if isinstance(layers, str) else tuple(layers)
    options = Options(formats=listed(format), layers=texts, roles=listed(roles) or own, harness=harness or "", **given)
    options.check()
    arithmetic = profile_with(profile, host_float)
    asked = inputs_of(inputs, random, seed, preprocess)
    feeds, total = asked.feeds(opened(model, outputs, operators).program(arithmetic))
    made = write(
        Path(out),
        source_of(model, outputs, operators),
        feeds,
        total,
        profile=arithmetic,
        options=options,
        name=name_of(model) or MODEL,
        seed=asked.drawn,
        force=force,
        announce=lambda size: announce(f"about {readable_bytes(size)} for {total} inputs"),
        progress=counter(total, "writing", progress),
        executor=executor,
        workers=workers,
        scheduler=scheduler,
        results=None if results is None else Path(results),
    )
    return GoldenResult(Path(out), made)
