"""Schedules that are held against the steps, and random networks of convolutions to hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper

import qdqnp
from qdqnp.executor.walk import walk
from qdqnp.model import feeds_for
from qdqnp.quant import Array
from qdqnp.schedule.actions import Compiled
from qdqnp.schedule.chain import FormChain
from qdqnp.schedule.choose import Convolved
from qdqnp.schedule.compile import compile_plan
from qdqnp.schedule.form import Form
from qdqnp.schedule.schedule import Schedule
from tests.networks import Builder

PROFILES = ("ort", "ort-x64", "ort-avx2", "exact", "tflite", "tflite-single", "cmsis-nn", "neural-art")


def forms(schedule: Schedule) -> Counter[str]:
    """How many steps take each compiled form."""
    return Counter(type(form).__name__ for form in computed(schedule))


def computed(schedule: Schedule) -> list[Form]:
    """The compiled forms, those of chains too, each chain before its own."""
    found: list[Form] = []
    for action in schedule.actions:
        if isinstance(action, Compiled):
            found += [action.form, *(action.form.forms if isinstance(action.form, FormChain) else ())]
    return found


def check(
    model: qdqnp.Model,
    x: Array,
    profile: str,
    wanted: Collection[str] | None = None,
    prefer: type[Convolved] | None = None,
) -> Schedule:
    """Run a schedule and hold its tensors against the walk's. wanted: of which; all that steps make by default."""
    plan = model.plan(profile)
    feeds = feeds_for(plan, x)
    names = [name for step in plan.program.steps for name in step.output_names if name not in feeds]
    made = [name for name in names if wanted is None or name in wanted]
    shapes = plan.shapes({plan.program.inputs[0]: x.shape})
    schedule = compile_plan(plan, plan.steps, shapes, feeds, made, {}, always=True, prefer=prefer)
    assert schedule is not None
    expected = walk(plan, feeds, made)
    for _ in range(2):  # the second time, the arena holds what the first run left there
        found = schedule.run(feeds)
        for name in made:
            np.testing.assert_array_equal(found[name], expected[name], strict=True, err_msg=f"{profile}, {name}")
    return schedule


def random_layer(net: Builder, rng: np.random.Generator, x: str) -> str:
    """A convolution of any window and any groups, as far as the builder has them."""
    channels = net.channels[x]
    group = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    return windowed(net, rng, x, group * int(rng.integers(1, 1 + max(1, 40 // group))), group)


def windowed(net: Builder, rng: np.random.Generator, x: str, out: int, group: int) -> str:
    """A convolution of these groups and any window."""
    kernel, stride = int(rng.choice([1, 2, 3, 3, 3, 4, 5, 7])), int(rng.choice([1, 1, 2, 3]))
    y = net.conv(x, out, kernel, stride, group)
    pads = [int(pad) for pad in rng.integers(0, kernel, 4)]
    dilation = [int(rng.choice([1, 1, 2])), int(rng.choice([1, 1, 1, 2]))]
    change_window(net, pads=pads, dilations=dilation, strides=[stride, int(rng.choice([1, stride]))])
    return y


def change_window(net: Builder, **changed: list[int]) -> None:
    """Give the last convolution other attributes."""
    node = next(node for node in reversed(net.nodes) if node.op_type == "Conv")
    kept = [attribute for attribute in node.attribute if attribute.name not in changed]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in changed.items())])


def chain(seed: int, profile: str) -> tuple[onnx.ModelProto, Array]:
    """A picture of any channels through two random convolutions, with a third of the same shape added."""
    rng = np.random.default_rng(seed)
    net = Builder(seed, dtype=np.int8 if rng.integers(2) else np.uint8, per_channel=bool(rng.integers(2)))
    channels = int(rng.choice([1, 3, 8, 12, 16, 24, 32]))
    x = net.quantized("input", channels, 1.0)
    y = random_layer(net, rng, x)
    z = random_layer(net, rng, y)
    out, other = net.conv(z, 18), net.conv(z, 18)
    added = net.add(out, other) if rng.integers(2) else net.add(other, out)
    joined = net.concat(added, other, z)
    size = [int(side) for side in rng.integers(16, 40, 2)]
    values = rng.normal(0, 1.2, (1, channels, *size)).astype(np.float32)
    return net.model(net.max_pool(net.conv(joined, 20)), [1, channels, *size]), values
