"""What the difference of a dumped tensor comes from, in the words of a report."""

from __future__ import annotations

# What a row's own difference comes from.
EQUAL, INHERITED, TOLERATED, ARITHMETIC, INSIDE, FAULT, UNEXPLAINED = (
    "equal",
    "inherited",
    "tolerated",
    "another arithmetic",
    "inside the envelope",
    "fault",
    "unexplained",
)
FAILING = (ARITHMETIC, FAULT, UNEXPLAINED)
UNIT = {True: "LSB", False: "ULP"}
