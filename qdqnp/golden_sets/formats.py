"""The formats of golden sets. A format is a class that writes its files; defining the class registers it.

class CsvWriter(Writer, name="csv"):
    def add(self, entry, stored, case): ...
    def place(self, entry): ...

Options, messages, the manifest's schema and the help of the command line know it from then on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, BinaryIO, ClassVar, Protocol

from qdqnp.files.folder import Folder
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.tensor import Document, GoldenTensor
from qdqnp.quant import Array

WRITERS: dict[str, type[Writer]] = {}


class Settings(Protocol):
    """The settings that a format may read; qdqnp.golden_sets.Options has them."""

    @property
    def hex_width(self) -> int: ...
    @property
    def hex_lanes(self) -> str: ...
    @property
    def alignment(self) -> int: ...
    @property
    def section(self) -> str: ...
    @property
    def prefix(self) -> str: ...
    @property
    def skeletons(self) -> tuple[str, ...]: ...


class Writer(ABC):
    """Writes one format of a set.

    For each input of the network ('case') a writer is called in turn: begin, add for every new tensor, end; at last,
    finish. Constants come with the first case. A writer must not keep anything that grows with the cases.
    """

    #: Roles of the tensors that the format has room for; None for all.
    roles: ClassVar[tuple[str, ...] | None] = None
    #: Names of the model's layers by index, for files and identifiers: no two are equal, and none depends on which
    #: layers are chosen.
    layer_names: Mapping[int, str] = {}

    def __init_subclass__(cls, *, name: str = "") -> None:
        """Register the format under `name`; '' for a class that is only a base of others."""
        if name:
            WRITERS[name] = cls

    def __init__(self, folder: Folder, settings: Settings, cases: int) -> None:
        """Prepare to write.

        folder: the set's folder.
        settings: the settings of the formats.
        cases: number of inputs of the network.
        """
        self._folder, self._settings, self._cases = folder, settings, cases

    def begin(self, case: int) -> None:  # noqa: B027 - most formats do nothing here
        """Prepare for the tensors of a case."""

    @abstractmethod
    def add(self, entry: Entry, stored: Array, case: int) -> None:
        """Write the values of a tensor for one case.

        entry: the tensor.
        stored: its values in the stored layout, C order, little-endian.
        case: the number of the case.
        """

    def end(self, case: int) -> None:  # noqa: B027
        """Complete the tensors of a case."""

    def abandon(self) -> None:  # noqa: B027
        """Close open files, because something has failed."""

    def finish(self, entries: Mapping[str, Entry], layers: list[Document]) -> None:  # noqa: B027
        """Write the files that list all tensors."""

    @abstractmethod
    def place(self, entry: Entry) -> Document:
        """Say where the tensor is: 'file', and what else finds it there; empty where the format leaves it out. '{case}'
        in a file name stands for the number of the case, five digits."""


class ReadableWriter(Writer):
    """A format that holds the stored bytes unchanged, so that a set can be read back from it."""

    @staticmethod
    @abstractmethod
    def read(file: BinaryIO, tensor: GoldenTensor, place: Mapping[str, Any], case: int, cases: int) -> bytes:
        """Read the stored bytes of one case, at most tensor.nbytes of them. The sizes in the manifest are compared with
        the file before anything is read.

            file: the open file of that case.
            tensor: the tensor.
            place: what `place` said of the tensor.
            case: the number of the case; 0 where the tensor does not vary.
            cases: number of cases of the set.

        Raises one of qdqnp.files.npy.FAULTS where the file is not what it should be.
        """


def formats() -> tuple[str, ...]:
    """Return the names of all formats."""
    return tuple(sorted(WRITERS))


def readers() -> dict[str, type[ReadableWriter]]:
    """Return the formats that sets can be read back from, by name."""
    found = ((name, WRITERS[name]) for name in formats())
    return {name: writer for name, writer in found if issubclass(writer, ReadableWriter)}
