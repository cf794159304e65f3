"""The one seed of the tests' random cases, and the option --oracles.

The seed is 20261128, or what the environment variable QDQNP_TEST_SEED says.

Without the variable every run draws the same cases. `QDQNP_TEST_SEED=7 python -m pytest` draws others; a failing test
prints the variable that repeats its draw. Hypothesis draws from the same number, unless --hypothesis-seed is given.

A test marked `oracle` compares with a package of the extra `oracles`, and is skipped without it. With --oracles pytest
runs these tests alone, and one that would be skipped fails.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Generator

import numpy as np
import pytest
from hypothesis import settings

ORACLES = "--oracles"
VARIABLE = "QDQNP_TEST_SEED"
SEED = int(os.environ.get(VARIABLE, "20261128"))

# How long a case takes is the machine's affair: a busy one must not fail a test.
settings.register_profile("qdqnp", deadline=None)
settings.load_profile("qdqnp")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(ORACLES, action="store_true", help="only the tests marked `oracle`; one that is skipped fails")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Select the oracles' tests, and seed Hypothesis before its own plugin reads the option."""
    if config.getoption(ORACLES):
        config.option.markexpr = "oracle"
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(SEED)


def pytest_report_header() -> str:
    return f"random cases: {VARIABLE}={SEED}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that would be skipped where its oracle is asked for; say beside every failure how to draw the same
    random cases again."""
    report = yield
    if report.skipped and item.config.getoption(ORACLES):
        report.outcome, report.longrepr = "failed", str(call.excinfo.value if call.excinfo else report.longrepr)
    if report.failed:
        report.sections.append(("random cases", f"to draw the same again: {VARIABLE}={SEED}"))
    return report


@pytest.fixture(scope="session")
def session_seed() -> int:
    """The seed of the whole run, for fixtures that several tests share."""
    return SEED


@pytest.fixture
def seed(request: pytest.FixtureRequest, session_seed: int) -> int:
    """A seed below 2^31 for this test alone, made from the run's seed and the test's name and parameters."""
    return zlib.crc32(f"{session_seed} {request.node.nodeid}".encode()) >> 1


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """A generator for this test alone."""
    return np.random.default_rng(seed)
