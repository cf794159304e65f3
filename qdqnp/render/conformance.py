"""Write JUnit XML of a runtime's score: one test case for each case of the pack. A refusal is skipped, not failed."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from qdqnp.conformance.scoring import Score
from qdqnp.conformance.verdict import CLASSES, FAILED, REFUSED, WRONG
from qdqnp.errors import printable


def score_junit(score: Score) -> bytes:
    """Return the document as UTF-8.

    score: what the runtime made of the pack.
    """
    counts = score.counts()
    suite = ET.Element(
        "testsuite",
        name=printable(f"{score.runtime} under {score.profile}"),
        tests=str(len(score.cases)),
        failures=str(counts[WRONG]),
        errors=str(counts[FAILED]),
        skipped=str(counts[REFUSED]),
    )
    for one in score.cases:
        found = one.judged
        case = ET.SubElement(suite, "testcase", classname=printable(one.operator), name=printable(one.path))
        if found.verdict == WRONG:
            message = f"{found.differing} of {found.elements} elements differ, largest {found.largest:g}: {found.told}"
            failure = ET.SubElement(case, "failure", type=found.kind, message=printable(message))
            failure.text = printable(f"{found.kind}: {CLASSES[found.kind]}")
        elif found.verdict == FAILED:
            ET.SubElement(case, "error", message=printable(found.told))
        elif found.verdict == REFUSED:
            ET.SubElement(case, "skipped", message=printable(found.told))
    root = ET.Element("testsuites")
    root.append(suite)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text
