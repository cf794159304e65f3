"""What every function of the front door returns: a sentence, a table, and the JSON of the command."""

from __future__ import annotations

import html
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qdqnp.errors import printable, shorten
from qdqnp.frames import frame

if TYPE_CHECKING:
    import pandas

#: Rows of a table in a notebook; `to_frame()` has all of them.
MOST_ROWS = 60


class Result(ABC):
    """What a function of the front door found. It prints as a paragraph, and shows as a table in a notebook."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Return the columns of the table: the keys of a row, 'single.largest' for what stands in a row's part."""

    @abstractmethod
    def summary(self) -> str:
        """Return what was found, in one paragraph."""

    @abstractmethod
    def document(self) -> Mapping[str, Any]:
        """Return everything that is known, in which NumPy's values may stand."""

    def items(self) -> Sequence[Mapping[str, Any]]:
        """Return what the rows of the table are made of."""
        found: Sequence[Mapping[str, Any]] = self.document()["layers"]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return what the command prints with --json, as plain values: json.dumps takes them."""
        found: dict[str, Any] = json_values(self.document())
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the table, each a value by column."""
        return [{column: json_values(_at(item, column)) for column in self.columns} for item in self.items()]

    def to_frame(self) -> pandas.DataFrame:
        """Return the table as a DataFrame of pandas. Raises InputError where pandas is not installed."""
        return frame(self.rows(), self.columns)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {printable(self.summary())}>"

    def _repr_html_(self) -> str:
        """Return the paragraph and the first rows of the table, for a notebook."""
        rows = self.rows()
        head = "".join(f"<th>{_cell(column)}</th>" for column in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(row[column])}</td>" for column in self.columns) + "</tr>"
            for row in rows[:MOST_ROWS]
        )
        more = f"<p>... and {len(rows) - MOST_ROWS} more: to_frame()</p>" if len(rows) > MOST_ROWS else ""
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
        return f"<p>{_cell(self.summary(), 4000)}</p>{table}{more}"


def _at(item: Mapping[str, Any], column: str) -> Any:
    value: Any = item
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _cell(value: Any, limit: int = 200) -> str:
    """Return a value as text that a page shows as it is."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return html.escape(shorten(printable(str(value)), limit))


def json_values(value: Any) -> Any:
    """Return a value of JSON: lists for tuples and arrays, texts for the keys and for "nan", "inf" and "-inf", which
    JSON does not have as numbers. Raises TypeError for what has no JSON.

    >>> json_values({1: (float("nan"), True)})
    {'1': ['nan', True]}
    """
    if isinstance(value, Mapping):
        return {str(key): json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars, without NumPy, which is slow to import
        return json_values(value.tolist())
    raise TypeError(f"no JSON for {type(value).__name__}")
