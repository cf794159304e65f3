"""Layers in float: one at a time, one after another, and all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qdqnp
from qdqnp.layer_quality import quality
from qdqnp.layer_quality.layers import Connections
from qdqnp.layer_quality.measure import Bench
from qdqnp.layer_quality.pairing import Matcher
from qdqnp.layer_quality.what_if import FloatForms
from tests.layer_quality.nets import data, float_net, int8_net, zoo
from tools.models.quantize import Recipe


def forms(real: bytes, codes: bytes) -> tuple[FloatForms, qdqnp.Model]:
    left, right = qdqnp.load(real), qdqnp.load(codes)
    wirings = Connections.of(left.program("ort-unfused"), left.graph), Connections.of(right.program(), right.graph)
    pairs = Matcher(*wirings, right.graph).pair({}).pairs
    bench = Bench(left.plan("ort-unfused"), right.plan(), wirings, pairs)
    plan = right.plan("ort-unfused")
    return FloatForms(bench, plan, Connections.of(plan.program, right.graph)), left


def small() -> tuple[bytes, bytes]:
    return float_net().SerializeToString(), int8_net(rescaled={"c2": 6.0}).SerializeToString()


@pytest.mark.parametrize("network", ["small", "mlp", "residual"])
def test_all_layers_in_float_are_the_float_network(network: str) -> None:
    real, codes = small() if network == "small" else zoo(network)[:2]
    found, model = forms(real, codes)
    feeds = data(2) if network == "small" else [{"input": x} for x in zoo(network)[2][:2]]
    for inputs in feeds:
        wanted = model.run(inputs, profile="ort-unfused")
        values = found.values(inputs, list(found.forms))
        for name, array in wanted.items():
            assert np.allclose(values[name], array, rtol=1e-4, atol=1e-5), name


def test_one_more_layer_is_the_whole_run_with_it() -> None:
    found, _ = forms(*small())
    (inputs,) = data(1)
    for chosen in ((), ("x_q",), ("a_q", "r1_q")):
        values = found.values(inputs, chosen)
        for more in found.forms:
            if more in chosen:
                continue
            partial = {**values, **found.with_one_more(values, chosen, more)}
            whole = found.values(inputs, [*chosen, more])
            assert all(np.array_equal(partial[name], whole[name]) for name in whole), more


def test_the_layer_that_was_quantized_badly_helps_most() -> None:
    report = quality(*small(), data(), what_if=True, greedy=3)
    assert report.rows[0].tensor == report.by_gain[0].tensor == "c2_q"
    assert report.unfused is not None and report.gain(report.rows[0]) > 3
    assert "c2_node" in report.verdict()
    assert report.greedy[0].tensor == "c2_q"
    levels = [report.unfused.error.sqnr, *(step.outputs.error.sqnr for step in report.greedy)]
    assert levels == sorted(levels) and len(set(levels)) == 4
    assert 0 < report.what_if_runs < len(report.by_gain) + 1


def test_every_input_of_every_round_is_told() -> None:
    told: list[tuple[int, int]] = []
    quality(*small(), data(3), what_if=True, greedy=2, advance=lambda done, total: told.append((done, total)))
    assert told == [(done, 6) for done in range(1, 7)]
    told.clear()
    quality(*small(), (inputs["x"] for inputs in data(2)), advance=lambda done, total: told.append((done, total)))
    assert told == [(1, 0), (2, 0)]


def test_the_same_report_from_many_processes_and_from_kept_results(tmp_path: Path) -> None:
    alone = quality(*small(), data(4), labels=[0, 1, 2, 3], greedy=2).as_json()
    for _ in range(2):  # the second time nothing is computed
        where = {"workers": 2, "results": tmp_path / "kept"}
        many = quality(*small(), data(4), labels=[0, 1, 2, 3], greedy=2, **where)  # type: ignore[arg-type]
        assert many.as_json() == alone
    kept = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert len(kept) >= 8


def test_qoperator_files_say_that_they_cannot() -> None:
    real, codes, inputs = zoo("mlp", 0, Recipe("uint8", format="qoperator"))
    report = quality(real, codes, inputs[:1], what_if=True, greedy=2)
    assert len(report.by_gain) <= 1 and not report.greedy[1:]
    assert report.rows[0].sums.own.noise
