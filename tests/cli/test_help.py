"""Help: commands by question, each told in a line that ends; and what a shell completes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from qdqnp.cli import COMMANDS, QUESTIONS, SUMMARIES, cli
from tests.networks import dla

ROOT = Path(__file__).parents[2]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every command below a group, groups too."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        yield (*path, name)
        found = group.get_command(ctx, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))


PATHS = ((), *commands(cli))


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
@pytest.mark.parametrize("width", [80, 120])
def test_no_line_of_help_is_cut_short(path: tuple[str, ...], width: int) -> None:
    """But for the pattern of arguments, in which '...' says that there may be more."""
    settings = {"terminal_width": width, "max_content_width": width}
    result = CliRunner().invoke(cli, [*path, "--help"], prog_name="qdqnp", **settings)
    assert result.exit_code == 0
    usage, *lines = result.output.splitlines()
    assert usage.startswith("Usage: qdqnp")
    assert [line for line in lines if line.rstrip().endswith("...")] == []
    assert [line for line in result.output.splitlines() if len(line) > width] == []


def test_help_lists_every_command_once_under_its_question() -> None:
    lines = CliRunner().invoke(cli, ["--help"], terminal_width=80, max_content_width=80).output.splitlines()
    start = 0
    for question, those in QUESTIONS.items():
        start = lines.index(question, start)
        assert [line.split()[0] for line in lines[start + 1 : start + 1 + len(those)]] == list(those)
        assert [line.split(maxsplit=1)[1] for line in lines[start + 1 : start + 1 + len(those)]] == list(those.values())
    assert len(COMMANDS) == len(SUMMARIES) == sum(map(len, QUESTIONS.values()))
    files = {path.stem for path in (ROOT / "qdqnp" / "cli").glob("*.py")}
    assert {
        name for name in files if f'("{name}"' in (ROOT / f"qdqnp/cli/{name}.py").read_text(encoding="utf-8")
    } >= set(COMMANDS)


def test_an_unknown_command_suggests_others() -> None:
    assert "No such command 'veryfy'. Did you mean 'verify'?" in CliRunner().invoke(cli, ["veryfy"]).stderr
    far = CliRunner().invoke(cli, ["xyzzy"])
    assert far.exit_code == 2 and far.stderr.endswith("No such command 'xyzzy'.\n")
    assert "Did you mean" not in CliRunner().invoke(cli, ["--nonsense"]).stderr


def test_the_readme_has_every_command_in_the_order_of_help() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| ")]
    places = [
        next((at for at, row in enumerate(table) if re.search(f"`qdqnp {name}\\b", row)), -1) for name in COMMANDS
    ]
    assert places == sorted(places) and min(places) >= 0, list(zip(COMMANDS, places, strict=True))
    headings = [row for row in table if row.startswith("| **")]
    assert headings == [f"| **{question}** | |" for question in QUESTIONS]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_no_command(arguments: list[str]) -> None:
    code = "import sys; from qdqnp.cli import cli; cli.main(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert {f"qdqnp.cli.{name}" for name in COMMANDS} & set(done.stdout.split()) == set()


def completed(*words: str) -> list[str]:
    """What click offers for the last of these words."""
    *before, last = words
    return [item.value for item in BashComplete(cli, {}, "qdqnp", "_QDQNP_COMPLETE").get_completions(before, last)]


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "net.onnx").write_bytes(dla().SerializeToString())
    return str(tmp_path / "net.onnx")


def test_names_are_completed(model: str, tmp_path: Path) -> None:
    assert completed("ver") == ["verify"] and set(completed("")) == set(COMMANDS)
    assert "--version" in completed("--")
    assert completed("diff", model, "--profiles", "ort,tflite-s") == ["ort,tflite-single"]
    assert "cmsis-nn" in completed("run", model, "--profile", "c") == completed("profiles", "show", "c")
    assert completed("golden", model, "--format", "npz,np") == ["npz,npy", "npz,npz"]
    assert completed("card", model, "--device", "stm") == ["stm32n6"]
    assert completed("conformance", "run", "pack", "--runtime", "tr") == ["tract"]
    assert completed("conformance", "make", "--operator", "QGemm,QLinearSo") == ["QGemm,QLinearSoftmax"]
    labels = completed("explain", model, "--layer", "")
    assert len(labels) > 10 and completed("golden", model, "--layer", labels[3]) != []
    (tmp_path / "net.onnx").write_bytes(b"no model")
    assert completed("explain", model, "--layer", "") == completed("explain", "--layer", "") == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_the_protocol_of_the_shell(tmp_path: Path) -> None:
    """As bash calls it, in a process of its own: what is printed is the list, and nothing else."""
    command = [sys.executable, "-c", "import sys; sys.argv[0] = 'qdqnp'; from qdqnp.__main__ import main; main()"]
    words = {"COMP_WORDS": "qdqnp diff net.onnx --profiles ort,ort-u", "COMP_CWORD": "4"}
    for how, expected in (("bash_complete", "plain,ort,ort-unfused\n"), ("zsh_source", "#compdef qdqnp")):
        environment = {**os.environ, **words, "_QDQNP_COMPLETE": how}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == expected or (how == "zsh_source" and done.stdout.startswith(expected))
