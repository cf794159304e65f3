"""The examples in docstrings run and print what they show, and every public function has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import qdqnp
from qdqnp import golden_sets, stimuli
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.diff import diff
from qdqnp.diagnosis.explain.explain import explain
from qdqnp.diagnosis.identify.identify import identify
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.inputs.shipped import pictures, shipped_model
from qdqnp.layer_quality import quality
from qdqnp.numerics.profile_toml import from_toml
from qdqnp.numerics.profiles import profile_named


def examples() -> list[doctest.DocTest]:
    """Those of every module of the package, in order of their names."""
    names = [found.name for found in pkgutil.walk_packages(qdqnp.__path__, "qdqnp.") if not found.name.endswith("__")]
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in ["qdqnp", *names] for test in finder.find(importlib.import_module(name))]
    return [test for test in found if test.examples]


def public() -> list[Callable[..., Any]]:
    """Functions that the packages offer, methods of the classes that they give, and what the commands are made of."""
    offered = [getattr(package, name) for package in (qdqnp, golden_sets, stimuli) for name in package.__all__]
    functions = [item for item in offered if inspect.isfunction(item)]
    methods = [
        item
        for kind in (qdqnp.Model, qdqnp.Trace, qdqnp.InferenceSession, golden_sets.GoldenSet)
        for name, item in vars(kind).items()
        if inspect.isfunction(item) and not name.startswith("_")
    ]
    commands = [compare, diff, explain, identify, quality]
    return [*functions, *methods, *commands, random_feeds, pictures, shipped_model, from_toml, profile_named]


@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name)
def test_the_example_prints_what_it_shows(
    test: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # what an example writes
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


@pytest.mark.parametrize("function", public(), ids=lambda function: f"{function.__module__}.{function.__qualname__}")
def test_every_public_function_has_an_example(function: Callable[..., Any]) -> None:
    assert ">>> " in (inspect.getdoc(function) or "")
