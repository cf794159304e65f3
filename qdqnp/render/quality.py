"""Render the page of `quality`: one file, without network access, a bar for each layer."""

from __future__ import annotations

from typing import Any

from qdqnp.errors import shorten
from qdqnp.layer_quality.report import QualityReport, QualityRow
from qdqnp.render.html import LONGEST_NAME, template
from qdqnp.version import __version__

TEMPLATE = "quality.html.j2"
#: The SQNR that a bar of full height stands for, in dB.
FULL = 60.0


def quality_page(report: QualityReport, title: str) -> str:
    """Return the page's text. Raises InputError where Jinja2 is not installed."""
    rows = [_row(report, row) for row in report.rows]
    return str(
        template(TEMPLATE).render(
            report=report,
            title=shorten(title, LONGEST_NAME),
            version=__version__,
            rows=rows,
            by_depth=sorted(rows, key=lambda row: row["depth"]),
            gains=report.unfused is not None,
            most_gain=max((abs(report.gain(row)) for row in report.rows), default=0.0) or 1.0,
            greedy=[(shorten(step.tensor, LONGEST_NAME), step.outputs) for step in report.greedy],
            unmatched=[(shorten(tensor, LONGEST_NAME), why) for tensor, why in report.unmatched.items()],
            unmatched_float=[shorten(tensor, LONGEST_NAME) for tensor in report.unmatched_float],
        )
    )


def _row(report: QualityReport, row: QualityRow) -> dict[str, Any]:
    """Return what the template shows of a row: names shortened, bars as heights in percent."""
    sums = row.sums
    return {
        "depth": row.depth,
        "row": row,
        "label": shorten(row.label, LONGEST_NAME),
        "tensor": shorten(row.tensor, LONGEST_NAME),
        "real": shorten(row.real, LONGEST_NAME),
        "levels": {name: _level(getattr(sums, name).sqnr) for name in ("entire", "single", "own")},
        "exact": {name: not getattr(sums, name).noise for name in ("entire", "single", "own")},
        "channels": [_level(level) for level in row.weights.channels[:512]] if row.weights else [],
        "worst": row.weights.worst(5) if row.weights else [],
        "gain": report.gain(row),
    }


def _level(sqnr: float) -> float:
    """Return the height of a bar, in percent."""
    return max(0.0, min(100.0, 100 * sqnr / FULL))
