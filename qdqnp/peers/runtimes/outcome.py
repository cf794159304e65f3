"""What becomes of one case in a runtime: outputs, a refusal, or no answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qdqnp.quant import Array


@dataclass(frozen=True, eq=False)
class Ran:
    """The runtime answered."""

    #: The outputs by name.
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class Declined:
    """The runtime says that it does not take the model."""

    #: What it says.
    reason: str


@dataclass(frozen=True)
class NoAnswer:
    """The runtime crashed, took too long, or wrote something that is no output."""

    #: What happened.
    reason: str


CaseOutcome = Ran | Declined | NoAnswer


class Scored(Protocol):
    """A runtime that is scored, whatever it is."""

    #: Its packages and their versions; for a command, the command.
    version: str

    def run(self, model: Path, inputs: Mapping[str, Path]) -> CaseOutcome:
        """Run one case.

        model: the model file.
        inputs: the .npy files of the inputs by name.
        """
        ...

    def close(self) -> None:
        """End what still runs."""
        ...
