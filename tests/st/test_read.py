"""A compiled network is read as it was written, and every fault of its files is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qdqnp.errors import InputError
from qdqnp.st.document import network_json
from qdqnp.st.read import read
from tests.st.writing import FLASH, random_network, write_folder


@pytest.mark.parametrize("controller", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_what_was_written_is_read(tmp_path: Path, seed: int, controller: bool) -> None:
    written = write_folder(tmp_path, random_network(np.random.default_rng(seed)), controller)
    assert network_json(read([tmp_path])) == network_json(written)


def test_a_network_may_lie_in_two_folders(tmp_path: Path) -> None:
    written = write_folder(tmp_path / "both", random_network(np.random.default_rng(1)), controller=True)
    (tmp_path / "trace").mkdir()
    (tmp_path / "both" / "network_blob_trace.c").rename(tmp_path / "trace" / "network_blob_trace.c")
    found = read([tmp_path / "both", tmp_path / "trace"])
    assert network_json(found) == network_json(written)
    with pytest.raises(InputError, match="blob_trace"):
        read([tmp_path / "both"])


@pytest.mark.parametrize("channels", [2, 12, 30])
def test_coefficients_of_wide_layers_are_streams(tmp_path: Path, channels: int) -> None:
    rng = np.random.default_rng(channels)
    drawn = next(one for one in map(random_network, map(np.random.default_rng, range(9))) if one.sums[0].sh1)
    a2 = int(drawn.sums[0].a2 or 0)
    bc = a2 * rng.integers(-2000, 2000, channels) - (2**15 << 12)
    layer = replace(drawn.sums[0], channels=channels, a=rng.integers(0, 2**15, channels), bc=bc)
    written = write_folder(tmp_path / "st", replace(drawn, sums=(layer,)), streamed=True)
    assert network_json(read([tmp_path / "st"]))["sums"] == network_json(written)["sums"]
    path = tmp_path / "st" / f"network_atonbuf.{FLASH.name}.raw"
    content = bytearray(path.read_bytes())
    content[0] ^= 1  # the first of the numbers that a line repeats
    path.write_bytes(content)
    assert "the same numbers for all elements of a line" in problems(tmp_path / "st")
    edit(tmp_path / "st" / "network.c", ".frame_loop_cnt = 5", ".frame_loop_cnt = 7")
    assert f"numbers for {channels} channels" in problems(tmp_path / "st")


# -- faults ------------------------------------------------------------------------------------------------------------
def network(tmp_path: Path, seed: int = 3) -> Path:
    """A folder whose vectors are in a file of a memory."""
    drawn = random_network(np.random.default_rng(seed))
    (layer, *_) = drawn.sums
    wide = replace(layer, channels=4, a=np.arange(1, 5), bc=np.arange(4) << 20, parts=(), chained=1)
    write_folder(tmp_path, replace(drawn, sums=(wide, *drawn.sums[1:])))
    return tmp_path


def problems(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        read([folder])
    return str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_nothing_there(tmp_path: Path) -> None:
    assert "a C file of ST's compiler" in problems(tmp_path)
    assert "No such file" in problems(tmp_path / "missing")


def test_a_memory_without_its_file(tmp_path: Path) -> None:
    (network(tmp_path) / f"network_atonbuf.{FLASH.name}.raw").unlink()
    assert f"a file *atonbuf.{FLASH.name}.raw" in problems(tmp_path)


def test_a_truncated_memory(tmp_path: Path) -> None:
    path = network(tmp_path) / f"network_atonbuf.{FLASH.name}.raw"
    path.write_bytes(path.read_bytes()[:4])
    assert "a content of 4 bytes" in problems(tmp_path)


def test_a_memory_larger_than_its_pool(tmp_path: Path) -> None:
    path = network(tmp_path) / f"network_atonbuf.{FLASH.name}.raw"
    path.write_bytes(bytes(FLASH.size + 1))
    assert "the pool's size" in problems(tmp_path)


def test_an_address_outside_the_memories(tmp_path: Path) -> None:
    edit(network(tmp_path) / "network.c", f"({FLASH.base:#x}UL + ", "(0x10UL + ")
    assert "an address in one of the pools (xSPI2 from 0x71000000" in problems(tmp_path)


def test_a_buffer_outside_its_memory(tmp_path: Path) -> None:
    path = network(tmp_path) / "network_c_info.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    info["buffers"][2]["offset_start"] = 2**30
    path.write_text(json.dumps(info), encoding="utf-8")
    assert "buffer tensor_2: expected bytes of the pool AXISRAM5" in problems(tmp_path)


@pytest.mark.parametrize("release", ["1.0.9", "1.2.0", "2.1.1"])
def test_another_release_of_the_compiler(tmp_path: Path, release: str) -> None:
    drawn = random_network(np.random.default_rng(3))
    write_folder(tmp_path, replace(drawn, compiler=f"{release}-7"))
    assert f"expected 1.1.0 to 1.1.3, got {release}-7" in problems(tmp_path)


def test_a_release_that_narrows_otherwise(tmp_path: Path) -> None:
    drawn = random_network(np.random.default_rng(3))
    other = "1.1.3-1" if drawn.compiler.startswith("1.1.1") else "1.1.0-1"
    write_folder(tmp_path, replace(drawn, compiler=other))
    assert "narrowings, as releases" in problems(tmp_path)


def test_fields_that_would_be_another_arithmetic(tmp_path: Path) -> None:
    path = network(tmp_path) / "network.c"
    path.write_text(path.read_text(encoding="utf-8").replace(".rounding_o = 1", ".rounding_o = 0"), encoding="utf-8")
    assert "rounding_o (line" in problems(tmp_path)


def test_all_problems_at_once(tmp_path: Path) -> None:
    edit(network(tmp_path) / "network.c", f"({FLASH.base:#x}UL + ", "(0x10UL + ")
    path = tmp_path / "network_c_info.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    info["buffers"][0] = {"name": "x"}
    path.write_text(json.dumps(info), encoding="utf-8")
    edit(tmp_path / "network.c", "_MINOR != 1", "_MINOR != 7")
    text = problems(tmp_path)
    assert "an address in one of the pools" in text and "buffers[0]" in text and "1.1.0 to 1.1.3" in text


def test_two_networks_in_one_folder(tmp_path: Path) -> None:
    text = (network(tmp_path) / "network.c").read_text(encoding="utf-8")
    (tmp_path / "other.c").write_text(text, encoding="utf-8")
    (tmp_path / "main.c").write_text("int main(void) { return 0; }", encoding="utf-8")
    assert "expected one, got network.c, other.c" in problems(tmp_path)


@pytest.mark.parametrize("name", ["network_c_info.json", "net_OE_3_3_0_Q.json"])
@pytest.mark.parametrize("text", ["{", "[]", "7", '{"buffers": 3, "nodes": 3}'])
def test_documents_of_another_form(tmp_path: Path, name: str, text: str) -> None:
    (network(tmp_path) / name).write_text(text, encoding="utf-8")
    assert "JSON" in problems(tmp_path) or "a table with" in problems(tmp_path)
