"""The table of graph transformers: complete for the installed onnxruntime, true to our passes, and in the docs."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

import onnxruntime as ort
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as library

from qdqnp.lowering.ort import levels
from qdqnp.lowering.ort.transformers import (
    BASIC,
    EFFECTS,
    EXTENDED,
    NOT_RUN,
    REPRODUCED,
    TRANSFORMERS,
    UNPROMISED,
    markdown,
    summary,
)
from tests.lowering.models import Net
from tests.lowering.rtti import Library

DOCS = Path(__file__).parents[2] / "docs" / "onnxruntime-lowering.md"
NAMES = {row.name for row in TRANSFORMERS}
RULES = {row.name for row in TRANSFORMERS if row.rule}
ELF = sys.platform == "linux" and platform.machine() == "x86_64"


def test_each_transformer_is_there_once() -> None:
    assert len(NAMES) == len(TRANSFORMERS)
    assert all(row.effect in EFFECTS for row in TRANSFORMERS)
    assert all(row.passes or row.why for row in TRANSFORMERS)


@pytest.mark.skipif(not ELF, reason="reads an ELF file of x86-64")
@pytest.mark.parametrize(
    ("base", "names"), [("N11onnxruntime16GraphTransformerE", NAMES - RULES), ("N11onnxruntime11RewriteRuleE", RULES)]
)
def test_the_installed_library_has_these_classes_and_no_others(base: str, names: set[str]) -> None:
    found = Library(Path(library.__file__)).derived(base)
    assert len(found) > 20
    assert found == names


def transformers_run(capfd: pytest.CaptureFixture[str], level: int) -> list[str]:
    """Names of the transformers that a session logs at a level, once each and without what tells instances apart."""
    net = Net()
    net.output(net.node("Relu", net.input((1, 4))))
    options = ort.SessionOptions()
    options.log_severity_level = 0
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.qdqisint8allowed", "0")
    ort.InferenceSession(net.model().SerializeToString(), options, providers=["CPUExecutionProvider"])
    text = capfd.readouterr().err
    part = re.split(r"graph transformer\(s\) for level (\d)", text)
    names = re.findall(r"Applying graph transformer (\S+) on step 1\.", part[part.index(str(level)) + 1])
    plain = (re.sub(r"(L[12]|_CPUExecutionProvider)$", "", name) for name in names)
    return [name for name in dict.fromkeys(plain) if not name.endswith("_RuleBasedTransformer")]


@pytest.mark.parametrize(("number", "level"), [(1, BASIC), (2, EXTENDED)])
def test_a_session_runs_those_of_a_level_and_no_others(
    number: int, level: str, capfd: pytest.CaptureFixture[str]
) -> None:
    found = transformers_run(capfd, number)
    assert len(found) > 10
    assert set(found) == {row.name for row in TRANSFORMERS if level in row.levels and not row.rule}


#: The passes behind those of a level.
LATER = (*levels.LAST, levels.INSERT_CASTS)


def test_the_passes_are_ours_and_every_pass_is_there() -> None:
    ours = {step.name for step in (*levels.BASIC, *levels.extended(int8_allowed=False), *LATER)}
    named = {name for row in TRANSFORMERS for name in row.passes}
    assert named == ours


def test_what_is_reproduced_or_unpromised_names_its_pass() -> None:
    for row in TRANSFORMERS:
        assert bool(row.passes) == (row.effect in (REPRODUCED, UNPROMISED))
        assert bool(row.levels) == (row.effect != NOT_RUN)


def test_the_docs_have_the_table_and_its_counts() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert markdown() in text
    assert summary() in text
