"""A compiled network as plain values, for JSON."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from qdqnp.st.compiled import CompiledNetwork, Pool


def network_json(network: CompiledNetwork) -> dict[str, Any]:
    """Return the network as tables, lists and values; of a memory's content, how many bytes there are."""
    found: dict[str, Any] = _plain(network)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Pool):
        held = None if value.content is None else len(value.content)
        return {"name": value.name, "base": value.base, "size": value.size, "content_bytes": held}
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple) and value and all(_is_pair(item) for item in value):
        return {name: _plain(item) for name, item in value}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and not isinstance(value[1], str)
