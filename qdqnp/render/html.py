"""Render the HTML report of a comparison: one file, without network access, every name escaped by Jinja2."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

import numpy as np

from qdqnp.diagnosis.compare.report import CompareReport, CompareRow
from qdqnp.diagnosis.compare.status import UNIT
from qdqnp.diagnosis.tally import Tally
from qdqnp.errors import InputError, Problem, printable, shorten
from qdqnp.files.regular import packaged
from qdqnp.quant import Array
from qdqnp.render.console import reason
from qdqnp.version import __version__

TEMPLATE = "report.html.j2"
# Larger maps are summed over neighbouring channels and rows: a screen does not show more.
MAX_CELLS = 64
# Points of a cell; of a map with more than half as many, half.
CELL = 8
MAX_BINS = 41
LONGEST_NAME = 200


def html(report: CompareReport, title: str) -> str:
    """Return the report's text. Raises InputError where Jinja2 is not installed."""
    rows = [_row(row) for row in report.rows]
    first = next((row for row in rows if row["row"] is report.first), None)
    equal = sum(not (row.entire.differing or row.single.differing) for row in report.rows)
    return str(
        template(TEMPLATE).render(
            report=report,
            title=shorten(title, LONGEST_NAME),
            version=__version__,
            rows=rows,
            first=first,
            folded=equal if equal < len(rows) else 0,
            verdict=report.verdict(),
            not_compared=report.not_compared(),
        )
    )


@cache
def template(name: str) -> Any:
    """Return a template of a page. Raises InputError where Jinja2 is not installed."""
    try:
        import jinja2
    except ImportError as error:
        problem = Problem("Jinja2", "to be installed", "no such module", 'Run: pip install "qdqnp[report]"')
        raise InputError("the HTML report needs Jinja2", [problem]) from error
    environment = jinja2.Environment(
        autoescape=True, finalize=_shown, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["breakable"] = _breakable
    environment.filters["short"] = lambda text: shorten(text, LONGEST_NAME)
    source = packaged("qdqnp.render", name).decode("utf-8")
    return environment.from_string(source)


def _shown(value: Any) -> Any:
    """Show a name as the terminal does; what is markup in HTML, Jinja2 escapes, but for what the template made."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _breakable(text: str) -> Any:
    """Let a name be broken behind what separates its words, and nowhere else."""
    from markupsafe import Markup  # Jinja2 has it

    return Markup("<wbr>").join(re.split(r"(?<=[._/:])(?=\w)", printable(text)))


def _row(row: CompareRow) -> dict[str, Any]:
    """Return what the template shows of a row: names shortened, bars and maps as numbers."""
    return {
        "row": row,
        "name": shorten(row.name, LONGEST_NAME),
        "label": shorten(row.label, LONGEST_NAME),
        "unit": UNIT[row.codes],
        "shape": "x".join(map(str, row.shape)),
        "entire_share": row.entire.share,
        "single_share": row.single.share,
        "entire_bar": _bar(row.entire.share),
        "single_bar": _bar(row.single.share),
        "explanation": reason(row.explanation),
        "segment": [shorten(label, 80) for label in row.segment],
        "histogram": histogram(row.own),
        "of": "single" if row.own is row.single else "entire",
        "map": heat_map(row.places) if row.places is not None else None,
    }


def _bar(share: float) -> float:
    """Return a length in percent on a logarithmic scale from one in a million, so that a single wrong element is
    printable."""
    return 0.0 if not share else max(2.0, 100 * (1 + math.log10(max(share, 1e-6)) / 6))


def histogram(tally: Tally) -> list[dict[str, Any]]:
    """Return the bars by difference, without 0; differences beyond the middle bins are summed at the ends."""
    found = {key: count for key, count in tally.histogram.items() if key}
    if not found:
        return []
    reach = min(max(map(abs, found)), MAX_BINS // 2)
    bins = dict.fromkeys(range(-reach, reach + 1), 0)
    for key, count in found.items():
        bins[max(-reach, min(key, reach))] += count
    most = max(bins.values())
    return [
        {"lsb": key, "count": count, "height": 100 * math.log1p(count) / math.log1p(most), "end": abs(key) == reach}
        for key, count in bins.items()
        if key
    ]


def heat_map(places: Array) -> dict[str, Any]:
    """Return the mismatches by channel (down) and row (across), as cells with a strength from 0 to 1; empty cells are
    left out."""
    small, by_channel, by_row = _reduced(places)
    most = int(small.max())
    cells = [
        {
            "x": int(x),
            "y": int(y),
            "count": int(small[y, x]),
            "strength": round(0.2 + 0.8 * math.log1p(int(small[y, x])) / math.log1p(most), 3),
        }
        for y, x in zip(*np.nonzero(small), strict=True)
    ]
    return {
        "channels": places.shape[0],
        "rows": places.shape[1],
        "height": small.shape[0],
        "width": small.shape[1],
        "cell": CELL if max(small.shape) <= MAX_CELLS // 2 else CELL // 2,
        "by_channel": by_channel,
        "by_row": by_row,
        "cells": cells,
    }


def _reduced(places: Array) -> tuple[Array, int, int]:
    """Sum over blocks so that neither side has more than MAX_CELLS; also return the sizes of the blocks."""
    by_channel, by_row = (-(-size // MAX_CELLS) for size in places.shape)
    grow = [(0, -places.shape[0] % by_channel), (0, -places.shape[1] % by_row)]
    padded = np.pad(places, grow)
    blocks = padded.reshape(padded.shape[0] // by_channel, by_channel, padded.shape[1] // by_row, by_row)
    return blocks.sum(axis=(1, 3)), by_channel, by_row
