"""The probes: each answer is what a peer of that kind would make it, and the faults are those of the tested release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qdqnp.errors import PeerError
from qdqnp.numerics.rules.add import FixedAdd
from qdqnp.peers.ort import faults as ort_faults
from qdqnp.peers.ort import probe as ort_probe
from qdqnp.peers.ort.faults import FAULTS
from qdqnp.quant import Quant
from tests.oracles import ort

PROBES = (
    ort_probe.saturates,
    ort_probe.conv_sums,
    ort_probe.matmul_sums,
    ort_probe.add_rule,
    ort_probe.float_sums_known,
    ort_probe.int8_fuses_by_default,
)
CHANGED_IN_1_32 = "a default session refuses int8 models of opset 21"


@pytest.fixture(autouse=True)
def fresh() -> None:
    for probe in PROBES:
        probe.cache_clear()


def test_this_machine() -> None:
    """x86-64 with FMA3, which is what the tests compare with; whether sums saturate is the CPU's own affair."""
    if not ort._sums_are_exact():
        pytest.skip("sums of uint8 x int8 products may saturate on this CPU")
    assert (ort_probe.conv_sums(), ort_probe.matmul_sums()) == ("exact", "exact")
    assert ort_probe.add_rule() == "ort"
    assert ort_probe.float_sums_known() and not ort_probe.int8_fuses_by_default()
    computed = ort_probe.computed_profiles()
    assert [name for name, here in computed.items() if here == "yes"] == ["ort", "ort-x64", "ort-unfused"]


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Any]) -> None:
    for module in (ort_probe, ort_faults):
        monkeypatch.setattr(module, "one_node", answer)


@pytest.mark.parametrize(("code", "sums"), [(127, "exact"), (126, "neither"), (64, "saturates in pairs")])
def test_sums(monkeypatch: pytest.MonkeyPatch, code: int, sums: str) -> None:
    """129,540 / 1024 is 126.504, and 65,534 / 1024 is 63.998."""
    answering(monkeypatch, lambda *_, **__: np.full((4, 4), code, np.uint8))
    assert ort_probe.conv_sums() == ort_probe.matmul_sums() == sums
    assert ort_probe.saturates() == (sums == "saturates in pairs")


def test_a_machine_that_adds_in_fixed_point(monkeypatch: pytest.MonkeyPatch) -> None:
    def fixed(op: str, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
        quants = [Quant(np.dtype(np.int8), inputs[s], inputs[z]) for s, z in (("as", "az"), ("bs", "bz"), ("ys", "yz"))]
        return FixedAdd().bind(*quants)(inputs["x"], inputs["b"])

    answering(monkeypatch, fixed)
    assert ort_probe.add_rule() == "ort-arm64"
    answering(monkeypatch, lambda *_, **__: np.zeros((256, 256), np.int8))
    ort_probe.add_rule.cache_clear()
    assert ort_probe.add_rule() == "neither"


def test_a_machine_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def machine(add: str, saturates: bool, signed: bool) -> dict[str, str]:
        monkeypatch.setattr(ort_probe, "add_rule", lambda: add)
        monkeypatch.setattr(ort_probe, "saturates", lambda: saturates)
        monkeypatch.setattr(ort_probe, "int8_fuses_by_default", lambda: signed)
        monkeypatch.setattr(ort_probe, "float_sums_known", lambda: add == "ort")
        return ort_probe.computed_profiles()

    avx2 = machine("ort", True, False)
    assert avx2["ort-avx2"] == "yes" and "session.x64quantprecision=1" in avx2["ort-x64"]
    arm = machine("ort-arm64", False, True)
    assert [name for name, here in arm.items() if here == "yes"] == ["ort-arm64"]
    assert set(machine("neither", False, False).values()) == {"no"}


def test_faults_of_the_tested_release() -> None:
    """Of all known faults 1.32 has one; each probe runs."""
    assert [fault.title for fault in FAULTS if fault.here()] == [
        title for title in (fault.title for fault in FAULTS) if title.startswith(CHANGED_IN_1_32)
    ]


FAULTY: dict[str, Any] = {
    "a computed int32 bias": np.full((1, 16, 2, 2), 16, np.uint8),
    "weight zero points": PeerError("refused"),
    "CPUs with AMX": np.zeros((32, 17), np.int32),
    "QLinearSoftmax": np.zeros((64, 10), np.int8),
    "MatMulInteger": PeerError("refused"),
}
FUSED: dict[str, list[str]] = {
    "Conv fuses although": ["QuantizeLinear", "QLinearConv", "DequantizeLinear"],
    "Q and DQ around": ["QuantizeLinear", "Resize", "DequantizeLinear"],
}


@pytest.mark.parametrize("title", FAULTY)
def test_a_faulty_kernel_is_found(monkeypatch: pytest.MonkeyPatch, title: str) -> None:
    """Answers as seen of the versions that have the fault."""

    def answer(*_: Any, **__: Any) -> Any:
        if isinstance(FAULTY[title], Exception):
            raise FAULTY[title]
        return FAULTY[title]

    answering(monkeypatch, answer)
    (fault,) = [fault for fault in FAULTS if fault.title.startswith(title)]
    assert fault.here()


@pytest.mark.parametrize("title", FUSED)
def test_a_faulty_fusion_is_found(monkeypatch: pytest.MonkeyPatch, title: str) -> None:
    monkeypatch.setattr(ort_faults, "optimized_operators", lambda *_: FUSED[title])
    (fault,) = [fault for fault in FAULTS if fault.title.startswith(title)]
    assert fault.here()
