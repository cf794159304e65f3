"""Names from files reach the terminal and the reports as text: six hostile styles through every command."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.cli import COMMANDS, cli
from qdqnp.errors import printable
from qdqnp.render.console import PlainConsole, table
from tests.evaluation.kit import network, png, save

Array = np.ndarray[Any, Any]
PACKAGE = Path(qdqnp.__file__).parent

#: What is put before each name: everything that a file may call a thing.
STYLES = {
    "escapes": "\x1b[2J\x1b[1;32mequal\x1b[8m\x9b2J\x07",
    "markup": "[red]a[/red][/][link=http://x]b[",
    "emoji": ":smile:layer:bug:0:100:",
    "bidi": "\u202eabc\u202d\u2066\u200f\ufeff",
    "controls": "a\nequal: 0 of 9\r\n\tb\x00\x0b\x85\u2028\x7f",
    "foreign": "grün é 漢字 😀 e\u0301 \u00a0 \U000e0041",
}
LONG = "n" * 1500


def renamed(style: str) -> onnx.ModelProto:
    """Quantize, convolve, requantize, with a residual Add; every name of the file is in the style."""
    made: dict[str, str] = {}

    def name(plain: str) -> str:
        """A NUL only where no archive must hold it as a member's name, and one very long name."""
        text = STYLES[style] if plain == "c" or plain.startswith("node") else STYLES[style].replace("\0", "")
        return made.setdefault(plain, f"{plain} {text}{LONG if plain == 'c' else ''}")

    def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(
            op, [name(i) for i in inputs.split()], [name(output)], name(f"node {output}"), **attributes
        )

    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("DequantizeLinear", "w ws wz", "wd"),
        node("Conv", "d wd", "c", kernel_shape=[1, 1]),
        node("QuantizeLinear", "c s z", "cq"),
        node("DequantizeLinear", "cq s z", "cd"),
        node("Add", "cd d", "a"),
        node("QuantizeLinear", "a s z", "aq"),
        node("DequantizeLinear", "aq s z", "y"),
        node("Relu", "y", "r"),
    ]
    weights = np.random.default_rng(0).integers(-99, 99, (2, 2, 1, 1)).astype(np.int8)
    constants = {"s": np.float32(0.1), "z": np.int8(3), "w": weights, "ws": np.float32(0.02), "wz": np.int8(0)}
    graph = helper.make_graph(
        nodes,
        name("graph"),
        [helper.make_tensor_value_info(name("x"), TensorProto.FLOAT, [1, 2, name("height"), 3])],
        [helper.make_empty_tensor_value_info(name(output)) for output in ("y", "r")],
        [numpy_helper.from_array(np.asarray(value), name(key)) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def in_float(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network, its tensors quantized nowhere; the weights are what their codes stand for."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    del made.graph.node[:]
    for node in model.graph.node:
        first = node.input[0]
        if node.op_type == "DequantizeLinear" and first in arrays:
            real = (arrays[first] * arrays[node.input[1]]).astype(np.float32)
            made.graph.initializer.append(numpy_helper.from_array(real, node.output[0]))
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            made.graph.node.append(helper.make_node("Identity", [first], list(node.output), node.name))
        else:
            made.graph.node.append(node)
    return made


def file_name(style: str) -> str:
    """The style without what no file may be called, and one byte that is no UTF-8 (Linux only)."""
    odd = "\udcff" if sys.platform == "linux" else ""
    return STYLES[style].replace("\x00", "").replace("/", "") + odd


def unsafe(text: str) -> set[str]:
    """What a terminal would obey, or what forges a line: all but printable characters and the ends of lines."""
    return {char for char in text if not char.isprintable() and char != "\n"}


class Place:
    """A folder with the model, a profile, inputs, a golden set and dumps, all in one style."""

    def __init__(self, folder: Path, style: str) -> None:
        self.style, self.folder, self._count = style, folder / file_name(style), 0
        self.folder.mkdir()
        self.model = self.folder / f"{file_name(style)}.onnx"
        self.model.write_bytes(renamed(style).SerializeToString())
        self.real = self.folder / f"real{file_name(style)}.onnx"
        self.real.write_bytes(in_float(renamed(style)).SerializeToString())
        self.profile = self.folder / f"{file_name(style)}.toml"
        text = json.dumps(STYLES[style], ensure_ascii=True).replace("\\ud83d\\ude00", "\\U0001f600")
        text = text.replace("\\udb40\\udc41", "\\U000e0041").replace("\x7f", "\\u007f")
        self.profile.write_text(f'base = "ort"\nname = {text}\nsummary = {text}\nsource = {text}\n', encoding="ascii")
        loaded = qdqnp.load(self.model)
        (x,) = loaded.program().inputs
        self.feeds = {x: np.random.default_rng(1).normal(0, 3, (1, 2, 4, 3)).astype(np.float32)}
        self.inputs = self.new(".npy")
        np.save(self.inputs, self.feeds[x])
        trace = loaded.trace(self.feeds)
        self.right = {name: trace[name] for step in loaded.program().steps for name in step.output_names}
        self.layers = [step.label for step in loaded.program().steps]
        self.outputs: list[str] = []

    def npz(self, name: str, arrays: dict[str, Array]) -> Path:
        path = self.folder / f"{name}{file_name(self.style)}.npz"
        with zipfile.ZipFile(path, "w") as archive:
            for key, array in arrays.items():
                with archive.open(f"{key}.npy", "w") as file:
                    np.save(file, array)
        return path

    def new(self, suffix: str = "") -> Path:
        self._count += 1
        return self.folder / f"{self._count}{file_name(self.style)}{suffix}"

    def run(self, *words: object, codes: tuple[int, ...] = (0, 1), charset: str = "utf-8") -> Result:
        """Run a command, and check what it prints."""
        result = CliRunner(charset=charset).invoke(cli, [str(word) for word in words])
        shown = f"{words}\n{result.output}"
        assert result.exit_code in codes, shown
        for stream in (result.stdout_bytes, result.stderr_bytes):
            text = stream.decode(charset)
            assert not unsafe(text), (unsafe(text), shown)
            self.outputs.append(text)
        if "--json" in words and result.exit_code != 2:
            json.loads(result.stdout)
        return result


@pytest.fixture(params=list(STYLES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path, request.param)


def test_every_command_prints_names_as_text(place: Place) -> None:
    """Tables and JSON, on good input."""
    run, model, profile, given = place.run, place.model, place.profile, ("--input", place.inputs)
    for extra in ((), ("--json",)):
        run("inspect", model, *extra)
        run("inspect", model, "--profile", profile, "--lowering", "ort", *extra)
        run("card", model, "--device", "stm32n6", "--host-float", *extra)
        run("run", model, *given, "--codes", *extra, codes=(2,))
        run("diff", model, *given, "--profiles", f"ort,{profile}", *extra)
        run("explain", model, *given, "--layer", place.layers[1], "--index", "0,1,1,1", *extra)
        run("verify", model, *given, *extra, codes=(0, 1, 2))
        run("quality", place.real, model, "--data", place.inputs, *extra)
    run("run", model, *given, "--output", place.new(".npz"))
    evaluates(place)
    run("explain", model, *given, "--layer", 2, "--index", "0,1,1,1", "--profiles", profile, "--got", 7)
    run("stimulate", model, "--layer", 1, "--out", place.new("s"), "--shape", "1x2x2x3")
    run("stimulate", model, "--out", place.new("s"), "--count", 1, "--steps", 1, "--json")
    mine = place.new("m")
    run("golden", model, *given, "--profile", profile, "--format", "npz,npy,bin,c,hex", "--out", mine)
    run("compare", mine, place.npz("mine", place.right), "--profile", profile)
    run("probe", "--out", place.new("p"))
    pack = place.new("c")
    run("conformance", "make", "--out", pack, "--operator", "Flatten", "--limit", 1)
    run("conformance", "run", pack, "--runtime", "qdqnp", "--junit", place.new(".xml"))
    failing = f"{sys.executable} -c 'raise SystemExit(7)'"
    run("reduce", model, "--while", failing, "--out", place.new(".onnx"))
    compares(place)
    everything = "".join(place.outputs)
    assert printable(STYLES[place.style])[:12] in everything
    for line in everything.splitlines():
        assert not line.startswith("equal: 0 of 9")
        assert len(line) < 20_000


def evaluates(place: Place) -> None:
    """Names of columns, classes, pictures and label files; of the pictures one is damaged."""
    model, data, names, page = place.new(".onnx"), place.new(), place.new(".txt"), place.new(".html")
    save(model, network())
    data.mkdir()
    odd = file_name(place.style).replace(",", "").replace("\n", "").replace("\r", "").replace("\udcff", "")
    odd = "".join(odd.splitlines())
    for number in range(3):
        (data / f"{number}{odd}.png").write_bytes(png(number) if number else b"")
    (data / "labels.csv").write_text("".join(f"{n}{odd}.png,{n}\n" for n in range(3)), encoding="utf-8")
    names.write_text("".join(f"{n}{odd}\n" for n in range(3)), encoding="utf-8")
    column = STYLES[place.style].replace("\0", "").replace("=", "")
    words = (model, "--column", f"{column}={model}:tflite-single", "--host-float", "--data", data, "--workers", 1)
    for extra in ((), ("--json",), ("--html", page, "--markdown", place.new(".md"), "--skip-bad")):
        place.run("eval", *words, "--class-names", names, *extra, codes=(0, 2))
    check_html(page)


def compares(place: Place) -> None:
    """A right dump, a wrong one, and one with an entry too many; reports and mapping files."""
    page = place.new(".html")
    place.run("quality", place.real, place.model, "--data", place.inputs, "--what-if", "--html", page)
    check_html(page)
    golden, mapping = place.new("g"), place.new(".toml")
    place.run("golden", place.model, "--input", place.inputs, "--out", golden)
    wrong = {name: array ^ 1 if array.dtype.kind == "i" else array + 1 for name, array in place.right.items()}
    more = {**wrong, STYLES[place.style].replace("\0", ""): wrong[next(iter(wrong))]}
    for name, arrays in (("right", place.right), ("wrong", wrong), ("more", more)):
        dump, junit, html = place.npz(name, arrays), place.new(".xml"), place.new(".html")
        place.run("compare", golden, dump, "--all", "--junit", junit, "--html", html)
        assert not unsafe(junit.read_text(encoding="utf-8")) and ET.parse(junit)
        check_html(html)
    place.run("compare", golden, dump, "--json")
    place.run("identify", golden, dump, "--json")
    place.run("identify", golden, place.npz("right", place.right), "--fit", place.new(".toml"))
    place.run("compare", golden, dump, "--write-mapping", place.new(".json"))
    place.run("compare", golden, dump, "--write-mapping", mapping)
    assert not unsafe(mapping.read_text(encoding="utf-8"))
    place.run("compare", golden, dump, "--mapping", mapping)


@pytest.mark.parametrize("charset", ["ascii", "latin-1"])
def test_other_encodings(place: Place, charset: str) -> None:
    for extra in ((), ("--json",)):
        place.run("inspect", place.model, *extra, charset=charset)
        place.run("run", place.model, "--input", place.inputs, *extra, charset=charset)
        place.run("profiles", "show", place.profile, *extra, charset=charset)
    place.run("profiles", "show", place.profile, "--toml", charset=charset)
    place.run("golden", place.model, "--input", place.inputs, "--out", place.new("g"), charset=charset)


def check_html(path: Path) -> None:
    class Page(HTMLParser):
        """Collects texts and attributes outside script and style."""

        def __init__(self) -> None:
            super().__init__()
            self.found: list[str] = []
            self.inside = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.inside = tag
            self.found.extend(value for _, value in attrs if value)

        def handle_data(self, data: str) -> None:
            if self.inside not in ("script", "style"):
                self.found.append(data)

    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert not unsafe("".join(page.found))


def test_every_error_prints_names_as_text(place: Place) -> None:
    """Unknown files, layers, options, profiles and shapes; a model of an operator that is not known."""
    odd, model = STYLES[place.style].replace("\x00", ""), place.model
    unknown = place.new(".onnx")
    made = renamed(place.style)
    made.graph.node[-1].op_type = f"Op{STYLES[place.style]}{LONG}"
    made.graph.node[-2].domain = STYLES[place.style]
    unknown.write_bytes(made.SerializeToString())
    broken = place.new(".toml")
    broken.write_text('base = "ort"\n[conv]\nkind = "\\u001b[31m\\u202e"\n"a\\nb" = 1\n', encoding="ascii")
    shapes = place.npz("shapes", {name: array[0] for name, array in place.feeds.items()})
    names = place.npz("names", {f"{index}{name}": place.feeds[name] for name in place.feeds for index in range(2)})
    for charset in ("utf-8",):
        for words in (
            ("inspect", unknown),
            ("run", unknown, "--input", place.inputs),
            ("inspect", place.new(".onnx")),
            ("card", unknown),
            ("card", model, "--device", odd),
            ("card", model, "--device", broken),
            ("card", model, "--st", place.folder),
            ("inspect", model, "--profile", odd),
            ("inspect", model, "--profile", broken),
            ("inspect", model, "--lowering", odd),
            ("inspect", model, f"--{odd}"),
            ("inspect", model, odd),
            (odd,),
            ("run", model),
            ("run", model, "--input", shapes),
            ("run", model, "--input", names),
            ("run", model, "--input", place.new(".npy")),
            ("run", model, "--input", place.inputs, "--top", odd),
            ("run", model, "--input", place.inputs, "--output", place.new(".txt")),
            ("explain", model, "--layer", odd, "--index", "0"),
            ("explain", model, "--layer", 0, "--index", odd),
            ("explain", model, "--layer", 0, "--index", "99,99"),
            ("golden", model, "--out", model / odd.replace("/", "") / "x"),
            ("golden", model, "--out", place.new(), "--format", odd),
            ("golden", model, "--out", place.folder),
            ("golden", model, "--out", place.new(), "--layer", odd),
            ("stimulate", model, "--out", place.new(), "--shape", odd),
            ("stimulate", model, "--out", place.new(), "--layer", odd),
            ("diff", model, "--profiles", f"ort,{odd}"),
            ("eval", model, "--data", place.folder),
            ("eval", model, "--data", place.inputs, "--column", f"{odd}={odd}:{odd}"),
            ("compare", place.folder, place.inputs),
            ("compare", place.new(), place.new()),
            ("identify", place.new(), place.inputs, "--profiles", odd),
            ("capture", model, "--device", odd, "--out", place.new()),
            ("probe", "--out", place.folder),
            ("profiles", "show", odd),
            ("profiles", odd),
            ("st", "read", place.folder),
            ("st", odd),
            ("verify", model, "--profile", place.profile),
            ("quality", model, model, "--data", place.inputs),
            ("quality", place.real, model, "--data", place.inputs, "--mapping", broken),
            ("demo", "--model", odd),
            ("schema", odd),
            ("operators", odd),
            ("host", f"--{odd}"),
            ("doctor", f"--{odd}"),
        ):
            place.run(*words, codes=(2,), charset=charset)


def test_a_dump_of_files_in_every_style(place: Place) -> None:
    """A folder of .npy files, whose names are whatever a file system allows."""
    golden, dump = place.new("g"), place.new("d")
    place.run("golden", place.model, "--input", place.inputs, "--out", golden)
    dump.mkdir()
    for number, array in enumerate(place.right.values()):
        np.save(dump / f"{number}{file_name(place.style)}.npy", array)
    for words in ((), ("--json",), ("--write-mapping", place.new(".toml")), ("--write-mapping", place.new(".json"))):
        place.run("compare", golden, dump, *words, codes=(0, 1, 2))
    place.run("identify", golden, dump, codes=(0, 1, 2))


def test_the_bytes_of_a_process(tmp_path: Path) -> None:
    """What a terminal gets, colours included, from the real command."""
    place = Place(tmp_path, "escapes")
    for encoding in ("utf-8", "ascii", "latin-1"):
        command = [sys.executable, "-m", "qdqnp", "inspect", str(place.model)]
        environment = {"PYTHONIOENCODING": encoding, "FORCE_COLOR": "1", "PYTHONPATH": str(PACKAGE.parent)}
        result = subprocess.run(command, capture_output=True, env=environment, check=True)
        text = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout.decode(encoding))  # rich's own styles
        assert "\\x1b[2J" in text and not unsafe(text)
    shutil.rmtree(place.folder)


# -- the one function --------------------------------------------------------------------------------------------------
def test_visible_keeps_what_is_printed_as_itself() -> None:
    assert printable("grün é 漢字 😀 [red] :smile: \\ ~") == "grün é 漢字 😀 [red] :smile: \\ ~"
    assert printable("\x1b\n\r\t\x00\x7f\x9b\u202e\u2028\ud800\U000e0001") == (
        "\\x1b\\n\\r\\t\\x00\\x7f\\x9b\\u202e\\u2028\\ud800\\U000e0001"
    )
    for code in range(0x110000):
        assert printable(chr(code)).isprintable()


@pytest.mark.parametrize("text", ["[red]x[/red]", ":smile:", "[/", "a\nb", "\x1b[31m", "https://x.y 12 'a' None"])
def test_the_console_takes_every_string_as_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = PlainConsole(width=80)
    rows = table(text)
    rows.add_row(text)
    console.print(text, markup=True, emoji=True, highlight=True)
    console.print(text, style="bold")
    console.print(rows)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [printable(text)] * 4


def sources() -> Iterator[tuple[str, ast.Module]]:
    for room in ("cli", "render"):
        for path in sorted((PACKAGE / room).rglob("*.py")):
            yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_nothing_is_printed_around_the_console() -> None:
    """One module imports rich and makes consoles; nobody prints by print, click.echo or the streams themselves, builds
    a Text, or asks for markup."""
    around = re.compile(
        r"(^|\.)(print|echo|secho|echo_via_pager|style|from_markup|from_ansi|render_markup|prompt|confirm)$"
    )
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [item.name for item in node.names]
                rich = [name for name in names if name.split(".")[0] == "rich"]
                assert not rich or path == "render/console.py" or set(rich) == {"rich.table"}, (path, rich)
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called in ("CONSOLE.print", "ERROR_CONSOLE.print") or not around.search(called), (path, called)
                told = {keyword.arg for keyword in node.keywords} & {"markup", "emoji", "highlight"}
                assert not told or path == "render/console.py", (path, called)
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout.write", "sys.stderr.write"):
                assert path in ("render/console.py", "cli/net.py"), path
    consoles = [ast.unparse(call) for _, tree in sources() for call in ast.walk(tree) if isinstance(call, ast.Call)]
    assert sum(text.startswith("PlainConsole(") for text in consoles) == 2
    assert not any(text.startswith(("Console(", "rich.")) for text in consoles)


def test_every_command_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [command for command in COMMANDS if f'("{command}"' not in text] == []
