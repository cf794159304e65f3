"""A model as one file: unchanged where it is one, with its external data inside where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.errors import ModelError
from qdqnp.reader.embed import single_file
from tests.networks import dla


def test_one_file_stays_as_it_is(tmp_path: Path) -> None:
    model = dla()
    onnx.save(model, tmp_path / "net.onnx")
    data = (tmp_path / "net.onnx").read_bytes()
    assert single_file(tmp_path / "net.onnx") == single_file(data) == data
    assert onnx.load_from_string(single_file(model)) == model


@pytest.mark.parametrize("attributes", [False, True])
def test_external_data_comes_inside(tmp_path: Path, attributes: bool) -> None:
    model = dla()
    plain = model.SerializeToString(deterministic=True)
    if attributes:  # weights as Constant nodes
        node = onnx.helper.make_node("Constant", [], ["extra"], value=model.graph.initializer[0])
        model.graph.node.insert(0, node)
    onnx.save(
        model,
        tmp_path / "net.onnx",
        save_as_external_data=True,
        location="net.data",
        size_threshold=0,
        convert_attribute=attributes,
    )
    assert (tmp_path / "net.data").stat().st_size > 1000
    data = single_file(tmp_path / "net.onnx")
    assert data == single_file(tmp_path / "net.onnx")
    (tmp_path / "net.data").unlink()
    x = np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)
    wanted, got = qdqnp.load(plain).run(x), qdqnp.load(data).run(x)
    for name, array in wanted.items():
        np.testing.assert_array_equal(got[name], array)


def test_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    onnx.save(dla(), folder / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    model = onnx.load(folder / "net.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../net.data"
    onnx.save(model, folder / "evil.onnx")
    with pytest.raises(ModelError, match=r"'\.\.'"):
        single_file(folder / "evil.onnx")
