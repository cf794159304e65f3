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

# The rooms that may name operators: those that read ONNX, and those that rewrite it.
NAME_OPERATORS = ("ops", "lowering", "reader", "peers")
# Floats are clipped before they become integers, because the conversion of larger ones is not defined.
CLIPPING_FLOATS = {
    "diagnosis/align.py",
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
            for call in (*calls(loop, "evaluate"), *calls(loop, "compute")):
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
    # what is shipped, and a command's own argument, of which only what is needed is mapped into memory
    assert {path for path, tree in trees().items() if re.search(r"\bnp\.load\(", ast.unparse(tree))} <= {
        "inputs/shipped.py",
        "inputs/arrays.py",
    }


def test_files_are_written_by_one_room() -> None:
    """Nobody else opens a file to write but through a Folder, writes one at once, or renames one."""
    found = set()
    for path, tree in trees().items():
        opened = [ast.unparse(call) for call in calls(tree, "open")]
        written = [text for text in opened if re.search(r"['\"][rb]*[wax]b?\+?['\"]", text)]
        if any(not re.match(r"(self\._)?(folder|archive)\.", text) for text in written):
            found.add(path)
        if re.search(r"\.(write_bytes|write_text|rename|unlink)\(|os\.(replace|rename)\(", ast.unparse(tree)):
            found.add(path)
    assert found == {"files/atomic.py", "files/folder.py"}


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
        if path.split("/")[0] not in NAME_OPERATORS and names & set(strings(tree))
    }
    assert not naming, naming
