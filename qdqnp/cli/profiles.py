"""`qdqnp profiles`: list the arithmetics that come with qdqnp, and show one of them in full."""

from __future__ import annotations

import json
from typing import Any

import click

from qdqnp.cli import completing
from qdqnp.cli.options import json_option
from qdqnp.inspection.coverage import covered, rule_document, summary
from qdqnp.numerics.profile import Profile, rule_names
from qdqnp.numerics.profile_toml import profile_from
from qdqnp.numerics.profile_writer import shared_document, to_toml
from qdqnp.numerics.profiles import PROFILES
from qdqnp.render.console import CONSOLE, lines, print_document, print_json, table


@click.group("profiles", invoke_without_command=True)
@json_option
@click.pass_context
def profiles_command(ctx: click.Context, as_json: bool) -> None:
    """List the arithmetic profiles: name, status, what it is, its source, and which operators it covers."""
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError("--json goes after the name: qdqnp profiles show NAME --json")
        return
    if as_json:
        print_json({"profiles": [summary(profile) for profile in PROFILES.values()]})
    else:
        _print_list()


@profiles_command.command("show", short_help="Show the rule of each operator, or all as TOML.")
@click.argument("profile", metavar="NAME", shell_complete=completing.profile)
@click.option("--toml", "as_toml", is_flag=True, help="Print it as TOML: a starting point for a device of your own.")
@json_option
def show_command(profile: str, as_toml: bool, as_json: bool) -> None:
    """Show the profile NAME (a name, an alias, or a path that ends in .toml): the rule of each operator."""
    if as_toml and as_json:
        raise click.UsageError("either --toml or --json")
    found = profile_from(profile)
    if as_toml:
        print_document(to_toml(found))
    elif as_json:
        print_json({**summary(found), "rules": {key: rule_document(found, key) for key in rule_names()}})
    else:
        _print_one(found)


def _print_list() -> None:
    rows = table("profile", "status", "what it is", "coverage", "source")
    for profile in PROFILES.values():
        found = summary(profile)
        called = ", ".join([profile.name, *found["aliases"]])
        rows.add_row(called, found["status"], profile.summary, found["coverage"], profile.source)
    CONSOLE.print(rows)
    CONSOLE.print()
    CONSOLE.print(
        "inferred: rules that fit what was measured, without a statement of the maker; they run, and are "
        "marked wherever they are used",
    )
    CONSOLE.print(
        "requantization only: Conv, Gemm and MatMul; a network that needs more is refused with the list of its layers",
    )
    CONSOLE.print("one in full: qdqnp profiles show NAME; as a starting point for your own: --toml")


def _print_one(profile: Profile) -> None:
    for key, value in summary(profile).items():
        text = ", ".join(value) if isinstance(value, list) else value
        if text:
            CONSOLE.print(f"{key}: {text}")
    floats = "run" if profile.host_float else "refused"
    CONSOLE.print(f"lowering: {profile.lowering}; layers in float32: {floats}")
    CONSOLE.print()
    rows = table("field", "operators", "status", "rule", "settings")
    document = shared_document(profile)
    for field in rule_names():
        rule = document[field]
        other = isinstance(rule, str)
        settings = {} if other else {key: value for key, value in rule.items() if key not in ("kind", "status")}
        shown = lines(f"{key} = {_setting(value)}" for key, value in settings.items())
        status = getattr(profile, field).status
        rows.add_row(field, covered(field), status, f"as {rule}" if other else rule["kind"], shown)
    CONSOLE.print(rows)


def _setting(value: Any) -> str:
    """Format a nested rule or stage as 'kind(field value, ...)'."""
    if isinstance(value, dict) and "kind" in value:
        inner = ", ".join(f"{key} {_setting(item)}" for key, item in value.items() if key != "kind")
        return f"{value['kind']}({inner})" if inner else str(value["kind"])
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_setting(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return ", then ".join(_setting(item) for item in value)
    return json.dumps(value) if isinstance(value, bool) else str(value)
