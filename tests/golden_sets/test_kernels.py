"""Firmware kernels in C on generated vectors: right ones pass on ten random layers of each kind under both
arithmetics, and every planted fault is caught."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable

import pytest

from qdqnp.golden_sets import Options, read, write
from tests.golden_sets.firmware import run_kernels
from tests.golden_sets.nets import KINDS, code_feeds, ten_of_each

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")

# In the order of the enum of kernels.h, from 1 on.
FAULTS = (
    "wrong tie rule",
    "truncation",
    "missing input zero point",
    "padding with 0",
    "swapped weight order",
    "stride taken for dilation",
    "off-by-one pad",
    "missing bias",
    "bias of the neighbour channel",
    "per-tensor scale",
    "missing clamp",
    "int16 accumulator",
)
Run = Callable[[int], dict[str, int]]


@pytest.fixture(scope="module", params=["tflite", "ort"])
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the program with a fault; mismatches by the label of the layer."""
    folder = tmp_path_factory.mktemp(request.param) / "set"
    model = ten_of_each(seed=7, same_average=request.param == "tflite")
    feeds = [code_feeds(model, seed) for seed in (1, 2)]
    roles = ("network_input", "input", "weight", "bias", "parameter", "output")
    write(folder, model, feeds, 2, profile=request.param, options=Options(formats=("c", "npz"), roles=roles))
    found = read(folder)
    program = run_kernels(found, folder, request.param)
    labels = {tensor.files["c"]["symbol"].removeprefix("golden_"): tensor.layer for tensor in found.tensors}

    def run(fault: int) -> dict[str, int]:
        done = subprocess.run([program, str(fault)], capture_output=True, text=True)
        counts: dict[str, int] = defaultdict(int)
        for line in done.stdout.splitlines():
            key, _, mismatches = line.split()
            counts[labels[key]] += int(mismatches)
        assert len(counts) == 70 and done.returncode == (1 if any(counts.values()) else 0)
        return counts

    return run


def test_right_kernels_agree_with_every_vector(kernels: Run) -> None:
    counts = kernels(0)
    assert {label.rpartition("_")[0] for label in counts} == set(KINDS)
    assert not any(counts.values()), {label: count for label, count in counts.items() if count}


@pytest.mark.parametrize("fault", range(1, len(FAULTS) + 1), ids=FAULTS)
def test_every_planted_fault_is_caught_in_both_kinds_of_convolution(kernels: Run, fault: int) -> None:
    counts = kernels(fault)
    # few sums lie exactly half-way, and the smallest layers never leave 16 bits
    enough = {"wrong tie rule": 2, "int16 accumulator": 3}.get(FAULTS[fault - 1], 5)
    for kind in ("conv", "depthwise"):
        assert sum(counts[f"{kind}_{index}"] > 0 for index in range(10)) >= enough, kind


@pytest.mark.parametrize("kind", ["add", "global_average_pool", "concat"])
def test_truncation_is_caught_in_the_other_layers_that_rescale(kernels: Run, kind: str) -> None:
    counts = kernels(1 + FAULTS.index("truncation"))
    assert sum(counts[f"{kind}_{index}"] > 0 for index in range(10)) >= 3
