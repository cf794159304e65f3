"""Define the options that say what is done to pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from qdqnp.cli.options import PATH
from qdqnp.inputs.pictures import COLORS, LAYOUTS, METHODS, Preprocessing, preprocessing_from, read_preprocessing

OPTIONS = (
    click.option(
        "--preprocess",
        type=PATH,
        metavar="FILE",
        help="TOML file with the settings below; options given beside it replace its values.",
    ),
    click.option("--resize", metavar="N|HxW", help="Resize pictures: the shorter side, or height x width."),
    click.option("--method", type=click.Choice(METHODS), help="How to resize.  [default: bilinear]"),
    click.option("--crop", metavar="N|HxW", help="Then crop pictures from the centre."),
    click.option(
        "--color",
        type=click.Choice(tuple(COLORS), case_sensitive=False),
        help="Order of the channels.  [default: RGB, or gray for one channel]",
    ),
    click.option("--layout", type=click.Choice(LAYOUTS, case_sensitive=False), help="[default: as the model's input]"),
    click.option("--scale", metavar="S|A/B", help="Multiply pixels (0 to 255) by S, or by A and divide by B: 1/255."),
    click.option("--mean", metavar="R,G,B", help="Then subtract; one number, or one for each channel."),
    click.option("--std", metavar="R,G,B", help="Then divide; one number, or one for each channel."),
    click.option("--uint8", is_flag=True, help="Pass pixels as uint8, unscaled."),
)


#: The names of the arguments that a command with these options gets.
PICTURE_KEYS = ("preprocess", "resize", "method", "crop", "color", "layout", "scale", "mean", "std", "uint8")


def picture_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all of OPTIONS; `settings_of` reads what they give."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def settings_of(file: Path | None, options: Mapping[str, Any]) -> Preprocessing | None:
    """Return the preprocessing that file and options ask for together; None where neither is given."""
    texts = {key: value for key, value in options.items() if value not in (None, False)}
    values: dict[str, object] = {key: texts[key] for key in ("method", "color", "layout") if key in texts}
    values |= {key: _size(texts[key]) for key in ("resize", "crop") if key in texts}
    values |= {key: _numbers(texts[key]) for key in ("mean", "std") if key in texts}
    if "scale" in texts:
        values |= _ratio(texts["scale"])
    if "uint8" in texts:
        values["dtype"] = "uint8"
    if file is None and not values:
        return None
    base = asdict(read_preprocessing(file)) if file is not None else {}
    return preprocessing_from({**base, **values}, "the options" if values else str(file))


# A text that is not a number stays a text, so that the check of all settings lists it with the others.


def _size(text: str) -> object:
    found = re.fullmatch(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", text)
    if found is None:
        return text
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


def _numbers(text: str) -> object:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return text


def _ratio(text: str) -> dict[str, object]:
    above, _, below = text.partition("/")
    try:
        return {"scale": float(above), "divisor": float(below) if below else 1.0}
    except ValueError:
        return {"scale": text}
