"""Reads the operator set versions that a model states, and knows the range that qdqnp reads."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from qdqnp.errors import Problems
from qdqnp.graph import DEVICES, MICROSOFT, ONNX
from qdqnp.limits import OLDEST_OPSET
from qdqnp.reader.text import domain_name, read_domain


def supported_range(domain: str) -> tuple[int, int] | None:
    """Return the oldest and the newest version that qdqnp reads; None for a domain that it does not know."""
    if domain == ONNX:
        return OLDEST_OPSET, onnx.defs.onnx_opset_version()
    return (1, 1) if domain in (MICROSOFT, DEVICES) else None


def read_opsets(imports: Iterable[onnx.OperatorSetIdProto], where: str, problems: Problems) -> dict[str, int]:
    """Return the version by domain; a domain that is stated twice must have one version."""
    found: dict[str, int] = {}
    for item in imports:
        domain = read_domain(item.domain, f"{where}, opset import", problems)
        version = int(item.version)
        if found.setdefault(domain, version) != version:
            problems.add(f"{where}, opset of {domain_name(domain)}", "one version", f"{found[domain]} and {version}")
    return found


def check_opsets(opsets: dict[str, int], used: Iterable[str], problems: Problems) -> set[str]:
    """Note the versions that qdqnp does not read, for domains in use; return the domains that have one."""
    bad = set()
    for domain in sorted(set(used)):
        supported = supported_range(domain)
        version = opsets.get(domain)
        if supported is None or (version is not None and supported[0] <= version <= supported[1]):
            continue
        low, high = supported
        problems.add(
            f"the model, opset of {domain_name(domain)}",
            f"version {low}" if low == high else f"a version from {low} to {high}",
            "none (no import)" if version is None else version,
            "Convert it with onnx.version_converter, or export it again.",
        )
        bad.add(domain)
    return bad
