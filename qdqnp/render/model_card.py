"""Render a model card: Markdown, and one HTML page without network access, from the same sections."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qdqnp.errors import printable, shorten
from qdqnp.model_card.card import ModelCard, SharedNeed
from qdqnp.model_card.roofline import ASSUMPTIONS, COMPUTE, TimeEstimate
from qdqnp.render.evaluation import HEADS, cells, left_out, remarks, sentences
from qdqnp.render.html import template
from qdqnp.render.memory_map import memory_map
from qdqnp.version import __version__

TEMPLATE = "model_card.html.j2"
LONGEST_NAME = 120
#: Layers with the longest times, and tensors of the peak, that are listed.
LISTED = 12
#: More layers than a person reads; --json has all.
MOST_ROWS = 2000
BAR = 20
EXACT_FIT = "no placement can take less"


@dataclass(frozen=True)
class CardTable:
    """A table: names of columns, and rows of cells. Cells are text, or a NameCell."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    #: Which columns hold numbers.
    right: tuple[str, ...] = ()


@dataclass(frozen=True)
class NameCell:
    """What a file calls something: text of unknown origin."""

    text: str


@dataclass(frozen=True)
class CardSection:
    """One section: sentences, a table, a list of remarks, and whether the memory map goes with it."""

    title: str
    text: tuple[str, ...] = ()
    table: CardTable | None = None
    remarks: tuple[str, ...] = ()
    mapped: SharedNeed | None = None


def markdown(card: ModelCard) -> str:
    """Return the card as Markdown; names are shown as code, and nothing in them is markup."""
    parts = [f"# Model card: {_code(card.name)}"]
    for section in sections(card):
        parts += [f"## {section.title}", *map(_plain, section.text)]
        if section.table is not None:
            parts.append(_markdown_table(section.table))
        if section.remarks:
            parts.append("\n".join(f"- {_plain(remark)}" for remark in section.remarks))
    return "\n\n".join(parts) + f"\n\n{_about(card)}\n"


def html(card: ModelCard) -> str:
    """Return the card as one page. Raises InputError where Jinja2 is not installed."""
    listed = [
        {"section": section, "map": memory_map(card, section.mapped) if section.mapped is not None else None}
        for section in sections(card)
    ]
    shown = template(TEMPLATE).render(
        title=shorten(card.name, LONGEST_NAME), sections=listed, about=_about(card), named=_is_name
    )
    return str(shown)


def sections(card: ModelCard) -> list[CardSection]:
    """Return the sections of a card, in order."""
    found = [_network(card), _ends(card), *_accuracy(card), _flash(card), *_memory(card)]
    if card.time is not None:
        found += _time(card.time)
    if card.compiled:
        found.append(_compiled(card))
    return [*found, _layers(card)]


def _about(card: ModelCard) -> str:
    return f"Made by qdqnp {__version__} from the file alone, under profile {card.profile}, lowering {card.lowering}."


# -- the sections ------------------------------------------------------------------------------------------------------
def _network(card: ModelCard) -> CardSection:
    quantization = card.quantization
    operators = ", ".join(f"{count} {name}" for name, count in card.operators.items())
    rows: list[tuple[object, ...]] = [
        ("parameters", f"{card.parameters:,} (weights and biases)"),
        ("multiply-accumulates", "unknown: sizes are open" if card.macs is None else f"{card.macs:,}"),
        ("layers", f"{len(card.layers)}: {operators}"),
        ("weights", _counted(quantization.weight_types, "tensors") or "none"),
        ("scales of weights", _counted(quantization.weight_scales, "tensors") or "none"),
        ("zero points of weights", _counted(quantization.weight_symmetry, "tensors") or "none"),
        ("other tensors", _counted(quantization.tensor_types, "tensors")),
        ("their zero points", _counted(quantization.tensor_symmetry, "tensors") or "none"),
    ]
    return CardSection("Network", table=CardTable(("what", "figure"), tuple(rows)))


def _ends(card: ModelCard) -> CardSection:
    rows = [
        (
            kind,
            NameCell(end["in_file"]),
            NameCell(end["name"]),
            end["dtype"],
            _dims(end["shape"]),
            _number(end.get("scale")),
            _number(end.get("zero_point")),
        )
        for kind, ends in (("input", card.inputs), ("output", card.outputs))
        for end in ends
    ]
    said = "Inputs come as codes, and outputs leave as codes: whoever calls the network makes and reads these."
    table = CardTable(
        ("", "in the file", "tensor", "type", "shape", "scale", "zero point"), tuple(rows), ("scale", "zero point")
    )
    return CardSection("Inputs and outputs", (said,) if card.codes_at_ends else (), table)


def _accuracy(card: ModelCard) -> list[CardSection]:
    if card.accuracy is None:
        return []
    rows = tuple(
        (NameCell(column.name), NameCell(column.arithmetic), *cells(column, card.accuracy)[:-1])
        for column in card.accuracy.columns
    )
    text = tuple(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences(card.accuracy))
    notes = (*remarks(card.accuracy), *left_out(card.accuracy))
    return [CardSection("Accuracy", text, CardTable(HEADS[:-1], rows, HEADS[2:-1]), notes)]


def _flash(card: ModelCard) -> CardSection:
    flash = card.flash
    counted = {
        "weights": flash.weights,
        "biases": flash.biases,
        "scales": flash.scales,
        "zero points": flash.zero_points,
        "weights in float": flash.float_weights,
        "other constants": flash.others,
    }
    rows = [(what, f"{count:,}", _kib(count)) for what, count in counted.items() if count]
    rows.append(("all", f"{flash.total:,}", _kib(flash.total)))
    said = (
        "As the model states them: scales in float32, types of less than 8 bits packed. A device stores integers of "
        "its own in place of scales."
    )
    return CardSection(
        "Constants in flash", (said,), CardTable(("what", "bytes", "KiB"), tuple(rows), ("bytes", "KiB"))
    )


def _memory(card: ModelCard) -> list[CardSection]:
    if not card.memory:
        return [CardSection("Activation memory", ("Unknown: the model leaves sizes open that only a run decides.",))]
    rows = []
    for need in card.memory:
        made = need.placement
        placed = "" if made is None else f"{made.nbytes:,}"
        over = "too many tensors to place" if made is None else _over(made.nbytes, made.bound)
        rows.append((need.shares, f"{need.peak:,}", _kib(need.peak), NameCell(need.peak_layer), placed, over))
    columns = ("tensors may share memory", "peak, bytes", "KiB", "in layer", "placed in, bytes", "above the bound")
    table = CardTable(columns, tuple(rows), ("peak, bytes", "KiB", "placed in, bytes"))
    text = (
        "The peak is the most bytes of tensors that are alive at once, in the order of the layers below; a layer's "
        "inputs and outputs are alive together. It is the bound that the static placement is held against: an offset "
        "for each tensor, the best of several orders of placing them.",
    )
    first = card.memory[0]
    return [CardSection("Activation memory", text, table, mapped=first), _peak(card, first)]


def _peak(card: ModelCard, need: SharedNeed) -> CardSection:
    layer = next((layer for layer in card.layers if layer.info.label == need.peak_layer), None)
    if layer is None:
        return CardSection("What sets the peak", ("The network has no layer.",))
    size = {piece.name: piece.nbytes for piece in need.pieces}
    rows = [(NameCell(name), f"{size[name]:,}", _kib(size[name])) for name in layer.tensors[:LISTED]]
    text = (
        f"{layer.count} tensors are alive during layer",
        f"{layer.info.label}, the first where so many bytes are.",
    )
    table = CardTable(("tensor", "bytes", "KiB"), tuple(rows), ("bytes", "KiB"))
    return CardSection("What sets the peak", (" ".join(text),), table)


def _time(time: TimeEstimate) -> list[CardSection]:
    device = time.device
    text = [
        f"An estimate, not a measurement: {_ms(time.seconds)} ms if, within each layer, computing and all memory "
        f"traffic overlap, {_ms(time.seconds_apart)} ms if nothing does. The multiply-accumulates alone take "
        f"{_ms(time.seconds_computing)} ms of it. A real device is slower.",
        f"{device.clock / 1e6:g} MHz, {device.macs_per_cycle:g} multiply-accumulates in a cycle"
        + (f" ({device.source})." if device.source else "."),
    ]
    if time.without_room:
        names = ", ".join(shorten(printable(name), 60) for name in time.without_room[:LISTED])
        text.append(
            f"{len(time.without_room)} tensors have no room in any memory, and no time is counted for them: {names}."
        )
    if time.left_out:
        names = ", ".join(shorten(printable(name), 60) for name in time.left_out[:LISTED])
        text.append(
            f"{len(time.left_out)} layers compute floats, which a processor would do; no time is counted: {names}."
        )
    memories = tuple(
        (
            memory.name,
            memory.holds,
            f"{time.used[memory.name]:,}",
            f"{memory.nbytes:,}",
            f"{memory.bytes_per_second / 1e6:g}",
            _ms(sum(layer.parts[memory.name] for layer in time.layers)),
            memory.source,
        )
        for memory in device.memories
    )
    columns = ("memory", "holds", "used, bytes", "size, bytes", "MB/s", "traffic, ms", "source")
    slowest = sorted(time.layers, key=lambda layer: -layer.seconds)[:LISTED]
    rows = tuple(
        (NameCell(layer.label), _ms(layer.seconds), layer.limit, _ms(layer.parts[COMPUTE])) for layer in slowest
    )
    return [
        CardSection(
            f"Time on {device.name}: an estimate",
            tuple(text),
            CardTable(columns, memories, ("used, bytes", "size, bytes", "MB/s", "traffic, ms")),
            tuple(f"It assumes that {assumption}." for assumption in ASSUMPTIONS),
        ),
        CardSection(
            "The layers that take longest, by the estimate",
            table=CardTable(("layer", "ms", "limited by", "computing, ms"), rows, ("ms", "computing, ms")),
        ),
    ]


def _compiled(card: ModelCard) -> CardSection:
    rows = []
    for use in card.compiled:
        epoch, alive = use.fullest
        counts = (use.size, use.parameters, use.activations, alive)
        where = "external" if use.external else "internal"
        rows.append((NameCell(use.name), where, *(f"{count:,}" for count in counts), str(epoch) if epoch >= 0 else ""))
    constants = sum(use.parameters for use in card.compiled)
    inside, outside = (sum(u.activations for u in card.compiled if u.external == out) for out in (False, True))
    text = [
        f"Read from the compiler's files: constants {constants:,} bytes ({_kib(constants)} KiB), of this model "
        f"{card.flash.total:,}; other tensors {inside:,} bytes internal and {outside:,} external"
        + (f", where {card.memory[0].peak:,} are alive at once in this model." if card.memory else ".")
    ]
    numbers = ("size", "constants", "other tensors", "alive at most")
    columns = ("memory", "where", *numbers, "in epoch")
    return CardSection("What ST's compiler uses", tuple(text), CardTable(columns, tuple(rows), numbers))


def _layers(card: ModelCard) -> CardSection:
    most = max((layer.alive for layer in card.layers), default=0)
    rows = tuple(
        (
            str(index),
            NameCell(layer.info.label),
            layer.info.op,
            _dims(layer.info.output_shape),
            f"{layer.info.macs:,}" if layer.info.macs else "",
            f"{layer.info.weight_bytes:,}" if layer.info.weight_bytes else "",
            f"{layer.alive:,}" if card.memory else "",
            "█" * math.ceil(BAR * layer.alive / most) if most else "",
        )
        for index, layer in enumerate(card.layers[:MOST_ROWS])
    )
    right = ("#", "MACs", "constants, bytes", "alive, bytes")
    columns = ("#", "layer", "operator", "output", "MACs", "constants, bytes", "alive, bytes", "")
    left = len(card.layers) - len(rows)
    remarks = (f"... and {left} more layers, which --json has",) if left else ()
    return CardSection("Layers", table=CardTable(columns, rows, right), remarks=remarks)


# -- how values are shown ----------------------------------------------------------------------------------------------
def _kib(count: int) -> str:
    return f"{count / 1024:,.2f}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3f}"


def _over(placed: int, bound: int) -> str:
    return (
        f"0: {EXACT_FIT}" if placed <= bound else f"{placed - bound:,} bytes ({100 * (placed - bound) / bound:.2f} %)"
    )


def _counted(counts: Mapping[str, int], what: str) -> str:
    return ", ".join(f"{name}: {count} {what}" for name, count in counts.items())


def _dims(shape: Iterable[object]) -> str:
    return "x".join("?" if size is None else shorten(printable(str(size)), 40) for size in shape) or "one value"


def _number(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _is_name(cell: object) -> bool:
    return isinstance(cell, NameCell)


def _code(text: str) -> str:
    """Show a name as code in Markdown; its backticks are within longer ones."""
    shown = shorten(printable(text), LONGEST_NAME)
    longest = max((len(run) for run in "".join(c if c == "`" else " " for c in shown).split()), default=0)
    fence = "`" * (longest + 1)
    space = " " if "`" in shown else ""
    return f"{fence}{space}{shown}{space}{fence}" if shown.strip() else "(no name)"


def _plain(text: str) -> str:
    """Show text in Markdown so that no sign in it is markup."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|~#" else sign for sign in printable(text))


def _markdown_table(table: CardTable) -> str:
    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    ends = ["---:" if column in table.right else "---" for column in table.columns]
    lines = [row([_plain(column) for column in table.columns]), row(ends)]
    for listed in table.rows:
        shown = [_code(c.text).replace("|", "\\|") if isinstance(c, NameCell) else _plain(str(c)) for c in listed]
        lines.append(row(shown))
    return "\n".join(lines)
