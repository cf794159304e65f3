"""No two tensors that are needed at the same time share memory."""

from __future__ import annotations

from itertools import combinations

import qdqnp
from qdqnp.golden_sets.harness.layer import count
from qdqnp.golden_sets.harness.writer import network_of
from qdqnp.inputs.shipped import shipped_model


def test_tensors_that_live_together_lie_apart() -> None:
    plan = qdqnp.load(shipped_model("dla46_c_int8")).plan("cmsis-nn")
    shapes = plan.shapes({"input": (1, 3, 32, 32)})
    net = network_of(plan, shapes, "golden", 1)
    codes = list(net.layers.values())
    spans = {name: [0, 0] for name in net.inputs}
    for index, code in enumerate(codes):
        spans[code.step.output_names[0]] = [index, index]
        for name in code.step.input_names:
            if name in spans:
                spans[name][1] = index
    for name in net.outputs:
        spans[name][1] = len(codes)
    views = {code.step.output_names[0]: code.step.input_names[0] for code in codes if code.view}
    assert views  # a Flatten
    for made, of in views.items():
        assert net.places.tensors[made] == net.places.tensors[of]
        spans[of][1] = max(spans[of][1], spans[made][1])
    places = net.places.tensors
    for a, b in combinations([name for name in spans if name not in views], 2):
        together = spans[a][0] <= spans[b][1] and spans[b][0] <= spans[a][1]
        apart = places[a] + count(shapes[a]) <= places[b] or places[b] + count(shapes[b]) <= places[a]
        assert apart or not together, (a, b)
    assert all(places[name] + count(shapes[name]) <= net.places.size for name in spans)
    assert net.places.size < 0.3 * sum(count(shapes[name]) for name in spans)
