"""An evaluation as a table on the terminal, as Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from qdqnp.errors import printable
from qdqnp.evaluation.result import ColumnResult, Evaluation
from qdqnp.render.console import CONSOLE, name, print_sentence, table

# Flipped inputs of a column, and names of a remark, that are listed on the terminal.
MOST_FLIPS, MOST_NAMES = 10, 3
HEADS = ("column", "arithmetic", "top-1, %", "95 % interval", "top-5, %", "same class, %", "same bits, %", "inputs/s")


def print_evaluation(evaluation: Evaluation) -> None:
    """Print a row for each column, then what flipped, what was not evaluated, and what is to be said of the inputs."""
    rows = table(*HEADS, right=HEADS[2:])
    for column in evaluation.columns:
        rows.add_row(name(column.name), name(column.arithmetic, 90), *cells(column, evaluation))
    CONSOLE.print(rows)
    for line in sentences(evaluation):
        print_sentence(line)
    for column in evaluation.columns[1:]:
        _print_flips(column, evaluation)
    for line in remarks(evaluation):
        print_sentence(line, style="yellow")
    for line in left_out(evaluation):
        print_sentence(line, style="bold red")


def cells(column: ColumnResult, evaluation: Evaluation) -> list[str]:
    """Return the cells of a column's row, behind its name and its arithmetic."""
    low, high = column.interval(column.top1) or (0.0, 1.0)
    speed = _speed(evaluation.inputs / column.seconds) if column.seconds else "-"
    return [
        _percent(column.share(column.top1)),
        f"{100 * low:.2f} to {100 * high:.2f}",
        _percent(column.share(column.top5)),
        _percent(column.share(column.same_class)),
        _percent(column.share(column.same_bits)),
        speed,
    ]


def _speed(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def sentences(evaluation: Evaluation) -> list[str]:
    """Return what the figures are of."""
    first = evaluation.columns[0].name
    data = f"{_count(evaluation.inputs, 'input')} of {name(evaluation.data)}, {evaluation.classes} classes"
    found = [f"{data}, told by {evaluation.told_by}"]
    if len(evaluation.columns) > 1:
        found.append(f"same class, same bits: as in column '{name(first)}'")
    return found + list(evaluation.notes)


def remarks(evaluation: Evaluation) -> list[str]:
    """Return what is said of inputs and files, each with the names of the first."""
    found = []
    for text, ones in evaluation.about_remarks().items():
        listed = ", ".join(name(one.name) for one in ones[:MOST_NAMES])
        found.append(f"{len(ones)} x {text}: {listed}{_more(ones)}")
    return found


def left_out(evaluation: Evaluation) -> list[str]:
    """Return what was not evaluated by the kind of fault, each with the names of the first."""
    found = []
    for kind, ones in evaluation.about_bad().items():
        listed = ", ".join(name(one.name) for one in ones[:MOST_NAMES])
        found.append(f"not evaluated: {_count(len(ones), 'input')}: {kind}: {listed}{_more(ones)}")
    return found


def _more(ones: Sequence[object]) -> str:
    more = len(ones) - MOST_NAMES
    return f" and {more} more" if more > 0 else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _print_flips(column: ColumnResult, evaluation: Evaluation) -> None:
    if not column.flips:
        return
    first = evaluation.columns[0].name
    flips = table(f"flipped in '{name(column.name)}'", "class", f"in '{name(first)}'", "here")
    for flip in column.flips[:MOST_FLIPS]:
        classes = (evaluation.class_name(number) for number in (flip.label, flip.first, flip.here))
        flips.add_row(name(flip.name), *(name(text) for text in classes))
    CONSOLE.print()
    CONSOLE.print(flips)
    if len(column.flips) > MOST_FLIPS:
        CONSOLE.print(f"... and {len(column.flips) - MOST_FLIPS} more, which --json and --html have")


def markdown(evaluation: Evaluation) -> str:
    """Return the table of the columns as Markdown, with what the figures are of below it."""
    lines = [_row(HEADS), "|" + "---|" * 2 + "--:|" * (len(HEADS) - 2)]
    lines += [_row((one.name, one.arithmetic, *cells(one, evaluation))) for one in evaluation.columns]
    about = [_escaped(text) for text in (*sentences(evaluation), *remarks(evaluation), *left_out(evaluation))]
    return "\n".join([*lines, "", *(f"{line}  " for line in about)]) + "\n"


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(map(_escaped, texts)) + " |"


def _escaped(text: str) -> str:
    """Return a text in which Markdown has nothing to read."""
    shown = printable(text)
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]<>()#!|~" else sign for sign in shown)


#: The columns of the CSV file.
FIELDS = (
    *("column", "model", "sha256", "arithmetic", "inputs", "top1", "top1_low", "top1_high"),
    *("top5", "top5_low", "top5_high", "same_class", "same_bits", "flips", "not_evaluated", "seconds"),
)


def csv_text(evaluation: Evaluation) -> str:
    """Return a line for each column as CSV (RFC 4180): counts of inputs, and the ends of the intervals as shares."""
    made = io.StringIO()
    writer = csv.writer(made)
    writer.writerow(FIELDS)
    for one in evaluation.columns:
        ends = [end for count in (one.top1, one.top5) for end in (one.interval(count) or ("", ""))]
        counts = (one.same_class, one.same_bits, len(one.flips), len(evaluation.bad), round(one.seconds, 3))
        names = (printable(one.name), printable(one.model), one.sha256, printable(one.arithmetic))
        top5 = "" if one.top5 is None else one.top5
        writer.writerow((*map(_plain, names), one.inputs, one.top1, *ends[:2], top5, *ends[2:], *counts))
    return made.getvalue()


def _plain(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
