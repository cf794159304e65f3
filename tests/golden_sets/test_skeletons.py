"""The test programs run: all tests are skipped at first, right layers pass, a wrong one fails.

Frameworks that are not there have a header of our own in their place, with as much of each as the programs use.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.golden_sets.test_languages import small_set

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None or shutil.which("g++") is None, reason="needs gcc and g++")
HEADERS = Path(__file__).parent / "c" / "frameworks"
LAYERS = ("a_conv", "a_conv_2", "add", "pool")
# A device that copies the golden output, and is wrong in one layer.
DEVICE = """
#include <string.h>
#include "golden_under_test.h"

int golden_under_test(uint32_t output_id, uint32_t case_index, void *output)
{
    const qdqnp_tensor *golden = &golden_tensors[output_id];
    const size_t bytes = (size_t)golden->count * qdqnp_element_bytes(golden->type);
    if (output_id == GOLDEN_POOL_OUTPUT_ID) {
        return 1;
    }
    memcpy(output, (const char *)golden->values + case_index * bytes, bytes);
    if (output_id == WRONG) {
        ((char *)output)[3] ^= 1;
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("main", "ctest", "unity", "ztest", "gtest")
    return small_set(tmp_path_factory.mktemp("skeletons") / "set", skeletons=names) / "c"


def built(tests: Path, out: Path, source: str, wrong: str | None) -> Path:
    """The test program with a device, or with none."""
    compiler = "g++" if source.endswith("cpp") else "gcc"
    device = out / "device.c"
    device.write_text(DEVICE, encoding="ascii")
    arrays = [path for path in sorted(tests.glob("golden*.c")) if path.name != "golden_under_test.c"]
    arrays += [tests / "qdqnp_check.c", tests / "golden_under_test.c" if wrong is None else device]
    objects = []
    strict = ["-Wall", "-Wextra", "-Werror", f"-I{tests}", f"-I{HEADERS}"]
    for path in arrays:
        objects.append(str(out / f"{path.stem}.o"))
        flags = [] if wrong is None else [f"-DWRONG={wrong}"]
        subprocess.run(["gcc", "-std=c99", *strict, *flags, "-c", str(path), "-o", objects[-1]], check=True)
    program = out / "program"
    standard = "-std=c++14" if compiler == "g++" else "-std=c11"
    subprocess.run([compiler, standard, *strict, str(tests / source), *objects, "-o", str(program)], check=True)
    return program


def outcome(program: Path) -> tuple[int, str]:
    done = subprocess.run([program], capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "source", ["test_golden.c", "test_golden_unity.c", "test_golden_ztest.c", "test_golden_gtest.cpp"]
)
def test_a_skeleton_runs(tests: Path, tmp_path: Path, source: str) -> None:
    code, text = outcome(built(tests, tmp_path, source, None))
    assert code == 0 and all(name in text for name in LAYERS) and text.lower().count("skip") == len(LAYERS), text
    code, text = outcome(built(tests, tmp_path, source, "0xffff"))
    assert code == 0 and text.lower().count("skip") == 1, text
    code, text = outcome(built(tests, tmp_path, source, "GOLDEN_ADD_OUTPUT_ID"))
    assert code == 1 and "add" in text, text


@pytest.mark.skipif(shutil.which("ctest") is None or shutil.which("make") is None, reason="needs cmake and make")
def test_ctest_has_a_test_for_each_layer(tests: Path, tmp_path: Path) -> None:
    device = tmp_path / "device.c"
    device.write_text(DEVICE.replace("WRONG", "GOLDEN_ADD_OUTPUT_ID"), encoding="ascii")
    build = tmp_path / "build"
    subprocess.run(["cmake", "-S", tests, "-B", build, f"-DUNDER_TEST={device}"], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", build], check=True, capture_output=True)
    done = subprocess.run(["ctest", "--test-dir", build], capture_output=True, text=True)
    assert "75% tests passed, 1 tests failed out of 4" in done.stdout and "Skipped" in done.stdout, done.stdout
