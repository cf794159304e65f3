"""A set is the same bytes wherever its inputs were computed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from qdqnp.errors import GoldenError
from qdqnp.golden_sets import Options, write
from qdqnp.golden_sets import cases as captured
from tests.networks import dla

COUNT = 3
FORMATS = ("npz", "bin", "hex", "c-crc")


def inputs(count: int = COUNT, size: int = 16) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    rng = np.random.default_rng(5)
    for _ in range(count):
        yield {"input": rng.standard_normal((1, 3, size, size), dtype=np.float32)}


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    onnx.save(dla(seed=4), path)
    return path


def test_a_set_is_the_same_bytes_wherever_it_was_computed(model: Path, tmp_path: Path) -> None:
    """In a pool of processes, in an executor, and from a folder of results."""
    calls: list[None] = []
    options = Options(formats=FORMATS, activations="NHWC", weights="OHWI", cmsis_nn=True)

    def written(name: str, **where: Any) -> dict[str, str]:
        write(
            tmp_path / name,
            model,
            inputs(),
            COUNT,
            profile="tflite",
            options=options,
            progress=lambda: calls.append(None),
            **where,
        )
        return hashes(tmp_path / name)

    alone = written("alone")
    assert written("two", workers=2) == alone
    with ThreadPoolExecutor(3) as executor:
        assert written("three", executor=executor, workers=3, results=tmp_path / "results") == alone
    kept = list((tmp_path / "results").iterdir())
    assert len(kept) == COUNT - 1  # the first is always computed here
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captured, "captured_tensors", None)
        assert written("again", results=tmp_path / "results") == alone
    assert len(calls) == 4 * COUNT


def test_an_input_that_is_not_like_the_first_is_an_error_wherever_it_is_computed(tmp_path: Path) -> None:
    net = dla(seed=4, batch="N")
    feeds = [{"input": np.zeros((size, 3, 16, 16), np.float32)} for size in (1, 1, 2, 3)]
    with ThreadPoolExecutor(2) as executor:
        for where in ({}, {"executor": executor}):
            with pytest.raises(GoldenError, match="must be alike") as caught:
                write(tmp_path / "set", net, feeds, 4, **where)
            assert caught.value.problems[0].where == "tensor 'input', input 2"
    assert not (tmp_path / "set").exists()
