"""docs/architecture.md against the code: the rooms, the names, and that what there is one of is not done twice."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import qdqnp
from qdqnp.ops.registry import operators

PACKAGE = Path(qdqnp.__file__).parent
ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

# The rooms that may name operators: those that read ONNX, those that rewrite it, and those that make models.
NAME_OPERATORS = ("ops", "lowering", "reader", "peers", "conformance")
# A library of kernels has one for some of them.
KERNELS = {"golden_sets/harness/calls.py"}
# Two networks of the same layers are told to be the same by their operators.
SAME_LAYERS = {"layer_quality/layers.py"}
# Floats are clipped before they become integers, because the conversion of larger ones is not defined.
CLIPPING_FLOATS = {
    "diagnosis/dumps/readings.py",
    "numerics/rules/requantize/float_round.py",
    "numerics/rules/requantize/narrow.py",
}
# Random codes are drawn near an end, and not past it.
DRAWING = {"stimuli/network.py"}


@cache
def trees() -> dict[str, ast.Module]:
    """Every file of the package, by its path within it."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    assert found is not None
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# -- the rooms ---------------------------------------------------------------------------------------------------------
def listed_rooms() -> list[list[str]]:
    return [sorted(re.findall(r"`(\w+)`", first)) for first, _ in rows(section("The rooms"))]


def test_the_rooms_are_those_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert listed_rooms() == [sorted(layer.split(" : ")) for layer in layers]


def test_every_room_of_the_package_is_listed() -> None:
    """But for the package itself, `python -m qdqnp`, the number of the version, and the data."""
    there = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", "version"}
    there |= {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert {room for line in listed_rooms() for room in line} == there


# -- names -------------------------------------------------------------------------------------------------------------
def defined(tree: ast.Module) -> set[str]:
    """Functions and classes of a module."""
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_every_file_and_function_that_is_named_is_there() -> None:
    named = re.findall(r"`(?:qdqnp/)?([a-z_]+(?:/\w+)*\.py): (\w+)", TEXT)
    assert len(named) >= 15
    assert [(file, name) for file, name in named if name not in defined(trees()[file])] == []
    assert [
        file for file in re.findall(r"`(?:qdqnp/)?((?!tests)[a-z_]+(?:/\w+)+\.py)", TEXT) if file not in trees()
    ] == []


@pytest.mark.parametrize(("what", "name", "file"), [[*row] for row in rows(section("One of each"))])
def test_there_is_one_of_each(what: str, name: str, file: str) -> None:
    places = [path for path, tree in trees().items() if name.strip("`") in defined(tree)]
    assert places == [file.strip("`")], what


# -- not done a second time --------------------------------------------------------------------------------------------
def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """Calls of a method or a function of that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if (isinstance(called, ast.Attribute) and called.attr == name) or (
                isinstance(called, ast.Name) and called.id == name
            ):
                yield node


def loops(tree: ast.AST) -> Iterator[tuple[set[str], str, ast.AST]]:
    """Every loop and comprehension: the names that it binds, what it iterates over as text, and itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.For):
            heads = [node]
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            heads = node.generators  # type: ignore[assignment]
        else:
            continue
        for head in heads:
            bound = {inner.id for inner in ast.walk(head.target) if isinstance(inner, ast.Name)}
            yield bound, ast.unparse(head.iter), node


def test_one_loop_evaluates_steps() -> None:
    """A loop that computes what it loops over, or any step while it loops over steps."""
    found = set()
    for path, tree in trees().items():
        for bound, over, loop in loops(tree):
            for call in (call for name in ("evaluate", "compute", "compute_in_run") for call in calls(loop, name)):
                root = ast.unparse(call.func).split(".")[0].split("[")[0]
                if root in bound or re.search(r"\bsteps\b", over):
                    found.add(path)
    assert found == {"executor/walk.py"}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_one_file_saturates() -> None:
    """A function that clips at powers of two, or at the ends of a code type."""
    found = set()
    for path, tree in trees().items():
        for function in functions(tree):
            ends = ".range" in ast.unparse(function)
            for clip in map(ast.unparse, calls(function, "clip")):
                if re.search(r"\b2(\.0)? ?\*\*|1 <<", clip) or (ends and f"{clip}.astype(" in ast.unparse(function)):
                    found.add(path)
    assert found - {"numerics/width.py"} == CLIPPING_FLOATS | DRAWING


def test_one_function_finds_the_ties_of_floats() -> None:
    """A multiplier that is a power of two has the mantissa 0.5, which is no tie."""
    found = {path for path, tree in trees().items() if re.search(r"== 0\.5\b", ast.unparse(tree))}
    assert found == {"numerics/values.py", "numerics/multiplier.py"}


def test_one_file_reads_npy_headers() -> None:
    names = ("read_magic", "read_array_header_1_0", "read_array_header_2_0", "read_array")
    found = {
        path
        for path, tree in trees().items()
        for name in names
        for call in calls(tree, name)
        if "npy." in ast.unparse(call.func)
    }
    assert found == {"files/npy.py"}


# Methods and functions that open files, ask about paths, or change what is there.
FILE_METHODS = {
    *("read_text", "read_bytes", "write_text", "write_bytes", "touch", "mkdir", "rmdir", "unlink", "rename", "chmod"),
    *("symlink_to", "hardlink_to", "stat", "lstat", "exists", "lexists", "is_file", "is_dir", "is_symlink", "samefile"),
    *("iterdir", "glob", "rglob", "walk", "scandir", "listdir", "resolve", "realpath", "islink", "isfile", "isdir"),
    *("tofile", "fromfile", "memmap", "savez", "savez_compressed", "savetxt", "loadtxt", "genfromtxt", "open_memmap"),
    *("remove", "makedirs", "truncate", "rmtree", "copyfile", "copytree", "NamedTemporaryFile", "TemporaryDirectory"),
}
FILE_MODULES = {"tomllib", "shutil", "tempfile", "zipfile", "tarfile", "mmap", "pickle", "fileinput", "glob", "fcntl"}
# What is left: by file, the calls and modules, and why.
EXEMPT = {
    "cli/net.py": {"os.open"},  # the null device, in place of a closed output
    "engine/pools.py": {"pickle"},  # what goes to a worker that the user named, and never comes from a file
    "engine/worker.py": {"pickle"},
    "golden_sets/writers/npz.py": {"zipfile"},  # writes into a file that its folder opened
    "peers/ort/peer.py": {"tempfile", "TemporaryDirectory"},  # ONNX Runtime saves the graph that it runs
    "peers/ort/probe.py": {"tempfile", "TemporaryDirectory"},
    "peers/ort/child.py": {"tempfile"},  # what it prints before it dies
    # what a runtime's process, or a command, leaves for its parent
    "peers/runtimes/apart.py": {"tempfile", "TemporaryDirectory", "np.save"},
    "peers/runtimes/command.py": {"tempfile", "shutil", "TemporaryDirectory", "copyfile", "glob", "mkdir"},
    "reduction/trial.py": {"tempfile", "TemporaryDirectory"},  # where a candidate lies for the command
    "reader/external.py": {"resolve", "stat"},  # external data stays inside the model's folder, through links too
}


def file_access(tree: ast.AST) -> Iterator[str]:
    """What a module does with files by itself: methods, calls of open, np.load and os.replace, modules it imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            text = ast.unparse(node.func)
            if isinstance(node.func, ast.Attribute) and node.func.attr in FILE_METHODS and text != "self.remove":
                yield node.func.attr
            if text in (
                "open",
                "io.open",
                "io.FileIO",
                "os.open",
                "np.load",
                "np.save",
                "json.load",
                "onnx.load",
                "os.replace",
            ):
                yield text
            if text.endswith(".open") and not re.match(r"(self\._)?(folder|archive|sessions)\.", text):
                yield text
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            yield from FILE_MODULES & {str(name).split(".")[0] for name in names}


def test_only_the_room_of_files_opens_files_or_asks_about_paths() -> None:
    """Neither to read nor to write: who does it by hand does it without the limits, and follows links."""
    found = {path: set(file_access(tree)) for path, tree in trees().items() if not path.startswith("files/")}
    assert {path: names for path, names in found.items() if names} == EXEMPT


def test_within_the_room_of_files_too_there_is_one_place_for_each() -> None:
    """One place opens files to be read, and those that are written are opened where they are under construction."""
    openers = {
        path: {text for call in calls(tree, "open") if (text := ast.unparse(call.func)) != "self.open"}
        for path, tree in trees().items()
        if path.startswith("files/")
    }
    assert {path: texts for path, texts in openers.items() if texts} == {
        "files/regular.py": {"os.open"},
        "files/unfinished.py": {"os.open"},
        "files/folder.py": {"path.open"},
        "files/npy.py": {"self._archive.open", "archive.open"},
        "files/pictures.py": {"pillow.open"},
    }
    parsers = {path for path, tree in trees().items() if set(file_access(tree)) & {"tomllib", "pickle"}}
    assert parsers - set(EXEMPT) == {"files/documents.py"}


def test_json_that_is_not_ours_is_parsed_in_one_file() -> None:
    """The schema that is shipped is ours, and so are the messages of our own processes."""
    found = {path for path, tree in trees().items() if re.search(r"\bjson\.loads?\(", ast.unparse(tree))}
    assert found == {"files/documents.py", "golden_sets/schema.py", "peers/ort/child.py", "peers/runtimes/apart.py"}


# -- operators ---------------------------------------------------------------------------------------------------------
def strings(tree: ast.Module) -> Iterator[str]:
    """String literals but for docstrings."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    first = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and node.body]
    docstrings = {id(node.value) for node in first if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_operators_are_named_where_onnx_is_read_and_rewritten_only() -> None:
    names = {op for _, op in operators()}
    assert len(names) > 50
    naming = {
        path
        for path, tree in trees().items()
        if path.split("/")[0] not in NAME_OPERATORS and path not in KERNELS | SAME_LAYERS and names & set(strings(tree))
    }
    assert not naming, naming
