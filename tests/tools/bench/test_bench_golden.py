"""tools/bench/bench_golden.py on small sets: what it measures of them is so."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from qdqnp.errors import QdqnpError
from tests.networks import dla
from tools.bench import bench_golden


def test_measures_each_number_of_inputs(tmp_path: Path) -> None:
    onnx.save(dla(), tmp_path / "net.onnx")
    arguments = [str(tmp_path / "net.onnx"), "--format", "bin", "--inputs", "1,2", "--profile", "ort"]
    result = CliRunner().invoke(bench_golden.main, arguments)
    assert result.exit_code == 0, result.output
    one, two = (line.split() for line in result.output.splitlines()[-2:])
    assert (one[0], two[0]) == ("1", "2") and one[4] == two[4]  # the same files, larger
    assert float(one[5]) < float(two[5]) < 2 * float(one[5])
    assert float(one[2]) > 0 and float(one[3]) > 20  # Linux counts what the process that starts it had at that moment


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(QdqnpError, match="qdqnp golden failed"):
        bench_golden.measure(tmp_path / "net.onnx", "ort", "bin", 1, tmp_path)
