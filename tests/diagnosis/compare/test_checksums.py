"""Checksums that a board printed are a dump: the first wrong layer, and nothing that they do not tell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from qdqnp import golden_sets
from qdqnp.cli import cli
from qdqnp.diagnosis.compare.checksums import EQUAL, OWN, UNKNOWN, compare_checksums
from qdqnp.diagnosis.dumps.crc_log import checked_tensors, crc_log, read_crc_log
from qdqnp.golden_sets import GoldenSet
from qdqnp.golden_sets.tensor import GoldenTensor
from tests.diagnosis.compare.test_sets import cube, write

TENSORS = ("network_input", "output", "network_output")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> GoldenSet:
    path = tmp_path_factory.mktemp("crc") / "set"
    return golden_sets.read(write(path, cube(), 2, formats=("c-crc", "npz"), roles=TENSORS, store_model=False))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["compare", *(str(argument) for argument in arguments)])


def lines(found: GoldenSet, form: str, wrong: dict[tuple[str, int], int] | None = None) -> str:
    """A log of every tensor; `wrong` has the label of a layer, a case, and what its checksum is changed by."""
    text = "boot 0x20001234\n"
    for case in range(found.inputs):
        for number, tensor in enumerate(checked_tensors(found)):
            expected = int(tensor.crc32[case], 16)
            got = expected ^ (wrong or {}).get((tensor.layer, case), 0)
            key, macro = tensor.key, f"GOLDEN_{tensor.key.upper()}_CRC"
            words = {"number": number, "case": case, "got": got, "expected": expected, "key": key, "macro": macro}
            text += form.format(
                **words, name=tensor.name, layer=tensor.layer or tensor.name, same=["differs", "equal"][got == expected]
            )
    return text


FORMS = (
    "crc {number} {case} {got:08x}\n",
    "[12 ms] tensor {number} case {case}: expected {expected:#010x}, got {got:#010x}\n",
    "{macro} case {case}: CRC-32 {got:08X} (want {expected:08X})\n",
    "{key} {got:08x}\n",
    "GOLDEN_{layer}_OUTPUT_ID case {case} {got:08x}\n",
    "case {case}: '{name}': {expected:08x} {got:08x}\n",
    "{key}, case {case}: {same}\n",
)


@pytest.mark.parametrize("form", FORMS)
def test_every_way_to_print_them(found: GoldenSet, form: str) -> None:
    tensors = checked_tensors(found)
    log = crc_log(lines(found, form), tensors)
    assert log is not None
    report = compare_checksums(found, log)
    assert report.exit_code == 0 and {row.status for row in report.rows} == {EQUAL}, report.verdict()
    log = crc_log(lines(found, form, {("depthwise", 1): 5, ("add", 1): 9, ("fc", 1): 1}), tensors)
    assert log is not None
    report = compare_checksums(found, log)
    wrong = {row.label: row.status for row in report.rows if row.wrong}
    assert wrong == {"depthwise": OWN, "add": UNKNOWN, "fc": OWN}
    assert report.exit_code == 1 and report.first is not None and report.first.label == "depthwise"
    assert report.first.wrong == (1,) and "which are right" in report.verdict()[0] and "'fc'" in report.verdict()[1]
    assert "LSB" not in json.dumps(report.as_json())


@pytest.mark.parametrize("prefix", ["mine", "Net__2_"])
def test_macros_of_another_prefix_are_known(tmp_path: Path, prefix: str) -> None:
    """Each macro that the set itself defines, with the right checksum, as a board prints it."""
    path = write(tmp_path / "set", cube(), 1, formats=("c-crc",), prefix=prefix, roles=TENSORS)
    made = golden_sets.read(path)
    header = (path / "c-crc" / f"{prefix}_crc.h").read_text()
    macros = re.findall(r"#define (\w+_ID) (\d+)", header)
    tensors = checked_tensors(made)
    assert len(macros) >= len(tensors) > 3 and all(macro.startswith(f"{prefix.upper()}_") for macro, _ in macros)
    text = "".join(f"{macro} {tensors[int(number)].crc32[0]}\n" for macro, number in macros)
    (tmp_path / "board.log").write_text(text)
    log = read_crc_log(tmp_path / "board.log", made)
    assert log is not None and not log.unknown
    assert log.found == {(tensor.key, 0): int(tensor.crc32[0], 16) for tensor in tensors}
    assert crc_log(text, tensors) is None  # as if it had been golden's


def test_a_log_of_what_is_wrong_alone(found: GoldenSet) -> None:
    """As the harness prints it: the last line says that all the others were compared."""
    tensors = checked_tensors(found)
    crc = int(next(t for t in tensors if t.layer == "add").crc32[1], 16)
    line = f"case 1: layer add, by arm_elementwise_add_s8: CRC-32 {crc ^ 1:08x}, expected {crc:08x}\n"
    end = "2 inputs, 9 layers, 900 elements: 1 of 18 tensors differ\n"
    with_end, alone = crc_log(line + end, tensors), crc_log(line, tensors)
    assert with_end is not None and alone is not None
    report = compare_checksums(found, with_end)
    assert report.complete and report.exit_code == 1 and report.rows[0].status == EQUAL
    assert not compare_checksums(found, alone).complete
    none = crc_log(end.replace("1 of", "0 of"), tensors)
    assert none is not None and compare_checksums(found, none).exit_code == 0


def test_what_was_not_checked_is_no_success(found: GoldenSet) -> None:
    text = "".join(lines(found, FORMS[0]).splitlines(keepends=True)[:-1])
    log = crc_log(text + "crc unknown_thing 0 12345678\n", checked_tensors(found))
    assert log is not None
    report = compare_checksums(found, log)
    assert (
        report.exit_code == 2 and len(report.not_compared()) == 2 and compare_checksums(found, log, True).exit_code == 0
    )


def test_text_of_something_else_is_none(found: GoldenSet) -> None:
    assert crc_log("hello\nheap 0x20001234\n", checked_tensors(found)) is None


def test_the_command_takes_a_log_and_needs_no_model(found: GoldenSet, tmp_path: Path) -> None:
    log = tmp_path / "uart.log"
    log.write_text(lines(found, FORMS[1]))
    result = run(found.folder, log)
    assert result.exit_code == 0, result.output
    log.write_text(lines(found, FORMS[1], {("conv", 0): 1}))
    result = run(found.folder, log)
    assert result.exit_code == 1 and "layer conv" in result.output
    document = json.loads(run(found.folder, log, "--json").stdout)
    assert document["checksums"] and document["first_divergence"] == "a_q"
    assert run(found.folder, log, "--html", tmp_path / "r.html").exit_code == 2


@pytest.mark.parametrize("activations", ["NCHW", "NHWC"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_set_of_checksums_equals_itself(tmp_path: Path, activations: str, count: int) -> None:
    path = write(tmp_path / "set", cube(), count, formats=("c-crc",), activations=activations)
    for dump in (path, path / "c-crc"):
        result = run(path, dump)
        assert result.exit_code == 0 and result.output.startswith("equal: "), result.output


def bytes_of(made: GoldenSet, tensor: GoldenTensor) -> bytes:
    return np.ascontiguousarray(made.array(tensor)).tobytes()


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_what_the_c_check_reports(tmp_path: Path) -> None:
    """golden_crc_check, built here, of a device that is right but for one layer."""
    path = write(tmp_path / "set", cube(), 1, formats=("c-crc", "npz"), roles=TENSORS)
    made = golden_sets.read(path)
    arrays = "".join(
        f"static const unsigned char t{n}[] = {{{', '.join(map(str, bytes_of(made, t)))}}};\n"
        for n, t in enumerate(checked_tensors(made))
    )
    calls = "".join(f"    golden_crc_check({n}, 0, t{n}, report, NULL);\n" for n, _ in enumerate(checked_tensors(made)))
    wrong = next(n for n, t in enumerate(checked_tensors(made)) if t.layer == "add")
    arrays = arrays.replace(f"t{wrong}[] = {{", f"t{wrong}[] = {{1 ^ ")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "golden_crc.h"\n' + arrays + "static void report(void *context, uint32_t tensor, "
        "uint32_t case_index, const qdqnp_result *result)\n{\n    (void)context;\n"
        '    printf("crc %lu %lu %08lx\\n", (unsigned long)tensor, (unsigned long)case_index,\n'
        "           (unsigned long)result->got);\n"
        "}\nint main(void)\n{\n" + calls + "    return 0;\n}\n"
    )
    files = [tmp_path / "main.c", *(path / "c-crc").glob("*.c")]
    subprocess.run(["cc", f"-I{path / 'c-crc'}", *files, "-o", tmp_path / "a"], check=True)
    (tmp_path / "uart.log").write_bytes(subprocess.run([tmp_path / "a"], check=True, capture_output=True).stdout)
    result = run(path, tmp_path / "uart.log")
    assert result.exit_code == 1 and "layer add" in result.output, result.output
