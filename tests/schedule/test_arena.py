"""Memory of images: spans that are needed at the same time never overlap, and memory is used again."""

from __future__ import annotations

import numpy as np

from qdqnp.schedule.arena import LINE, Span, offsets


def test_spans_that_live_together_do_not_overlap(rng: np.random.Generator) -> None:
    for _ in range(50):
        spans = []
        for at in range(20):
            first = int(rng.integers(30))
            spans.append(Span(str(at), int(rng.integers(1, 500)), first, first + int(rng.integers(6))))
        starts, floats = offsets(spans)
        assert floats >= max(starts[span.name] + span.floats for span in spans)
        assert all(start % LINE == 0 for start in starts.values())
        for a in spans:
            for b in spans:
                together = a.name < b.name and a.first <= b.last and b.first <= a.last
                apart = starts[a.name] + a.floats <= starts[b.name] or starts[b.name] + b.floats <= starts[a.name]
                assert apart or not together


def test_memory_is_used_again() -> None:
    _, floats = offsets(Span(str(at), 160, at, at + 1) for at in range(10))
    assert floats == 320
