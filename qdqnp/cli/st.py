"""`qdqnp st`: what ST's compiler for the Neural-ART NPU made of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from qdqnp.cli.options import PATH, force_option, json_option
from qdqnp.files.atomic import target, write_bytes, write_text
from qdqnp.inspection.memory import memory_need
from qdqnp.model import load
from qdqnp.numerics.profile_writer import to_toml
from qdqnp.quant import Int64
from qdqnp.render.console import CONSOLE, name, print_json, table
from qdqnp.st.compiled import CompiledNetwork, CompiledSum, Epoch
from qdqnp.st.document import network_json
from qdqnp.st.footprint import PoolUse, footprint
from qdqnp.st.graph import compiled_graph
from qdqnp.st.hook import hook_source, streamed
from qdqnp.st.names import labels_in, tensor_names
from qdqnp.st.profile import compiled_profile
from qdqnp.st.read import read

NUMBERS = ("size", "constants", "other tensors", "fullest epoch", "alive then")


@click.group("st")
def st_command() -> None:
    """Read what `stedgeai generate` leaves of a network for ST's Neural-ART NPU.

    Exit code 0: done. 2: bad usage or bad input.
    """


@st_command.command("read", short_help="Show the integers that the compiler chose for each layer.")
@click.argument("folders", metavar="DIR...", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, metavar="FILE.toml", help="Write a profile with these integers.")
@click.option("--graph", type=PATH, metavar="FILE.onnx", help="Write the compiled graph with its integers, as QDQ.")
@click.option("--model", type=PATH, metavar="FILE.onnx", help="Call layers in it as in this model, by *_Q.json.")
@force_option("a file")
@json_option
def read_command(
    folders: tuple[Path, ...], out: Path | None, graph: Path | None, model: Path | None, force: bool, as_json: bool
) -> None:
    """Show the integers that the compiler chose for each layer, from the files in DIR.

    DIR is st_ai_output, or neural_art__NAME of st_ai_ws; give both where the network runs on the epoch controller. What
    is read: network.c, *_blob_trace.c, *atonbuf.*.raw, *_c_info.json, *_Q.json.

    Exit code 0: done. 2: bad usage, or files that are missing, damaged, or of an unknown release of the compiler.
    """
    place = None if out is None else target(_toml(out), "the profile", force)
    graph_place = None if graph is None else target(graph, "the graph", force)
    network = read(folders)
    if graph_place is not None:
        write_bytes(graph_place, compiled_graph(folders))
    if out is not None and place is not None:
        labels = None if model is None else labels_in(load(model), network)
        write_text(place, to_toml(compiled_profile(network, out.stem, labels)))
    if as_json:
        print_json(network_json(network))
    else:
        _print(network)


@st_command.command("dump-hook", short_help="Write the C file by which a board sends its tensors.")
@click.argument("folders", metavar="DIR...", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, metavar="FILE.c", help="The file to write.")
@click.option(
    "--model", "model_file", type=PATH, help="The model that was compiled: only its tensors are sent, by its names."
)
@force_option("the file of --out")
def hook_command(folders: tuple[Path, ...], out: Path, model_file: Path | None, force: bool) -> None:
    """Write the C file by which your board sends the tensors that each epoch made, for the network compiled in DIR.

    What the board sent, in one file, is a DUMP of `qdqnp compare`. The top of the file says what your firmware adds.

    Exit code 0: done. 2: bad usage or bad input, or a file is in the way.
    """
    place = target(out, "the file", force)
    network = read(folders)
    names = None if model_file is None else tensor_names(load(model_file), network)
    tensors = streamed(network, names)
    last = max((epoch.number for epoch in network.epochs), default=tensors[-1].place.first_epoch)
    write_text(place, hook_source(tensors, last))
    own = [one for one in tensors if one.place.address is None]
    called = "as in the model" if names is not None else "as the compiler does"
    CONSOLE.print(
        f"wrote {name(str(out), 200)}: sends {len(tensors)} tensors, named {called}; {len(own)} of them lie in memory "
        "that your firmware gives"
    )


@st_command.command("memory", short_help="Show what lies in which memory, and the fullest epoch.")
@click.argument("folders", metavar="DIR...", type=PATH, nargs=-1, required=True)
@click.option(
    "--model", "model_file", type=PATH, help="The model that was compiled: what it needs at least stands beside."
)
@click.option("--epochs", "by_epoch", is_flag=True, help="Also the bytes alive in each memory, epoch by epoch.")
@json_option
def memory_command(folders: tuple[Path, ...], model_file: Path | None, by_epoch: bool, as_json: bool) -> None:
    """Show what the network compiled in DIR uses of each memory: constants, other tensors, the fullest epoch.

    With --model, also what a run of the model needs at least, whatever a compiler does: its constants, and the tensors
    that are alive at once, none computed in place.

    Exit code 0: done. 2: bad usage or bad input.
    """
    network = read(folders)
    uses = footprint(network)
    need = None
    if model_file is not None:
        need = memory_need(load(model_file).plan())
    if as_json:
        print_json(
            {"pools": [{**asdict(use), "external": use.external} for use in uses], "model": need and asdict(need)}
        )
        return
    rows = table("memory", "from", "size", "constants", "other tensors", "fullest epoch", "alive then", right=NUMBERS)
    for use in uses:
        where = f"{use.base:#x} ({'external' if use.external else 'internal'})"
        epoch, alive = use.fullest
        counts = (use.size, use.parameters, use.activations)
        rows.add_row(name(use.name), where, *map(_bytes, counts), str(epoch) if epoch >= 0 else "", _bytes(alive))
    CONSOLE.print(rows)
    if by_epoch:
        _print_epochs(uses, network.epochs)
    constants = sum(use.parameters for use in uses)
    inside, outside = (sum(use.activations for use in uses if use.external == out) for out in (False, True))
    CONSOLE.print(f"constants {constants:,} bytes; other tensors {inside:,} bytes internal, {outside:,} external")
    if need is not None:
        CONSOLE.print(
            f"the model itself: constants {need.constants:,} bytes; {need.peak:,} bytes of tensors alive at once, "
            f"in layer {name(need.peak_step)}"
        )


def _print_epochs(uses: Sequence[PoolUse], epochs: Sequence[Epoch]) -> None:
    """Print the bytes of tensors that are alive in each memory, for each epoch in which a tensor begins."""
    held = [use for use in uses if use.alive]
    alive = {(use.name, epoch): count for use in held for epoch, count in use.alive}
    runs = {epoch.number: epoch for epoch in epochs}
    pools = [name(use.name) for use in held]
    rows = table("epoch", "runs on", "nodes", *pools, right=pools)
    for number in sorted({epoch for _, epoch in alive}):
        one = runs.get(number)
        nodes = "" if one is None else name(", ".join(one.nodes), 60)
        where = {"hardware": "NPU", "software": "CPU"}.get(one.runs, "") if one is not None else ""
        rows.add_row(str(number), where, nodes, *(_bytes(alive.get((use.name, number), 0)) for use in held))
    CONSOLE.print(rows)


def _bytes(count: int) -> str:
    return f"{count:,}" if count else ""


def _toml(path: Path) -> Path:
    if path.suffix != ".toml":
        raise click.UsageError("--out: expected a name that ends in .toml, which is how commands know a profile's file")
    return path


def _print(network: CompiledNetwork) -> None:
    if network.sums:
        _print_sums(network.sums)
    if network.adds:
        rows = table("addition", "epoch", "A", "B", "C", "A_shift", "B_shift", "C_shift", "S", right=("A", "B", "C"))
        for add in network.adds:
            rows.add_row(name(add.name), _epochs(add.epochs), *(str(number) for _, number in add.numbers))
        CONSOLE.print(rows)
    if network.poolings:
        rows = table("pooling", "epoch", "operation", "window", "multiplier", "shift", "bits")
        for pool in network.poolings:
            window = "x".join(map(str, pool.window)) if any(pool.window) else "all"
            numbers = (str(pool.multiplier), str(pool.shift), str(pool.bits))
            rows.add_row(name(pool.name), _epochs(pool.epochs), pool.operation, window, *numbers)
        CONSOLE.print(rows)
    for lookup in network.lookups:
        tables = ", ".join(f"{label} of {len(data)} bytes" for label, data in lookup.tables) or "no tables"
        CONSOLE.print(f"{name(lookup.operator)} {name(lookup.name)}: {lookup.operation}, {tables}")
    for node, reason in network.unexplained:
        CONSOLE.print(f"not a layer that is known: {name(node)}: {name(reason, 200)}")
    _print_totals(network)


def _print_sums(sums: Iterable[CompiledSum]) -> None:
    rows = table("layer", "epochs", "channels", "S1", "A or A1", "sh1", "A2", "BC", "S2", "zero point", "split")
    for layer in sums:
        parts = [f"{len(layer.parts)} parts"] if layer.parts else []
        chained = [f"{layer.chained} units in a chain"] if layer.chained > 1 else []
        zero = f"fsub {layer.fsub}" if layer.zero_point == "fsub" else layer.zero_point
        rows.add_row(
            name(layer.name),
            _epochs(layer.epochs),
            str(layer.channels),
            str(layer.s1),
            _range(layer.a),
            "" if layer.sh1 is None else str(layer.sh1),
            "" if layer.a2 is None else str(layer.a2),
            _range(layer.bc),
            str(layer.s2),
            zero,
            ", ".join((*parts, *chained)),
        )
    CONSOLE.print(rows)


def _print_totals(network: CompiledNetwork) -> None:
    counts = {
        "sums": len(network.sums),
        "additions": len(network.adds),
        "poolings": len(network.poolings),
        "functions": len(network.lookups),
        "nodes on the CPU": len(network.processor),
    }
    what = ", ".join(f"{count} {text}" for text, count in counts.items() if count) or "nothing that runs on the NPU"
    release = name(network.compiler) or "unknown"
    CONSOLE.print(f"compiler {release}, arithmetic of the profile {network.profile}: {what}")
    held = [pool for pool in network.pools if pool.content]
    used = ", ".join(f"{name(pool.name)} {len(pool.content or b''):,} bytes" for pool in held) or "none"
    CONSOLE.print(f"{len(network.epochs)} epochs, {len(network.places)} tensors; constants in memory: {used}")


def _epochs(epochs: tuple[int, ...]) -> str:
    return ", ".join(map(str, epochs))


def _range(numbers: Int64) -> str:
    """Write one number, or the least and the largest of several."""
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if numbers.size == 1 else f"{low} to {high}"
