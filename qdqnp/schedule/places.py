"""Where the images of a schedule lie in the arena: how long each is needed, and which lie inside of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qdqnp.schedule.actions import Action, Compiled
from qdqnp.schedule.arena import Span, offsets
from qdqnp.schedule.image import Image
from qdqnp.schedule.schedule import ArenaPlace

#: Images that are made in the place of another: by name, that image's name and the first channel there.
Inside = Mapping[str, tuple[str, int]]


def places_of(
    actions: Sequence[Action], images: Mapping[str, Image], inside: Inside
) -> tuple[dict[str, ArenaPlace], int]:
    """Return the place of each image by name, and how many floats all need.

    actions: in order.
    images: by name.
    """
    owners = {name: _owner(name, inside) for name in images}
    borders = dict.fromkeys(images, (0, 0))
    for action in actions:
        if isinstance(action, Compiled) and action.form.borders != (0, 0):
            owner, _ = owners[action.form.inputs[0]]
            (above, below), (more_above, more_below) = borders[owner], action.form.borders
            borders[owner] = max(above, more_above), max(below, more_below)
    starts, floats = offsets(_spans(actions, images, owners, borders))
    places = {
        name: ArenaPlace(images[name], starts[owner], images[owner].channels, channel, *borders[owner])
        for name, (owner, channel) in owners.items()
    }
    return places, floats


def _owner(name: str, inside: Inside) -> tuple[str, int]:
    """Return in whose memory an image lies, and its first channel there."""
    channel = 0
    while name in inside:
        name, first = inside[name]
        channel += first
    return name, channel


def _spans(
    actions: Sequence[Action], images: Mapping[str, Image], owners: Inside, borders: Mapping[str, tuple[int, int]]
) -> list[Span]:
    """Return which memory is needed from where to where."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for at, action in enumerate(actions):
        for name in action.images:
            owner, _ = owners[name]
            first.setdefault(owner, at)
            last[owner] = at
    found = []
    for owner in first:
        image = images[owner]
        rows = image.height + sum(borders[owner])
        found.append(Span(owner, rows * image.width * image.channels, first[owner], last[owner]))
    return found
