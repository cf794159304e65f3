"""`qdqnp schema`: print the JSON Schema of a golden set's manifest."""

from __future__ import annotations

import click

from qdqnp.golden_sets.schema import schema_text
from qdqnp.render.console import print_document


@click.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the manifest.json that `qdqnp golden` writes."""
    print_document(schema_text())
