"""What format c and c-crc write is C99, C11, C++11 and C++17 without a warning, and two sets fit in one program."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from qdqnp.errors import GoldenError
from qdqnp.golden_sets import Options, read, write
from qdqnp.golden_sets.names import distinct
from qdqnp.golden_sets.writers.c_names import require_different
from qdqnp.golden_sets.writers.c_text import real
from tests.golden_sets.nets import Layers, code_feeds

gcc = pytest.mark.skipif(shutil.which("gcc") is None or shutil.which("g++") is None, reason="needs gcc and g++")
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic-errors")
LANGUAGES = {"c99": "gcc", "c11": "gcc", "c++11": "g++", "c++17": "g++"}


def small_set(out: Path, prefix: str = "golden", seed: int = 5, **options: object) -> Path:
    net = Layers(seed)
    net.conv("a/conv", 0, depthwise=False)
    net.conv("a.conv", 1, depthwise=True)
    net.add("add", 0)
    net.pool("pool", "MaxPool", same=True)
    model = net.model()
    chosen = Options(formats=("c", "c-crc", "npz"), prefix=prefix, cmsis_nn=True, **options)  # type: ignore[arg-type]
    write(out, model, [code_feeds(model, at) for at in (1, 2)], 2, profile="cmsis-nn", options=chosen)
    return out


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("two")
    return small_set(folder / "one", "first"), small_set(folder / "other", "second", seed=6)


def compiled(language: str, source: Path, folders: list[Path], out: Path, *flags: str) -> Path:
    include = [f"-I{folder}" for folder in folders]
    kind = ["-x", "c++"] if "++" in language else ["-x", "c"]
    command = [
        LANGUAGES[language],
        f"-std={language}",
        *STRICT,
        *flags,
        *kind,
        *include,
        "-c",
        str(source),
        "-o",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@gcc
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_file_compiles_without_a_warning(two: tuple[Path, Path], tmp_path: Path, language: str) -> None:
    for folder in (two[0] / "c", two[0] / "c-crc"):
        for source in sorted(folder.glob("*.c")):
            if language.startswith("c++") and source.name == "main.c":
                continue
            compiled(language, source, [folder], tmp_path / "out.o")


MAIN = """
#include "first.h"
#include "second.h"
#include "first_crc.h"
#include "second_crc.h"

static int bad;

static void report(void *context, uint32_t tensor, uint32_t case_index, const qdqnp_result *result)
{
    (void)context;
    (void)tensor;
    (void)case_index;
    bad += result->mismatches != 0;
}

int main(void)
{
    static const first_a_conv_params_t params = FIRST_A_CONV_PARAMS;
    const float scale = FIRST_A_CONV_OUTPUT_SCALE;
    uint32_t at;
    for (at = 0; at < FIRST_CASES; at++) {
        first_crc_check(FIRST_A_CONV_OUTPUT_ID, at, first_a_conv_output + at * FIRST_A_CONV_OUTPUT_SIZE, report, 0);
        second_crc_check(SECOND_ADD_OUTPUT_ID, at, second_add_output + at * SECOND_ADD_OUTPUT_SIZE, report, 0);
        qdqnp_check(&first_tensors[FIRST_POOL_OUTPUT_ID], FIRST_POOL_OUTPUT_ID, at,
                    first_pool_output + at * FIRST_POOL_OUTPUT_SIZE, report, 0);
    }
    if (params.multiplier != first_a_conv_multiplier || params.kernel_h != FIRST_A_CONV_KERNEL_H
        || params.input_offset != FIRST_A_CONV_INPUT_OFFSET || params.output_scale != scale) {
        return 2;
    }
    return bad != 0;
}
"""


@gcc
@pytest.mark.parametrize("language", LANGUAGES)
def test_two_sets_in_one_program(two: tuple[Path, Path], tmp_path: Path, language: str) -> None:
    """The arrays are C; the program is C or C++."""
    folders = [folder / part for folder in two for part in ("c", "c-crc")]
    (tmp_path / "program.c").write_text(MAIN, encoding="ascii")
    objects = [compiled(language, tmp_path / "program.c", folders, tmp_path / "program.o")]
    sources = [path for folder in folders for path in sorted(folder.glob("*.c")) if path.name != "main.c"]
    seen: set[str] = set()
    for source in sources:
        if source.name not in seen:
            seen.add(source.name)
            objects.append(compiled("c99", source, folders, tmp_path / f"{source.stem}.o"))
    program = tmp_path / "program"
    subprocess.run([LANGUAGES[language], *map(str, objects), "-o", str(program)], check=True)
    assert subprocess.run([program]).returncode == 0


def test_names_do_not_depend_on_which_layers_are_chosen(two: tuple[Path, Path], tmp_path: Path) -> None:
    """Of two layers whose labels are one in C the second has a number, also where it stands alone."""
    alone = small_set(tmp_path / "set", "first", layers=("a.conv",))
    pattern = r"^(?:#define|extern .*const) .*?(first_a_conv_2_\w+|FIRST_A_CONV_2_\w+)"
    names = [
        {name for name in re.findall(pattern, (folder / "c" / "first.h").read_text(), re.M) if not name.endswith("_ID")}
        for folder in (alone, two[0])
    ]
    assert names[0] == names[1] and len(names[0]) > 20


def test_one_file_a_layer_and_one_number_a_tensor(two: tuple[Path, Path]) -> None:
    files = sorted(path.name for path in (two[0] / "c").glob("first*.c"))
    assert files == [
        *("first.c", "first_a_conv.c", "first_a_conv_2.c", "first_add.c", "first_network.c", "first_pool.c"),
    ]
    numbers = [
        dict(re.findall(r"#define (\w+_ID) (\d+)", (two[0] / part).read_text()))
        for part in ("c/first.h", "c-crc/first_crc.h")
    ]
    assert numbers[1] and numbers[1].items() <= numbers[0].items()


def test_what_is_only_moved_has_the_scale_of_its_codes(tmp_path: Path) -> None:
    net = Layers(1)
    quant = net.quant(0.25, 3)
    net.node("QLinearLeakyRelu", "first", [net.input("x", 1, 2, 4, 4), *net.quant(), *quant], alpha=0.5)
    net.node("MaxPool", "pool", ["first_y"], "", kernel_shape=[2, 2])
    net.node("Flatten", "flat", ["pool_y"], "")
    model = net.model()
    write(tmp_path / "set", model, [code_feeds(model, 1)], 1, profile="tflite")
    found = [t for t in read(tmp_path / "set").tensors if t.layer in ("pool", "flat") and t.role in ("input", "output")]
    assert len(found) == 4 and all((t.scale, t.zero_point) == (0.25, 3) for t in found)


def test_only_so_many_layers_as_fit_in_flash(two: tuple[Path, Path], tmp_path: Path) -> None:
    sizes = {layer["label"]: layer["bytes"] for layer in read(two[0]).manifest["layers"]}
    arrays = sum(path.stat().st_size for path in (two[0] / "c").glob("first_*.c"))
    assert 0 < sum(sizes.values()) < arrays  # text is longer than its bytes
    total = sum(sizes.values()) + sum(2 * t.nbytes for t in read(two[0]).tensors if t.role == "network_input")
    largest = max(sizes, key=lambda label: sizes[label])
    output = next(t.nbytes for t in read(two[0]).tensors if t.role == "output" and t.layer == largest)
    limit = total - sizes[largest] + 2 * output  # which the network's own output is
    some = read(small_set(tmp_path / "some", limit_flash=limit))
    labels = {layer["label"] for layer in some.manifest["layers"]}
    assert labels == set(sizes) - {largest}
    assert (
        sum(2 * t.nbytes if t.varies else t.nbytes for t in {t.name + t.stage: t for t in some.tensors}.values())
        <= limit
    )
    with pytest.raises(GoldenError, match="no layer fits in flash"):
        small_set(tmp_path / "none", limit_flash=1)


def test_literals_are_the_numbers_again() -> None:
    draws = np.random.default_rng(0).integers(0, 2**32, 20_000, np.uint32).view(np.float32)
    for value in draws[np.isfinite(draws)].tolist():
        assert np.float32(real(value, "here")) == np.float32(value)
        assert re.fullmatch(r"-?\d+\.\d*(e[-+]\d+)?", real(value, "here"))
    assert float(real(0.1 + 0.2, "here", double=True)) == 0.1 + 0.2
    assert real(1e300, "here", double=True) == "1.0e+300"


def test_names_that_meet_by_chance_are_refused() -> None:
    require_different("#define A_B 1\n#define A_C 1\nextern X const int8_t a[A];\n", "golden.h")
    with pytest.raises(GoldenError, match="names that differ, got 'A_B' twice"):
        require_different("#define A_B 1\n#define A_B 2\n", "golden.h")
    assert distinct(["A", "a", "a!", "b"]) == ["A", "a_2", "a_3", "b"]
