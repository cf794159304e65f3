"""The folder of `qdqnp probe`: each probe's model, its inputs, a golden set, and the answer that each hypothesis
gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qdqnp import golden_sets
from qdqnp.diagnosis.probe.page import page
from qdqnp.diagnosis.probe.probes import Probe
from qdqnp.errors import InputError, Problem
from qdqnp.files.folder import Folder, Kind, new_folder, require_free
from qdqnp.files.npy import npy_bytes, npz_bytes
from qdqnp.files.paths import FILE, kind_of
from qdqnp.files.regular import read_inside

INDEX, FORMAT = "probes.json", "qdqnp probes 1"
LIMIT_BYTES = 64 * 2**20
PROBES = Kind("the probes", "This is a fault of qdqnp: please report it.")


def write_probes(out: Path, probes: Sequence[Probe]) -> None:
    """Write the folder, whole or not at all. Raises InputError where something is in the way, QdqnpError for what the
    file system refuses."""
    require_free(out, PROBES)
    with new_folder(out, PROBES, LIMIT_BYTES) as folder:
        for probe in probes:
            _write(folder, probe)
        index = {"format": FORMAT, "probes": [_described(probe) for probe in probes]}
        folder.append(INDEX, json.dumps(index, indent=2).encode())
        folder.append("README.md", page(probes).encode())


def _described(probe: Probe) -> dict[str, Any]:
    texts = [hypothesis.text for hypothesis in probe.hypotheses]
    return {"name": probe.name, "question": probe.question, "output": probe.output, "hypotheses": texts}


def _write(folder: Folder, probe: Probe) -> None:
    """Write model.onnx; each input as real values and as codes; and expected.npz: codes by the number of the
    hypothesis."""
    data = probe.proto.SerializeToString(deterministic=True)
    folder.append(f"{probe.name}/model.onnx", data)
    for name, codes in probe.codes.items():
        folder.append(f"{probe.name}/{name}.npy", npy_bytes(probe.feeds[name]))
        folder.append(f"{probe.name}/{name}_codes.npy", npy_bytes(codes))
    numbered = {f"h{index:02d}": codes for index, codes in enumerate(probe.answers().values())}
    folder.append(f"{probe.name}/expected.npz", npz_bytes(numbered))
    golden_sets.write(folder.path / probe.name / "golden", data, [probe.feeds], 1, profile="ort", name="model.onnx")


def is_probe_folder(path: Path) -> bool:
    """Return whether `qdqnp probe` wrote the folder."""
    return kind_of(path / INDEX) == FILE


def check_folder(path: Path, probes: Sequence[Probe]) -> None:
    """Raise InputError where a model of the folder is not the one that this version of qdqnp would write: its answers
    would be read as answers to another question."""
    problems = []
    for probe in probes:
        data = probe.proto.SerializeToString(deterministic=True)
        try:
            same = read_inside(path, f"{probe.name}/model.onnx", len(data)) == data
        except OSError:
            same = False
        if not same:
            problems.append(
                Problem(
                    f"file {path / probe.name / 'model.onnx'}",
                    f"the model of probe '{probe.name}'",
                    "another, or none",
                    "Write the probes again with this version.",
                )
            )
    if problems:
        raise InputError("the folder's probes are not this version's", problems)
