"""Inputs with their classes, as a data set lists them and a worker gets them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from qdqnp.quant import Array

#: What a model is fed: the bytes of a picture's file, pixels uint8 (height, width, 1 or 3), or arrays by input name
#: ('' for the only input), without the batch axis.
Content: TypeAlias = "bytes | Array | Mapping[str, Array]"


@dataclass(frozen=True, eq=False)
class Sample:
    """One input of a data set."""

    #: The input's place in the data set, from 0.
    index: int
    #: The input's name, for people: Unicode.
    name: str
    #: The class; None where the data set has none for it.
    label: int | None
    #: What the model is fed; a text where it cannot be read, which says why.
    content: Content | str


@dataclass(frozen=True, order=True)
class BadInput:
    """An input that was not evaluated."""

    #: The input's place in the data set; -1 for what is no input at all, such as a label without a picture.
    index: int
    #: The input's name.
    name: str
    #: What kind of fault it is, a few words that others share.
    kind: str
    #: What is wrong, in full.
    why: str


@dataclass(frozen=True, order=True)
class Remark:
    """Something that is said of one input, or of a file that is none, and is no fault."""

    #: The input's place in the data set; -1 for what is none.
    index: int
    #: The input's name.
    name: str
    #: What is said, in words that others share.
    text: str


@dataclass(frozen=True)
class DataSet:
    """Inputs with their classes."""

    #: The name of the file or folder, or of the type of what was iterated over.
    name: str
    #: How many inputs there are; None where only iterating tells.
    size: int | None
    #: Iterates over the inputs, or those with these indexes; what a file holds is read then.
    samples: Callable[[Collection[int] | None], Iterator[Sample]]
    #: How the classes were told, in words.
    told_by: str
    #: Whether the inputs are pictures; None where each is what it is.
    pictures: bool | None = None
    #: What is listed and is no input, but should be.
    bad: tuple[BadInput, ...] = ()
    #: Files that are no inputs.
    remarks: tuple[Remark, ...] = ()
    #: The names of the classes, in order; None where there are none.
    class_names: Sequence[str] | None = None
    #: The smallest and the largest class; None where only iterating tells, or there is none.
    span: tuple[int, int] | None = None


# The kinds of faults.
DAMAGED = "no readable picture"
NO_LABEL = "no label"
NO_PICTURE = "a label without a picture"
OUT_OF_RANGE = "a label out of range"
NO_CLASS = "beside the class folders"
NESTED = "a folder inside a class folder"
MISFIT = "does not fit the model"
UNREADABLE = "cannot be read"
# What is remarked of files.
NOT_A_PICTURE = "no picture by the end of its name: not read"
EMPTY_FOLDER = "a class folder without pictures"
