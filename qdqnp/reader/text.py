"""Reads names and other text of the file."""

from __future__ import annotations

from qdqnp.errors import Problems
from qdqnp.graph import ONNX
from qdqnp.limits import MAX_TEXT


def read_text(value: str | bytes, where: str, problems: Problems) -> str:
    """Return a text field as str. Protobuf hands a field over as bytes where it is not UTF-8: that is a problem."""
    if isinstance(value, bytes):
        problems.add(where, "valid UTF-8 text", value)
        value = value.decode("utf-8", "backslashreplace")
    if len(value) > MAX_TEXT:
        problems.add(where, f"at most {MAX_TEXT} characters", f"{len(value)} characters")
    return value


def read_domain(value: str | bytes, where: str, problems: Problems) -> str:
    """Return an operator domain; the default domain may be spelled 'ai.onnx' and is '' here."""
    domain = read_text(value, where, problems)
    return ONNX if domain == "ai.onnx" else domain


def domain_name(domain: str) -> str:
    """Return the name of a domain in messages."""
    return domain or "ai.onnx"
