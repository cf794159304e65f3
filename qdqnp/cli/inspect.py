"""`qdqnp inspect`: show the layers, shapes, scales, MACs and proofs of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from qdqnp.api.inspect import InspectResult, inspect
from qdqnp.cli.options import (
    ModelFile,
    force_option,
    host_float_option,
    json_option,
    model_argument,
    node_data_option,
    profile_option,
    profile_with,
)
from qdqnp.files.atomic import target
from qdqnp.lowering import LOWERINGS
from qdqnp.model import load
from qdqnp.render.console import CONSOLE, dims, name, print_json, table
from qdqnp.render.node_data import inspect_notes, write_node_data


@click.command("inspect")
@model_argument
@profile_option()
@host_float_option
@click.option(
    "--lowering",
    type=click.Choice(list(LOWERINGS)),
    help="Show instead what this lowering makes of each node, or why it leaves it.",
)
@click.option("--plan", "plan", is_flag=True, help="Show instead how a run of one picture computes each layer.")
@node_data_option
@force_option("the file of --node-data")
@json_option
def inspect_command(
    model: ModelFile,
    profile: str,
    host_float: bool,
    lowering: str | None,
    plan: bool,
    node_data: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show what MODEL becomes: layers, shapes, scales, zero points, MACs, weight bytes, K, and why sums are exact.

    Exit code 0: done. 2: bad usage, a bad model, or a profile that does not define one of its layers.
    """
    if node_data is not None and (lowering is not None or plan):
        raise click.UsageError("--node-data has the values of the layers: it does not go with --lowering and --plan")
    nodes_out = target(node_data, "the node data", force) if node_data is not None else None
    loaded = load(model)
    found = inspect(loaded, profile=profile, host_float=host_float, lowering=lowering, plan=plan)
    if nodes_out is not None:
        title, program = f"MACs of {model.name}", loaded.program(profile_with(profile, host_float))
        write_node_data(nodes_out, title, inspect_notes(found.found), loaded.graph, program, model)
    if as_json:
        print_json(found.document())
    elif lowering is not None:
        _print_lowering(found)
    elif plan:
        _print_plan(found)
    else:
        _print(found.found)


def _print_plan(found: InspectResult) -> None:
    rows = table("layer", "form", "why it is exact")
    for action in found.items():
        rows.add_row(name(action["step"]), action["form"], action["proof"])
    CONSOLE.print(rows)
    CONSOLE.print(found.summary())


def _print_lowering(found: InspectResult) -> None:
    rows = table("node", "operator", "what it became")
    for fate in found.items():
        rows.add_row(name(fate["node"]), name(fate["op"]), name(fate["became"], 400))
    CONSOLE.print(rows)
    CONSOLE.print(found.summary())


def _print(found: Mapping[str, Any]) -> None:
    rows = table(
        "layer",
        "operator",
        "output",
        "shape",
        "scale",
        "zero",
        "MACs",
        "bytes",
        "K",
        "sums",
        "codes",
        right=("MACs", "bytes", "K", "zero"),
    )
    for layer in found["layers"]:
        proof = layer["proof"].replace("every partial ", "") + _marked(layer)
        rows.add_row(
            name(layer["label"]),
            layer["op"],
            name(layer["output"]),
            dims(layer["output_shape"]),
            _short(layer["scale"]),
            _short(layer["zero_point"]),
            _count(layer["macs"]),
            _count(layer["weight_bytes"]),
            _count(layer["k"]),
            proof,
            layer["requantization"] + (f" ({layer['status']})" if layer["status"] == "inferred" else ""),
        )
    CONSOLE.print(rows)
    _print_stated(found["stated"])
    for refusal in found["left_alone"]:
        CONSOLE.print(f"left alone by {refusal['pass_name']}: {name(refusal['node'])}: {name(refusal['reason'])}")
    totals = found["totals"]
    operators = ", ".join(f"{count} {op}" for op, count in totals["operators"].items())
    CONSOLE.print(f"profile {found['profile']}, lowering {found['lowering']}: {totals['layers']} layers ({operators})")
    CONSOLE.print(f"{totals['macs']:,} MACs, {totals['weight_bytes']:,} bytes of constants")
    ways = ", ".join(f"{count} by {way}" for way, count in totals["requantizations"].items())
    CONSOLE.print(f"codes: {ways}; the profile's arithmetic is {found['status']}")
    CONSOLE.print("sums: " + ", ".join(f"{count} by {proof}" for proof, count in totals["proofs"].items()))


def _print_stated(layers: list[dict[str, Any]]) -> None:
    """Print what the profile states for layers beside what its rules choose, a table for each kind of layer."""
    kinds = {tuple(number["name"] for number in layer["numbers"]): None for layer in layers}
    for names in kinds:
        rows = table("stated", *names)
        for layer in layers:
            if tuple(number["name"] for number in layer["numbers"]) == names:
                rows.add_row(name(layer["label"]), *(_stated(number) for number in layer["numbers"]))
        CONSOLE.print(rows)
    if layers:
        differing = sum(layer["differs"] for layer in layers)
        CONSOLE.print(f"the profile states the numbers of {len(layers)} layers; {differing} differ (*) from its rules'")


def _stated(number: dict[str, Any]) -> str:
    """Write a stated number, and where it differs from the chosen one, marked, that one or the largest difference."""
    stated, chosen = number["stated"], number["chosen"]
    several = isinstance(stated, list)
    text = f"{len(stated)} values" if several else str(stated)
    if not number["differing"]:
        return text
    if chosen is None:
        return f"{text} *"
    if several or isinstance(chosen, list):
        return f"{text}; {number['differing']} by up to {number['largest']} *"
    return f"{text}; rule {chosen} *"


def _marked(layer: dict[str, Any]) -> str:
    """Say whether a host computes a layer, and that its result is not promised."""
    host = "on the host" if layer["host_float"] else ""
    return host + ("" if layer["promise"] == "exact" else "* no promise")


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return f"{len(value)} values"
    return f"{value:.6g}"


def _count(value: int | None) -> str:
    return f"{value:,}" if value else ""
