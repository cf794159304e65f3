"""Show in one table what `diff --prove` claims of networks, and hold each claim against random inputs of its layer.

    python -m tools.verify.proof_table --inputs 10000 --markdown proof.md [MODEL...]

Each layer is fed random codes, all of its own: uniform in the code range, in every second batch narrowed to a random
part of it. Where a convolution has a place that sees its whole window, and where codes are computed one by one, the
inputs stand side by side in one wide image, so that there are at least as many outputs of each channel as inputs. A
claim is weaker than what they show if the layer differs by more than it says. Without models, the shipped int8 networks
run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from qdqnp import load
from qdqnp.diagnosis.proof.prove import prove
from qdqnp.diagnosis.proof.report import ProofReport, Total
from qdqnp.errors import QdqnpError
from qdqnp.executor.plan import BoundStep
from qdqnp.model import Model
from qdqnp.numerics.profile_toml import profile_from
from qdqnp.numerics.questions import Pairs, Singles, Sums
from qdqnp.ops.integer.qlinear_conv import QLinearConv
from qdqnp.quant import EIGHT_BIT, Array, code_range
from qdqnp.render.console import tracked
from qdqnp.stimuli.find import input_shapes
from qdqnp.stimuli.subject import asks
from qdqnp.stimuli.sums import sums_of
from tools.bench.tables import Table, write_results
from tools.verify.profile_table import networks

PROFILES = ("ort", "tflite", "cmsis-nn-single", "neural-art", "neural-art-1.1.1")
ADD, CONV = "QLinearAdd", "QLinearConv"
BATCH = 100  # inputs at a time


@dataclass
class Shown:
    """What random inputs show of one profile."""

    #: Codes compared, and codes that differ.
    codes: int = 0
    differing: int = 0
    #: The largest difference by layer.
    largest: dict[str, int] = field(default_factory=dict)

    def add(self, layer: str, apart: Array) -> None:
        self.codes += apart.size
        self.differing += int(np.count_nonzero(apart))
        self.largest[layer] = max(self.largest.get(layer, 0), int(apart.max(initial=0)))


def show(model: Model, profiles: Sequence[str], inputs: int, seed: int, what: str) -> list[Shown]:
    """Feed random codes to every layer that computes codes of codes, and compare each profile with the first."""
    plans = [model.plan(profile_from(text)) for text in profiles]
    shapes = plans[0].shapes(input_shapes(plans[0], {}))
    found = [Shown() for _ in plans[1:]]
    rng = np.random.default_rng(seed)
    layers = [bound for bound in plans[0].steps if _takes_codes(bound)]
    makers = [{bound.step.output_names[0]: bound for bound in plan.steps} for plan in plans]
    starts = range(0, inputs, BATCH)
    for number, start in enumerate(tracked(starts, len(starts), what)):
        for bound in layers:
            name = bound.step.output_names[0]
            given = _codes(bound, shapes, rng, number % 2 == 1, min(BATCH, inputs - start))
            codes = [_made(made[name], given).astype(np.int64) for made in makers]
            for shown, other in zip(found, codes[1:], strict=True):
                shown.add(name, np.abs(codes[0] - other))
    return found


def _takes_codes(bound: BoundStep) -> bool:
    names = [name for name in (*bound.step.input_names, *bound.step.output_names) if name not in bound.consts]
    return bool(bound.operator.rule) and all(bound.tensors[name].dtype in EIGHT_BIT for name in names)


def _codes(
    bound: BoundStep, shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator, narrow: bool, batch: int
) -> dict[str, Array]:
    """Draw codes of the layer's inputs, in the model file's dtypes, for so many inputs at once."""
    found = {}
    names = [name for name in bound.step.input_names if name not in bound.consts]
    for name in dict.fromkeys(names):
        tensor = bound.tensors[name]
        dtype = tensor.file_dtype or tensor.dtype
        low, high = code_range(dtype)
        if narrow:
            low, high = sorted(int(end) for end in rng.integers(low, high + 1, 2))
        shape = _side_by_side(bound, shapes, name, batch) or (batch, *shapes[name][1:])
        found[name] = rng.integers(low, high, shape, dtype, endpoint=True)
    return found


def _side_by_side(
    bound: BoundStep, shapes: Mapping[str, tuple[int, ...]], name: str, batch: int
) -> tuple[int, ...] | None:
    """Return the shape of a wide image of so many inputs; None where that would be another layer."""
    shape = shapes[name]
    if len(shape) != 4:
        return None
    if asks(bound, Pairs) or asks(bound, Singles):
        return (1, shape[1], 1, batch)
    if not asks(bound, Sums) or not isinstance(bound.operator, QLinearConv):
        return None
    kernel = shapes[bound.step.input_names[1]][2:]
    if any((place.taps < 0).any() for site in sums_of(bound, shapes).sites for place in site[:1]):
        return None
    stride = (bound.step.attributes.strides or (1, 1))[1]
    return (1, shape[1], kernel[0], kernel[1] + batch * stride)


def _made(bound: BoundStep, given: Mapping[str, Array]) -> Array:
    name = bound.step.output_names[0]
    arrays = {key: bound.tensors[key].as_here(array) for key, array in given.items()}
    return bound.tensors[name].as_in_file(bound.compute(arrays)[name])


def weaker(report: ProofReport, index: int, shown: Shown) -> list[str]:
    """List the layers that differ by more than is claimed of them."""
    claims = {row.name: row.claims[index - 1] for row in report.rows}
    return [
        name
        for name, largest in shown.largest.items()
        if (known := claims[name].largest) is not None and largest > known
    ]


def rows_of(network: str, report: ProofReport, shown: Sequence[Shown]) -> list[list[str]]:
    """Make a row for each profile after the first."""
    found = []
    for index, profile in enumerate(report.profiles[1:], 1):
        total = report.total(index)
        parts = [Total.of([row.claims[index - 1] for row in report.rows if row.op == op]) for op in (CONV, ADD)]
        others = Total.of([row.claims[index - 1] for row in report.rows if row.op not in (CONV, ADD)])
        bound = max((bounds[index - 1].lsb or 0 for bounds in report.outputs.values()), default=0)
        row = [network, profile, f"{total.never} of {len(report.rows)}", str(total.not_proven)]
        row += [_differing(part) for part in (*parts, others)] + [str(bound)]
        if shown:
            one = shown[index - 1]
            row += [f"{max(one.largest.values(), default=0)} ({one.differing:,} of {one.codes:,})"]
            row += [str(len(weaker(report, index, one)))]
        found.append(row)
    return found


def _differing(total: Total) -> str:
    """Show the largest difference and the share of sums, pairs or codes that differ."""
    share = f"{100 * total.differing / total.reachable:.2g} %" if total.reachable else "0 %"
    return f"{total.largest} ({share})" if total.largest else "0"


@click.command()
@click.argument("models", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--inputs", type=click.IntRange(0), default=0, show_default=True, help="Random inputs of each layer.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    default=PROFILES,
    show_default=True,
    help="A name or a .toml path; the first is the reference.",
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
@click.option("--markdown", "markdown_path", type=click.Path(dir_okay=False, path_type=Path), help="Write Markdown.")
def main(
    models: tuple[Path, ...],
    inputs: int,
    seed: int,
    profiles: tuple[str, ...],
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    """What is proven of each network under each profile; exit code 1 where a claim is weaker than an input shows."""
    rows: list[list[str]] = []
    reports: dict[str, object] = {}
    weak: list[str] = []
    try:
        for network, path in networks(models).items():
            model = load(path)
            report = prove(model, [(text, profile_from(text)) for text in profiles])
            shown = show(model, profiles, inputs, seed, network) if inputs else []
            rows += rows_of(network, report, shown)
            reports[network] = report.as_json()
            weak += [f"{network}, {name}" for i, one in enumerate(shown, 1) for name in weaker(report, i, one)]
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error
    columns = ["network", "profile", "layers that never differ", "not proven", "Conv", "Add", "others", "output, bound"]
    columns += ["random inputs show", "weaker claims"] if inputs else []
    table = Table(columns, rows, texts=2)
    table.show()
    write_results({"networks": reports}, table.markdown(), json_path, markdown_path)
    if weak:
        raise click.ClickException(f"claims that random inputs contradict: {', '.join(weak)}")


if __name__ == "__main__":
    main()
