"""Tables of pandas, which is imported here alone, and only where a table is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qdqnp.errors import InputError, Problem

if TYPE_CHECKING:
    import pandas


def frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pandas.DataFrame:
    """Return rows as a DataFrame. Raises InputError where pandas is not installed."""
    try:
        import pandas
    except ImportError as error:
        problem = Problem("pandas", "an installed package", str(error), "python -m pip install pandas; or rows().")
        raise InputError("a table needs pandas", [problem]) from error
    return pandas.DataFrame(list(rows), columns=list(columns))
