"""What a shell offers where Tab is pressed: names of profiles, formats, devices, runtimes and layers.

Click calls these with what stands on the line so far; what they need is imported then. Nothing is ever raised: a line
that is half written is no error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def offered(names: Iterable[str], incomplete: str, *, several: bool = False) -> list[CompletionItem]:
    """Return the names that go on with what is written.

    several: names are separated by commas; the last one is completed.

    >>> [item.value for item in offered(["npz", "npy", "c"], "c,np", several=True)]
    ['c,npz', 'c,npy']
    """
    before, comma, last = incomplete.rpartition(",") if several else ("", "", incomplete)
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(last)]


def profile(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the names of profiles."""
    return offered(_profiles(), incomplete)


def profiles(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the names of profiles, separated by commas."""
    return offered(_profiles(), incomplete, several=True)


def _profiles() -> list[str]:
    from qdqnp.numerics.profiles import ALIASES, PROFILES

    return [*PROFILES, *ALIASES]


def golden_formats(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the formats of golden sets, separated by commas."""
    from qdqnp.golden_sets import FORMATS

    return offered(FORMATS, incomplete, several=True)


def devices(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the devices of which a time is estimated."""
    from qdqnp.model_card.device import device_names

    return offered(device_names(), incomplete)


def runtimes(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the runtimes that can be scored."""
    from qdqnp.peers.runtimes.names import RUNTIMES

    return offered(RUNTIMES, incomplete)


def conformance_operators(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the operators of which there are conformance cases, separated by commas."""
    from qdqnp.conformance.table import LAYERS

    return offered(LAYERS, incomplete, several=True)


def layers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the labels of the layers of the model that stands on the line already."""
    from qdqnp.errors import QdqnpError
    from qdqnp.model import load

    # where the option that lacks its value is the last word, click leaves the arguments unassigned
    words = [word for word in (ctx.params.get("model"), *ctx.args) if word]
    try:
        labels = [layer.label for layer in load(Path(words[0])).layers] if words else []
    except (QdqnpError, OSError):
        return []
    return offered(labels, incomplete)
