"""The page of an evaluation: one file, without network access, every name escaped by Jinja2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qdqnp.errors import shorten
from qdqnp.evaluation.result import ColumnResult, Evaluation
from qdqnp.render.evaluation import HEADS, cells, remarks, sentences
from qdqnp.render.html import LONGEST_NAME, template
from qdqnp.version import __version__

PAGE = "evaluation.html.j2"
# Classes of a confusion matrix that is shown whole; of more, the confusions are listed, the most frequent first.
MOST_CLASSES = 40
MOST_CONFUSIONS, MOST_FLIPS, MOST_BAD = 100, 500, 500


def evaluation_html(evaluation: Evaluation, pictures: Mapping[int, str]) -> str:
    """Return the page's text.

        evaluation: what was found.
        pictures: `data:` addresses of the inputs that flipped, by their place in the data set.

    Raises InputError where Jinja2 is not installed.
    """
    columns = [_column(one, evaluation, pictures) for one in evaluation.columns]
    return str(
        template(PAGE).render(
            title=shorten(f"{evaluation.data}: {', '.join(one.name for one in evaluation.columns)}", LONGEST_NAME),
            evaluation=evaluation,
            heads=HEADS,
            columns=columns,
            first=evaluation.columns[0].name,
            sentences=sentences(evaluation),
            remarks=remarks(evaluation),
            bad=evaluation.bad[:MOST_BAD],
            more_bad=max(0, len(evaluation.bad) - MOST_BAD),
            version=__version__,
        )
    )


def _column(one: ColumnResult, evaluation: Evaluation, pictures: Mapping[int, str]) -> dict[str, Any]:
    flips = [
        {
            "picture": pictures.get(flip.index, ""),
            "name": flip.name,
            "classes": [evaluation.class_name(number) for number in (flip.label, flip.first, flip.here)],
        }
        for flip in one.flips[:MOST_FLIPS]
    ]
    settings = one.preprocessing or {}
    return {
        "result": one,
        "cells": cells(one, evaluation),
        "flips": flips,
        "more_flips": max(0, len(one.flips) - MOST_FLIPS),
        "matrix": _matrix(one, evaluation) if evaluation.classes <= MOST_CLASSES else None,
        "confusions": _confusions(one, evaluation),
        "settings": ", ".join(f"{key} {_setting(value)}" for key, value in settings.items() if value is not None),
    }


def _setting(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _matrix(one: ColumnResult, evaluation: Evaluation) -> dict[str, Any]:
    """Return the rows of the confusion matrix: a class, and how many of its inputs were taken for each."""
    counts = {(label, here): count for label, here, count in one.confusion}
    seen = sorted({here for _, here, _ in one.confusion if here is not None and here < 0})
    odd = [None] if any(here is None for _, here, _ in one.confusion) else []
    across: list[int | None] = [*seen, *range(evaluation.classes), *odd]
    rows = []
    for label in range(evaluation.classes):
        row = [counts.get((label, here), 0) for here in across]
        total = sum(row)
        made = [
            {"count": count, "right": here == label, "strength": round(math.sqrt(count / total), 3) if total else 0}
            for here, count in zip(across, row, strict=True)
        ]
        rows.append({"name": evaluation.class_name(label), "cells": made, "total": total})
    return {"heads": [evaluation.class_name(here) for here in across], "rows": rows}


def _confusions(one: ColumnResult, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the most frequent confusions."""
    wrong = sorted((cell for cell in one.confusion if cell[0] != cell[1]), key=lambda cell: -cell[2])
    return [
        {"label": evaluation.class_name(label), "here": evaluation.class_name(here), "count": count}
        for label, here, count in wrong[:MOST_CONFUSIONS]
    ]
