"""The picture of a memory map: each piece of memory a box, steps to the right, addresses up."""

from __future__ import annotations

from typing import Any

from qdqnp.errors import printable, shorten
from qdqnp.inspection.lifetimes import live_bytes
from qdqnp.model_card.card import ModelCard, SharedNeed

WIDTH, HEIGHT = 1000.0, 320.0
#: More boxes than a screen shows: the largest are drawn.
MOST_BOXES = 2000
HUES = 12


def memory_map(card: ModelCard, need: SharedNeed) -> dict[str, Any] | None:
    """Return what the page draws of a placement, in points of a picture of WIDTH by HEIGHT; None where there is none.

        card: the card, for the names of layers.
        need: the placement under one assumption.

    It has "boxes" (x, y, width, height, hue, title), "line" (the bytes alive, as points of a polyline), "left_out" (how
    many boxes are not drawn), and "nbytes".
    """
    made, steps = need.placement, max(len(card.layers), 1)
    if made is None or made.nbytes == 0:
        return None
    across, up = WIDTH / steps, HEIGHT / made.nbytes
    labels = [shorten(printable(layer.info.label), 60) for layer in card.layers] or [""]
    drawn = sorted(need.pieces, key=lambda piece: -piece.nbytes)[:MOST_BOXES]
    boxes = [
        {
            "x": round(across * piece.first, 2),
            "y": round(HEIGHT - up * (made.offsets[piece.name] + piece.nbytes), 2),
            "width": round(across * (piece.last - piece.first + 1), 2),
            "height": round(up * piece.nbytes, 2),
            "hue": index % HUES,
            "title": f"{shorten(printable(piece.name), 100)}: {piece.nbytes:,} bytes at {made.offsets[piece.name]:,}, "
            f"from {labels[piece.first]} to {labels[piece.last]}",
        }
        for index, piece in enumerate(drawn)
    ]
    alive = live_bytes(need.pieces, steps).tolist()
    points = [
        (round(across * (step + side), 2), round(HEIGHT - up * count, 2))
        for step, count in enumerate(alive)
        for side in (0, 1)
    ]
    line = " ".join(f"{x},{y}" for x, y in points)
    left_out = len(need.pieces) - len(drawn)
    return {"boxes": boxes, "line": line, "left_out": left_out, "nbytes": made.nbytes, "steps": steps}
