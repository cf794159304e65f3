"""A folder of pictures as a data set: class folders in it, or a file that says the class of each picture."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qdqnp.errors import InputError, Problem, Problems
from qdqnp.evaluation.label_file import BESIDE, read_label_file
from qdqnp.evaluation.sample import (
    EMPTY_FOLDER,
    NESTED,
    NO_CLASS,
    NO_PICTURE,
    NOT_A_PICTURE,
    BadInput,
    DataSet,
    Remark,
    Sample,
)
from qdqnp.files.paths import FILE, FOLDER, kind_of, names_in, reason
from qdqnp.files.regular import read_bytes
from qdqnp.inputs.pictures import SUFFIXES
from qdqnp.limits import MAX_PICTURE_BYTES


@dataclass(frozen=True)
class FolderPictures:
    """The pictures of a folder with their classes."""

    #: The folder.
    path: Path
    #: The pictures, by their names inside the folder, in order.
    names: tuple[str, ...]
    #: The class of each; those without a class are left out.
    labels: Mapping[str, int]
    #: How the classes were told, in words.
    told_by: str
    #: What is no picture with a class, but should be.
    bad: tuple[BadInput, ...]
    #: Files and folders that have nothing to evaluate.
    remarks: tuple[Remark, ...]
    #: The names of the classes, in order; None where there are none.
    class_names: Sequence[str] | None


def folder_pictures(
    path: Path, labels: Path | None = None, class_names: Sequence[str] | None = None
) -> FolderPictures | None:
    """Return the pictures of a folder, and of the folders in it, sorted by name, with their classes; None where nothing
    tells the classes of any.

        path: the folder.
        labels: a file that says the class of each picture, as `read_label_file` reads it; None looks for labels.csv and
            labels.txt in the folder, and for the folder's name with _labels.csv and _labels.txt beside it.
        class_names: the names of the classes, in order; None where there are none.

    Without a label file the folders are the classes: folders whose names are all class names, or all numbers, are these
    classes; others are classes 0, 1, 2 ... in the order of their names. Raises InputError where there is no picture,
    and for labels and folders that are no classes.
    """
    found = _listed(path)
    file = labels or _label_file(path, found)
    if not found.pictures:
        expected = "pictures: " + " ".join(SUFFIXES)
        raise InputError("a folder holds no picture", [Problem(f"folder {path}", expected, "none")])
    if file is not None:
        return _by_file(path, found, file, class_names)
    if all("/" not in name for name in found.pictures):
        return None
    return _by_folders(path, found, class_names)


def folder_data(path: Path, labels: Path | None = None, class_names: Sequence[str] | None = None) -> DataSet:
    """Return the pictures of a folder as a data set; `folder_pictures` says which those are, and what their classes.

    Raises InputError as it does, and where nothing tells the classes.
    """
    found = folder_pictures(path, labels, class_names)
    if found is None:
        expected = "class folders with pictures, or a label file: " + " or ".join(BESIDE)
        hint = "A label file has another name or place: --labels FILE."
        problem = Problem(f"folder {path}", expected, "pictures without classes", hint)
        raise InputError("the classes of the pictures are not known", [problem])

    def samples(wanted: Collection[int] | None) -> Iterator[Sample]:
        for index, name in enumerate(found.names):
            if wanted is None or index in wanted:
                yield Sample(index, _shown(name), found.labels.get(name), _content(path / name))

    numbers = found.labels.values()
    return DataSet(
        name=_shown(path.absolute().name),
        size=len(found.names),
        samples=samples,
        told_by=found.told_by,
        pictures=True,
        bad=found.bad,
        remarks=found.remarks,
        class_names=found.class_names,
        span=(min(numbers), max(numbers)) if numbers else None,
    )


@dataclass
class _Listed:
    """What is in a folder, by relative names."""

    #: Pictures.
    pictures: list[str] = field(default_factory=list)
    #: The folders, whether they have pictures or not.
    folders: list[str] = field(default_factory=list)
    #: Folders inside folders.
    nested: list[str] = field(default_factory=list)
    #: All other files.
    others: list[str] = field(default_factory=list)


def _listed(path: Path) -> _Listed:
    found = _Listed()
    for name in names_in(path):
        kind = kind_of(path / name)
        if kind != FOLDER:
            _sort(name, kind, found)
            continue
        found.folders.append(name)
        for inner in names_in(path / name):
            kind = kind_of(path / name / inner)
            if kind == FOLDER:
                found.nested.append(f"{name}/{inner}")
            else:
                _sort(f"{name}/{inner}", kind, found)
    found.pictures.sort()
    return found


def _sort(name: str, kind: str, found: _Listed) -> None:
    pictured = kind == FILE and name.lower().endswith(SUFFIXES)
    (found.pictures if pictured else found.others).append(name)


def _label_file(path: Path, found: _Listed) -> Path | None:
    """Return the label file that lies in the folder, or beside it."""
    whole = path.absolute()  # of '.', the name
    there = [path / name for name in BESIDE if name in found.others]
    there += [
        file for name in BESIDE if whole.name and kind_of(file := whole.with_name(f"{whole.name}_{name}")) == FILE
    ]
    if len(there) > 1:
        listed = ", ".join(str(file) for file in there)
        problem = Problem(f"folder {path}", "one label file", listed, "Name one: --labels FILE.")
        raise InputError("several files may be the labels", [problem])
    return there[0] if there else None


def _by_file(path: Path, found: _Listed, file: Path, class_names: Sequence[str] | None) -> FolderPictures:
    stated = read_label_file(file, class_names)
    there = set(found.pictures)
    absent = [name for name in stated if name not in there]
    why = f"{file.name} has a label for it, and the folder no picture of this name"
    bad = [BadInput(-1, _shown(name), NO_PICTURE, why) for name in absent]
    bad += _nested(found)
    known = {name: number for name, number in stated.items() if name in there}
    own = {name for name in found.others if (path / name).absolute() == file.absolute()}
    told_by = f"the label file {_shown(file.name)}"
    return _pictures(path, found, known, told_by, bad, class_names, own)


def _by_folders(path: Path, found: _Listed, class_names: Sequence[str] | None) -> FolderPictures:
    outside = [name for name in found.pictures if "/" not in name]
    classes, told_by, names = _classes(found.folders, class_names, path)
    bad = [BadInput(-1, _shown(name), NO_CLASS, "the picture is in no class folder") for name in outside]
    bad += _nested(found)
    inside = [name for name in found.pictures if "/" in name]
    kept = _Listed(inside, found.folders, found.nested, found.others)
    known = {name: classes[name.partition("/")[0]] for name in inside}
    return _pictures(path, kept, known, told_by, bad, names, set())


def _classes(
    folders: Sequence[str], class_names: Sequence[str] | None, path: Path
) -> tuple[Mapping[str, int], str, Sequence[str] | None]:
    """Return the class of each folder, how it was told, and the names of the classes."""
    ordered = sorted(folders)
    if class_names is not None:
        known = {name: number for number, name in enumerate(class_names)}
        if all(name in known for name in ordered):
            return known, "class folders, by the class names", class_names
        strangers = [name for name in ordered if name not in known]
        if len(strangers) < len(ordered) or len(ordered) != len(class_names):
            problems = Problems()
            for name in strangers:
                problems.add(f"folder {path / name}", "a class name", "none of them")
            problems.raise_if_any("class folders are no classes", InputError)
    elif all(name.isascii() and name.isdigit() and len(name) < 10 for name in ordered):
        numbers = {name: int(name) for name in ordered}
        if len(set(numbers.values())) != len(numbers):
            problem = Problem(f"folder {path}", "folders that are different numbers", ", ".join(ordered))
            raise InputError("two class folders are one class", [problem])
        return numbers, "class folders, whose names are the classes' numbers", None
    numbers = {name: number for number, name in enumerate(ordered)}
    names = class_names if class_names is not None else [_shown(name) for name in ordered]
    return numbers, "class folders, in the order of their names", names


def _nested(found: _Listed) -> list[BadInput]:
    why = "what is in it is not read: pictures are in class folders themselves"
    return [BadInput(-1, _shown(name), NESTED, why) for name in found.nested]


def _pictures(
    path: Path,
    found: _Listed,
    known: Mapping[str, int],
    told_by: str,
    bad: Sequence[BadInput],
    class_names: Sequence[str] | None,
    own: Collection[str],
) -> FolderPictures:
    """own: files of the folder that are read as something else than pictures."""
    remarks = [Remark(-1, _shown(name), NOT_A_PICTURE) for name in found.others if name not in own]
    filled = {name.partition("/")[0] for name in found.pictures if "/" in name}
    remarks += [Remark(-1, _shown(name), EMPTY_FOLDER) for name in found.folders if name not in filled]
    return FolderPictures(
        path=path,
        names=tuple(found.pictures),
        labels=known,
        told_by=told_by,
        bad=tuple(sorted(bad)),
        remarks=tuple(sorted(remarks)),
        class_names=class_names,
    )


def _content(path: Path) -> bytes | str:
    try:
        return read_bytes(path, MAX_PICTURE_BYTES)
    except OSError as error:
        return reason(error)


def _shown(name: str) -> str:
    """Return a file's name as Unicode: bytes that are none become escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
