"""Write JUnit XML of a comparison: one test case for each layer, so that a CI shows which layer failed and why."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from qdqnp.diagnosis.compare.report import FAILING, UNIT, CompareReport, CompareRow
from qdqnp.errors import printable


def junit(report: CompareReport, name: str) -> bytes:
    """Return the document as UTF-8.

    report: the comparison.
    name: name of the test suite.
    """
    suite = ET.Element(
        "testsuite",
        name=printable(name),
        tests=str(len(report.rows)),
        failures=str(len(report.failing)),
        errors="0",
        skipped="0",
    )
    for row in report.rows:
        case = ET.SubElement(suite, "testcase", classname=printable(row.op or "input"), name=printable(_title(row)))
        if row.status in FAILING:
            failure = ET.SubElement(case, "failure", type=printable(row.status), message=printable(_message(row)))
            failure.text = "\n".join(map(printable, _details(row)))
    root = ET.Element("testsuites")
    root.append(suite)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


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
