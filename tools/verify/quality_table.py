"""Does `qdqnp quality` find the layer that was quantized badly on purpose?

    python -m tools.verify.quality_table
    python -m tools.verify.quality_table --count 20 --network mlp --seed 3

Networks of several architectures are quantized by ONNX Runtime, and one layer of each is made worse
(tools/models/plant.py says how). A layer is found if it is the first row of the report. Each network is measured on
what it was calibrated on, and on as many other inputs. Prints a Markdown table, and how many layers of the healthy
networks have a finding; exits 1 where a layer is not found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import click
import numpy as np
import onnx
from numpy.typing import NDArray

from qdqnp.inputs.pictures import prepare
from qdqnp.inputs.shipped import CIFAR10, pictures, shipped_model
from qdqnp.layer_quality import quality
from tools.models.exporters.nets import NETWORKS as EXPORTED
from tools.models.make_zoo import batches
from tools.models.plant import KINDS, Planting, planted
from tools.models.quantize import Recipe, preprocess, quantize

Inputs = Sequence[NDArray[np.float32]]
#: Shipped pictures to measure on.
PICTURES = 24
NETWORKS = ("dla46_c", *EXPORTED)


@dataclass(frozen=True)
class Subject:
    """A float network, its int8 form, and data."""

    name: str
    real: bytes
    codes: onnx.ModelProto
    #: What it was calibrated on, and other inputs, by name.
    data: Mapping[str, Inputs]


def shipped() -> Subject:
    """Return DLA-46-C, trained, and pictures that it was not calibrated on."""
    codes = onnx.load(shipped_model("dla46_c_int8"))
    real = shipped_model("dla46_c_float").read_bytes()
    made = [prepare(pixels, replace(CIFAR10, layout="NCHW"))[np.newaxis] for pixels in pictures()[0][:PICTURES]]
    return Subject("dla46_c", real, codes, {"other inputs": made})


def drawn(name: str, seed: int, recipe: Recipe) -> Subject:
    """Return a network with seeded weights, quantized by a recipe."""
    model = EXPORTED[name](seed)
    own, other = (tuple(batches(model, seed + more)) for more in (1, 101))
    codes = quantize(preprocess(model), iter(own), recipe)
    data = {"calibration": own, "other inputs": other}
    return Subject(f"{name} {seed}{' keep' * recipe.keep_activations}", model.SerializeToString(), codes, data)


def subjects(networks: Sequence[str], seeds: Sequence[int]) -> dict[str, Callable[[], Subject]]:
    """Return how each subject is made, by its name."""
    found: dict[str, Callable[[], Subject]] = {}
    if not networks or "dla46_c" in networks:
        found["dla46_c"] = shipped
    for name in networks or EXPORTED:
        for seed in seeds if name != "dla46_c" else ():
            for keep in (False, True):
                recipe = Recipe(keep_activations=keep)
                found[f"{name} {seed} {keep}"] = lambda name=name, seed=seed, recipe=recipe: drawn(name, seed, recipe)  # type: ignore[misc]
    return found


def is_found(subject: Subject, number: int, kind: str, inputs: Inputs) -> bool:
    """Tell whether the first row of the report is the layer that was quantized badly."""
    tensor, model = planted(subject.codes, number, kind)
    return quality(subject.real, model.SerializeToString(), inputs).rows[0].tensor == tensor


def findings(subject: Subject, inputs: Inputs) -> int:
    """Return how many layers of a healthy network have a finding."""
    return len(quality(subject.real, subject.codes.SerializeToString(), inputs).bad)


@click.command()
@click.option(
    "--network", "networks", multiple=True, type=click.Choice(["dla46_c", *sorted(EXPORTED)]), help="[default: all]"
)
@click.option("--count", type=click.IntRange(1), default=3, show_default=True, help="Layers of each network and kind.")
@click.option("--seed", "seeds", type=click.IntRange(0), multiple=True, default=(0, 1), show_default=True)
def main(networks: tuple[str, ...], count: int, seeds: tuple[int, ...]) -> None:
    """Print the table."""
    print("| network | data | " + " | ".join(KINDS) + " | findings when healthy |")
    print("|---|---|" + "--:|" * (len(KINDS) + 1))
    totals = dict.fromkeys(KINDS, 0)
    planted_ones = 0
    rng = np.random.default_rng(seeds[0])
    for make in subjects(networks, seeds).values():
        subject = make()
        layers = len(Planting(subject.codes).layers())
        for what, inputs in subject.data.items():
            cells = []
            for kind in KINDS:
                chosen = rng.choice(layers, min(count, layers), replace=False)
                hits = sum(is_found(subject, int(number), kind, inputs) for number in chosen)
                totals[kind] += hits
                planted_ones += len(chosen)
                cells.append(f"{hits} of {len(chosen)}")
            print(f"| {subject.name} | {what} | {' | '.join(cells)} | {findings(subject, inputs)} |", flush=True)
    found = sum(totals.values())
    print(f"\n{found} of {planted_ones} layers found")
    sys.exit(0 if found == planted_ones else 1)


if __name__ == "__main__":
    main()
