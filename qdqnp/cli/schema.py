"""`qdqnp schema`: print the JSON Schema of a golden set's manifest."""

from __future__ import annotations

import click

from qdqnp.golden.schema import schema_text


@click.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the manifest.json that `qdqnp golden` writes."""
    click.echo(schema_text(), nl=False)
