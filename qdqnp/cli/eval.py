"""`qdqnp eval`: the accuracy of models on labelled pictures, in several columns at once, and where they part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from qdqnp.cli.labelled import evaluation_options
from qdqnp.cli.options import PATH, force_option, host_float_option, json_option
from qdqnp.cli.pictures import PICTURE_KEYS, picture_options, settings_of
from qdqnp.evaluation.columns import column_from
from qdqnp.evaluation.counts import Counts
from qdqnp.evaluation.evaluate import Notify, data_of, evaluate
from qdqnp.evaluation.result import BadInputsError
from qdqnp.evaluation.thumbnails import thumbnails
from qdqnp.files.atomic import target, write_text
from qdqnp.peers.ort.users import SESSIONS
from qdqnp.render.console import name, print_json, progress
from qdqnp.render.evaluation import csv_text, markdown, print_evaluation
from qdqnp.render.evaluation_html import evaluation_html


@click.command("eval")
@click.argument("models", nargs=-1, type=PATH, metavar="[MODEL]...")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=MODEL[:ARITHMETIC]",
    help=f"A model under an arithmetic: a profile, a .toml file, or ONNX Runtime's own: {', '.join(SESSIONS)}. "
    "[default: ort; for a float model ONNX Runtime, where installed]",
)
@click.option(
    "--data", required=True, type=PATH, metavar="D", help="A folder of pictures, or .npz with y, the classes."
)
@host_float_option
@picture_options
@evaluation_options
@json_option
@click.option("--csv", "csv_file", type=PATH, metavar="FILE", help="Write a line for each column.")
@click.option("--markdown", "markdown_file", type=PATH, metavar="FILE", help="Write the table as Markdown.")
@click.option("--html", "html_file", type=PATH, metavar="FILE", help="Write a page with confusion matrices and flips.")
@force_option("a file of --csv, --markdown or --html")
def eval_command(
    models: tuple[Path, ...],
    columns: tuple[str, ...],
    data: Path,
    host_float: bool,
    how: Mapping[str, Any],
    as_json: bool,
    csv_file: Path | None,
    markdown_file: Path | None,
    html_file: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Evaluate each MODEL and each --column on labelled inputs: top-1, top-5, and how far they agree with the first.

    D is a folder with a folder of pictures for each class (classes in the order of their names), or with a label file;
    or an .npz with the classes as y, and pictures or the model's inputs. Pictures are prepared as `run` does.

    Inputs that cannot be evaluated (damaged pictures, no label, a label that is no class) are listed, and an error in
    the end; --skip-bad accepts them.

    Exit code 0: done. 2: bad usage, columns or data, or inputs that could not be evaluated; then no file is written.
    """
    said = {key: options.pop(key) for key in PICTURE_KEYS}
    settings = settings_of(said.pop("preprocess"), said)
    chosen = [column_from(text) for text in (*map(str, models), *columns)]
    if not chosen:
        raise click.UsageError("expected a MODEL, or --column NAME=MODEL")
    wanted = ((csv_file, "the figures"), (markdown_file, "the table"), (html_file, "the page"))
    csv_out, markdown_out, html_out = (None if f is None else target(f, what, force) for f, what in wanted)
    given = data_of(data, how["labels"], how["class_names"])
    bad: BadInputsError | None = None
    with _shown(given.size, [column.name for column in chosen], not as_json) as notify:
        try:
            found = evaluate(
                chosen,
                given,
                preprocessing=settings,
                host_float=host_float,
                notify=notify,
                **how,
            )
        except BadInputsError as error:
            found, bad = error.evaluation, error
    if as_json:
        print_json({**found.as_json(), "speed": found.speed()})
    else:
        print_evaluation(found)
    if bad is not None:
        raise bad
    if csv_out is not None:
        write_text(csv_out, csv_text(found))
    if markdown_out is not None:
        write_text(markdown_out, markdown(found))
    if html_out is not None:
        write_text(html_out, evaluation_html(found, thumbnails(found, given)))


@contextmanager
def _shown(size: int | None, names: list[str], show: bool) -> Iterator[Notify]:
    """Show a progress bar with the accuracy so far, and give what moves it."""
    with progress(disable=not show) as bar:
        task = bar.add_task("evaluating", total=size)

        def notify(counts: Counts) -> None:
            bar.update(task, completed=counts.inputs + len(counts.bad), description=running(counts, names))

        yield notify


def running(counts: Counts, names: list[str]) -> str:
    """Say the accuracy so far: of the first columns, as many as a line has room for.

    >>> from qdqnp.evaluation.counts import no_counts
    >>> counts = no_counts(1)
    >>> counts.inputs, counts.columns[0].top1 = 8, 6
    >>> running(counts, ["ort"])
    'top-1 ort 75.0 %'
    """
    shares = (100 * column.top1 / max(counts.inputs, 1) for column in counts.columns)
    parts = [f"{name(text, 16)} {share:.1f} %" for text, share in zip(names, shares, strict=True)]
    return f"top-1 {', '.join(parts[:3])}{' ...' if len(parts) > 3 else ''}"
