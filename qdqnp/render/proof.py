"""The report of `diff --prove` as text."""

from __future__ import annotations

from qdqnp.diagnosis.proof.claim import NEVER, NOT_PROVEN, Claim
from qdqnp.diagnosis.proof.report import OutputBound, ProofReport, ProofRow
from qdqnp.numerics.status import INFERRED
from qdqnp.render.console import CONSOLE, name, table

INFERRED_MARK = "*"


def print_proof(report: ProofReport) -> None:
    """Print a row for each layer, then for each profile what it comes to, the largest difference, and the bounds."""
    first, *others = (name(profile) for profile in report.profiles)
    columns = [f"{other}, {what}" for other in others for what in ("layer alone", "carried")]
    rows = table("layer", "operator", "tensor", *columns, right=columns)
    for row in report.rows:
        rows.add_row(name(row.label), row.op, name(row.name), *_cells(row))
    CONSOLE.print(rows)
    CONSOLE.print()
    for index in range(1, len(report.profiles)):
        for line in _summary(report, index):
            CONSOLE.print(line)
    CONSOLE.print(
        f"layer alone: the largest difference from '{first}', in LSB of codes, over all inputs of the layer, and in "
        "brackets the share of the reachable sums, pairs of codes or codes that differ"
    )
    CONSOLE.print(
        "carried: a bound of the difference where each profile computes the whole network; '-' where none is known"
    )
    if any(INFERRED in row.statuses for row in report.rows):
        CONSOLE.print(f"{INFERRED_MARK} the profile's rule for this operator is inferred, not established")


def _cells(row: ProofRow) -> list[str]:
    found = []
    for claim, bound, status in zip(row.claims, row.bounds, row.statuses[1:], strict=True):
        mark = INFERRED_MARK if status == INFERRED else ""
        found += [f"{claim_text(claim)}{mark}", "-" if bound is None else str(bound)]
    return found


def claim_text(claim: Claim) -> str:
    """Return '0', '1 (0.0033 %)' or 'not proven'."""
    if claim.verdict == NOT_PROVEN:
        return NOT_PROVEN
    return "0" if claim.verdict == NEVER else f"{claim.largest} ({100 * claim.share:.2g} %)"


def _summary(report: ProofReport, index: int) -> list[str]:
    """Return the lines about one profile."""
    total, other, first = report.total(index), name(report.profiles[index]), name(report.profiles[0])
    claims = [(row, row.claims[index - 1]) for row in report.rows]
    found = [
        f"'{other}' against '{first}': {total.never} layers never differ, {total.differs} do, by at most "
        f"{total.largest} LSB each, {total.not_proven} are not proven; {total.differing:,} of {total.reachable:,} "
        "reachable sums, pairs and codes differ"
    ]
    shown = [(row, claim) for row, claim in claims if claim.witness is not None and claim.largest == total.largest]
    found += [f"  the largest: {name(row.label)}, {name(str(claim.witness), 160)}" for row, claim in shown[:1]]
    reasons: dict[str, list[str]] = {}
    for row, claim in claims:
        if claim.reason:
            reasons.setdefault(claim.reason, []).append(row.label)
    for reason, labels in reasons.items():
        more = "" if len(labels) == 1 else f" and {len(labels) - 1} more"
        found.append(f"  not proven: {name(labels[0])}{more}: {name(reason, 200)}")
    return found + [f"  output {name(key)}: {_bound(bounds[index - 1])}" for key, bounds in report.outputs.items()]


def _bound(bound: OutputBound) -> str:
    if bound.lsb is None:
        return "no bound is known"
    if not bound.lsb:
        return "proven equal, for every input"
    real = "" if bound.real is None else f", {bound.real:.3g} in real values"
    return f"at most {bound.lsb} LSB of {name(bound.codes)}{real} (a bound, not a difference that occurs)"
