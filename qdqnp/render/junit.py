"""Write JUnit XML of a comparison: one test case for each layer, so that a CI shows which layer failed and why. What
was not compared is skipped, and where nothing was, that is an error."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from qdqnp.diagnosis.compare.report import CompareReport, CompareRow
from qdqnp.diagnosis.compare.status import FAILING, UNIT
from qdqnp.errors import printable


def junit(report: CompareReport, name: str) -> bytes:
    """Return the document as UTF-8.

    report: the comparison.
    name: name of the test suite.
    """
    left_out = list(_left_out(report))
    suite = ET.Element(
        "testsuite",
        name=printable(name),
        tests=str(len(report.rows) + len(left_out) + (not report.computed)),
        failures=str(len(report.failing)),
        errors=str(int(not report.computed)),
        skipped=str(len(left_out)),
    )
    if not report.computed:
        error = ET.SubElement(ET.SubElement(suite, "testcase", classname="compare", name="anything"), "error")
        error.set("message", printable(report.not_compared()[0]))
    for kind, title, reason in left_out:
        case = ET.SubElement(suite, "testcase", classname=printable(kind), name=printable(title))
        ET.SubElement(case, "skipped", message=printable(reason))
    for row in report.rows:
        case = ET.SubElement(suite, "testcase", classname=printable(row.op or "input"), name=printable(_title(row)))
        if row.status in FAILING:
            failure = ET.SubElement(case, "failure", type=printable(row.status), message=printable(_message(row)))
            failure.text = "\n".join(map(printable, _details(row)))
    root = ET.Element("testsuites")
    root.append(suite)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _left_out(report: CompareReport) -> Iterator[tuple[str, str, str]]:
    """Yield what was not compared: its kind, its name, and why."""
    for entry in report.unused:
        yield "entry of the dump", entry, "no tensor of the model"
    for aside in report.asides:
        if aside.why:
            yield "entry of the dump", aside.name, f"an array of the golden set: {aside.why}"
    for problem in report.problems:
        yield "part of the dump", problem.where, f"expected {problem.expected}, got {problem.got}"
    for tensor in report.not_dumped:
        why = "compared through a tensor that is computed from it" if tensor.through else "nothing of it was compared"
        yield tensor.op, f"{tensor.label}: {tensor.name}", f"not dumped; {why}"
    for index in report.missing:
        yield "input of the golden set", f"input {index}", "the dump has no case of it"


def _title(row: CompareRow) -> str:
    return f"{row.label}: {row.name}" if row.label else row.name


def _message(row: CompareRow) -> str:
    own = row.single
    return (
        f"{own.differing} of {own.elements} elements differ, largest {own.largest} {UNIT[row.codes]}: {row.explanation}"
    )


def _details(row: CompareRow) -> list[str]:
    own = row.single
    lines = [
        f"segment: {', '.join(row.segment)}",
        f"from: {', '.join(row.starts)}",
        f"entire: {row.entire.differing} of {row.entire.elements}, largest {row.entire.largest}",
        f"single: {own.differing} of {own.elements}, largest {own.largest}, mean {own.mean:.6g}",
    ]
    return lines + [f"{key}: {value:.6g}" for key, value in row.metrics.items()]
