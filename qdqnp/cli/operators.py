"""`qdqnp operators`: list the operators that there are, and why others are not."""

from __future__ import annotations

from dataclasses import asdict

import click

from qdqnp.cli.options import json_option
from qdqnp.inspection.operators import markdown, missing, rows
from qdqnp.render.console import CONSOLE, print_document, print_json, table


@click.command("operators")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the lists of docs/operators.md.")
@json_option
def operators_command(as_markdown: bool, as_json: bool) -> None:
    """List the operators: opsets, element types, how they are computed; and those that are not there, with the reason
    and what helps."""
    if as_markdown and as_json:
        raise click.UsageError("either --markdown or --json")
    if as_markdown:
        print_document(markdown() + "\n")
    elif as_json:
        absent = [
            {"domain": group.domain, "operators": names, "reason": group.reason, "help": group.help}
            for group, names in missing()
        ]
        print_json({"operators": [asdict(row) for row in rows()], "missing": absent})
    else:
        _print()


def _print() -> None:
    found = table("operator", "opsets", "inputs", "outputs", "computed", "only")
    for row in rows():
        cells = (row.name, row.opsets, row.inputs, row.outputs, row.computed, row.only)
        found.add_row(*cells)
    CONSOLE.print(found)
    CONSOLE.print()
    CONSOLE.print("not there:")
    for group, names in missing():
        of = f"of {group.domain}: " if group.domain else ""
        CONSOLE.print(f"- {of}{', '.join(names)} {group.reason}. What helps: {group.help}.")
