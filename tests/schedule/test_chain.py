"""Chains of forms, and strips between them: against the steps."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import qdqnp
from qdqnp.schedule import chain as chains
from qdqnp.schedule import compile as compiling
from qdqnp.schedule import depthwise, rows, winograd
from qdqnp.schedule.chain import FormChain
from qdqnp.schedule.rows import KernelRows
from tests.networks import Builder
from tests.schedule.compiled import change_window, check, computed, forms, random_layer, windowed


@pytest.mark.parametrize("profile", ("ort", "tflite", "neural-art"))
def test_chains_give_the_codes_of_the_steps(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image that one convolution reads lies between two forms, however small; in bands of few rows."""
    monkeypatch.setattr(compiling, "CHAINED", 1)
    seen: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        monkeypatch.setattr(chains, "BETWEEN", int(rng.choice([1, 2000, 10**9])))
        for room in (rows, winograd, depthwise):
            monkeypatch.setattr(room, "BAND", int(rng.choice([1, 20_000, 10**9])))
        net = Builder(seed, dtype=np.int8 if rng.integers(2) else np.uint8, per_channel=bool(rng.integers(2)))
        channels = int(rng.choice([1, 3, 16, 24]))
        y = net.quantized("input", channels, 1.0)
        for _ in range(int(rng.integers(2, 6))):
            kind = int(rng.integers(4))
            if kind == 0:
                y = net.conv(y, int(rng.choice([8, 16])))
            elif kind == 1:
                y = net.conv(y, net.channels[y], 3, int(rng.choice([1, 2])), net.channels[y])
            elif kind == 2:
                y = net.conv(y, int(rng.choice([8, 16])), 3)
            else:
                y = random_layer(net, rng, y)
        size = [int(side) for side in rng.integers(16, 60, 2)]
        x = rng.normal(0, 1.2, (1, channels, *size)).astype(np.float32)
        try:
            model = qdqnp.load(net.model(net.conv(y, 8), [1, channels, *size]))
            model.run(x, profile=profile)
        except qdqnp.QdqnpError:
            continue
        found = check(model, x, profile, model.plan(profile).program.outputs)
        seen += forms(found)
        chained = [form for form in computed(found) if isinstance(form, FormChain)]
        lengths.update(len(form.forms) for form in chained)
    assert {"FormChain", "Pointwise", "Planes", "KernelRows", "Winograd", "Depthwise"} <= set(seen), seen
    assert len(lengths) > 2, lengths


@pytest.mark.parametrize("profile", ["ort", "tflite", "neural-art"])
def test_strips_between_forms_give_the_codes_of_the_steps(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who makes the input of a window, of one group or several, writes rows as its kernel reads them."""
    monkeypatch.setattr(compiling, "CHAINED", 1)
    seen: Counter[tuple[bool, bool]] = Counter()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        monkeypatch.setattr(chains, "BETWEEN", int(rng.choice([1, 2000, 10**9])))
        for room in (rows, winograd):
            monkeypatch.setattr(room, "BAND", int(rng.choice([1, 20_000, 10**9])))
        net = Builder(seed, dtype=np.int8 if rng.integers(2) else np.uint8, per_channel=bool(rng.integers(2)))
        y = net.conv(net.conv(net.quantized("input", 5, 1.0), 8), 32, int(rng.choice([1, 1, 3])))
        y = windowed(net, rng, y, int(rng.choice([32, 64])), int(rng.choice([1, 2, 4])))
        height, width = (int(side) for side in rng.integers(12, 40, 2))
        x = rng.normal(0, 1.2, (1, 5, height, width)).astype(np.float32)
        try:
            model = qdqnp.load(net.model(net.conv(y, 8), [1, 5, height, width]))
            model.run(x, profile=profile)
        except qdqnp.QdqnpError:
            continue
        found = computed(check(model, x, profile, model.plan(profile).program.outputs))
        readers = [form for chain in found if isinstance(chain, FormChain) for form in chain.in_strips]
        layouts = [form.strips for form in readers if form.strips is not None]
        seen.update((layout.down > 1, layout.blocks > 1) for layout in layouts)
    assert len(seen) == 4, f"strips with and without a stride, of one block and of several: {seen}"


def test_who_adds_a_shortcut_or_a_large_bias_does_not_write_strips_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "CHAINED", 1)
    x = np.random.default_rng(2).normal(0, 1, (1, 5, 12, 17)).astype(np.float32)
    for how in ("plain", "shortcut", "bias"):
        net = Builder(3)
        before = net.conv(net.quantized("input", 5, 1.0), 8)
        y = net.conv(before, 32)
        if how == "bias":
            last = [values for name, values in net.constants.items() if name.startswith("b_codes")][-1]
            last[:2] = 2**31 - 1, 2**24 + 1
        if how == "shortcut":
            y = net.add(y, net.conv(before, 32))
        model = qdqnp.load(net.model(net.conv(net.conv(y, 32, 3, 1, 4), 8), [1, 5, 12, 17]))
        found = computed(check(model, x, "ort", model.plan().program.outputs))
        readers = [form for made in found if isinstance(made, FormChain) for form in made.in_strips]
        blocks = [form.strips.blocks for form in readers if form.strips is not None]
        assert blocks == ([2] if how == "plain" else []), how


@pytest.mark.parametrize("profile", ["ort", "tflite"])
def test_windows_that_end_before_the_last_column(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who makes the image writes whole rows all the same."""
    monkeypatch.setattr(compiling, "CHAINED", 1)
    x = np.random.default_rng(2).normal(0, 1, (1, 5, 12, 17)).astype(np.float32)
    for kernel, stride in ((1, 2), (2, 2), (3, 3), (4, 5)):
        net = Builder(stride)
        y = net.conv(net.conv(net.conv(net.quantized("input", 5, 1.0), 8), 16), 16, kernel, stride)
        change_window(net, pads=[0] * 4)
        model = qdqnp.load(net.model(net.conv(y, 8), [1, 5, 12, 17]))
        schedule = check(model, x, profile, model.plan(profile).program.outputs, KernelRows)
        assert forms(schedule)["FormChain"], (kernel, stride)


def test_an_image_with_other_readers_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shortcut, a join, and an output are read as whole images."""
    monkeypatch.setattr(compiling, "CHAINED", 1)
    net = Builder(4)
    y = net.conv(net.quantized("input", 3, 1.0), 16, 3)
    z = net.conv(y, 16, 3)
    both = net.concat(z, net.conv(net.conv(net.add(net.conv(z, 16, 3), z), 16, 3), 16))
    model = qdqnp.load(net.model(net.conv(both, 8), [1, 3, 24, 24]))
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 24, 24)).astype(np.float32)
    outputs = model.plan().program.outputs
    assert forms(check(model, x, "ort", outputs))["FormChain"] == 2
    second = model.layer(model.plan().steps[1].step.label).name
    assert forms(check(model, x, "ort", [*outputs, second]))["FormChain"] == 1
