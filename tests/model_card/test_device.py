"""Device files: what they may state, and that all that is wrong is listed at once."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from qdqnp.errors import InputError
from qdqnp.model_card.device import device_from, device_names, device_of

GOOD: dict[str, Any] = {
    "name": "board",
    "npu": {"clock_mhz": 500, "macs_per_cycle": 64},
    "memories": [
        {"name": "ram", "holds": "activations", "bytes": 1000, "megabytes_per_second": 100},
        {"name": "flash", "holds": "weights", "bytes": 2000, "megabytes_per_second": 12.5, "external": True},
    ],
}
BAD: list[tuple[str, Any, str]] = [
    ("name", 3, "name"),
    ("name", "", "name"),
    ("name", "x" * 101, "name"),
    ("alignment", 0, "alignment"),
    ("alignment", True, "alignment"),
    ("alignment", 1.5, "alignment"),
    ("npu", [], "npu"),
    ("npu.clock_mhz", 0, "npu.clock_mhz"),
    ("npu.clock_mhz", math.nan, "npu.clock_mhz"),
    ("npu.clock_mhz", math.inf, "npu.clock_mhz"),
    ("npu.clock_mhz", "1 GHz", "npu.clock_mhz"),
    ("npu.macs_per_cycle", -1, "npu.macs_per_cycle"),
    ("npu.macs_per_cycle", True, "npu.macs_per_cycle"),
    ("npu.source", 1, "npu.source"),
    ("npu.x", 1, "npu.x"),
    ("memories", [], "memories"),
    ("memories", [3], "memories"),
    ("memories", "ram", "memories"),
    ("memories.0.bytes", 0, "memories[0].bytes"),
    ("memories.0.bytes", 2**49, "memories[0].bytes"),
    ("memories.0.bytes", 1e6, "memories[0].bytes"),
    ("memories.0.holds", "code", "memories[0].holds"),
    ("memories.0.holds", [], "memories[0].holds"),
    ("memories.1.megabytes_per_second", 1e10, "memories[1].megabytes_per_second"),
    ("memories.1.external", "yes", "memories[1].external"),
    ("memories.1.source", "x" * 501, "memories[1].source"),
    ("memories.1.speed", 1, "memories[1].speed"),
    ("memories.1.name", "ram", "memories"),
    ("memories.1.holds", "activations", "memories"),
    ("speed", 1, "speed"),
]


def changed(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    place: Any = document
    *parents, last = path.split(".")
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    return document


def test_a_good_device() -> None:
    found = device_of(GOOD, "board.toml")
    assert (found.clock, found.macs_per_cycle, found.alignment) == (5e8, 64.0, 1)
    assert [memory.name for memory in found.holding("weights")] == ["flash"]
    assert found.memories[1].external and not found.memories[0].external
    assert found.memories[1].bytes_per_second == 12.5e6


@pytest.mark.parametrize(("path", "value", "where"), BAD)
def test_a_bad_value_is_named(path: str, value: Any, where: str) -> None:
    with pytest.raises(InputError) as raised:
        device_of(changed(path, value), "board.toml")
    assert [problem.where for problem in raised.value.problems] == [where]


@pytest.mark.parametrize("path", ["name", "npu", "memories", "npu.clock_mhz", "memories.0.bytes", "memories.1.holds"])
def test_a_missing_value_is_named(path: str) -> None:
    document = changed(path, None)
    place: Any = document
    *parents, last = path.split(".")
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    del place[last]
    with pytest.raises(InputError, match="nothing"):
        device_of(document, "board.toml")


def test_all_that_is_wrong_is_listed_at_once(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(
        'alignment = -1\nspeed = 2\n[npu]\nclock_mhz = 0\n[[memories]]\nname = "ram"\nholds = "code"\nbytes = 0\n'
    )
    with pytest.raises(InputError) as raised:
        device_from(str(tmp_path / "d.toml"))
    assert [problem.where for problem in raised.value.problems] == [
        *("name", "alignment", "speed", "npu.clock_mhz", "npu.macs_per_cycle"),
        *("memories[0].holds", "memories[0].bytes", "memories[0].megabytes_per_second"),
    ]


@pytest.mark.parametrize("text", ["stm32", "", "x" * 10_000, "missing.toml", "\0.toml"])
def test_a_device_that_is_not_there(text: str) -> None:
    with pytest.raises(InputError):
        device_from(text)


def test_what_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_bytes(b"\xff\x00[")
    with pytest.raises(InputError, match="cannot read a device"):
        device_from(tmp_path / "d.toml")


@pytest.mark.parametrize("name", device_names())
def test_a_shipped_device_names_the_source_of_every_figure(name: str) -> None:
    found = device_from(name)
    assert found.source and all(memory.source for memory in found.memories)
