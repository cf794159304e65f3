"""Glue between the generated C and the tests' kernels: what a firmware engineer writes by hand for one layer."""

from __future__ import annotations

import subprocess
from pathlib import Path

from qdqnp.golden_sets import GoldenSet, GoldenTensor

HERE = Path(__file__).parent / "c"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion")

MAIN = """
#include <stdio.h>
#include <stdlib.h>

static int8_t buffer[65536];
static int bad;

static void report(void *context, uint32_t tensor, uint32_t case_index, const qdqnp_result *result)
{{
    (void)context;
    bad += result->mismatches != 0;
    printf("%s %u %u\\n", golden_tensors[tensor].name, (unsigned)case_index, (unsigned)result->mismatches);
}}

int main(int argc, char **argv)
{{
    fault = argc > 1 ? atoi(argv[1]) : 0;
    for (uint32_t at = 0; at < GOLDEN_CASES; at++) {{
{calls}    }}
    return bad != 0;
}}
"""


def run_kernels(found: GoldenSet, folder: Path, arithmetic: str) -> Path:
    """Build one program of a set's layers with the tests' kernels; returns it. It takes the number of a fault."""
    text = '#include "kernels.h"\n#include "golden.h"\n'
    text += "".join(f'#include "{path.name}"\n' for path in sorted(folder.glob("c/golden*.c")))
    text += MAIN.format(calls="".join(_call(found, layer) for layer in found.manifest["layers"]))
    (folder / "all.c").write_text(text, encoding="ascii")
    program = folder / "test"
    sources = [
        folder / "all.c",
        folder / "c" / "qdqnp_check.c",
        *(HERE / f"{name}.c" for name in ("conv", "pool", "elementwise", arithmetic)),
    ]
    build(sources, program, "-O1", f"-I{folder / 'c'}", f"-I{HERE}", strict=STRICT[:4])
    return program


def build(sources: list[Path], program: Path, *flags: str, strict: tuple[str, ...] = STRICT) -> None:
    done = subprocess.run(
        ["gcc", *strict, *flags, *map(str, sources), "-o", str(program), "-lm"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def macro(p: str) -> str:
    return f"GOLDEN_{p.upper()}"


def _name(tensor: GoldenTensor) -> str:
    return str(tensor.files["c"]["symbol"]).removeprefix("golden_")


def _call(found: GoldenSet, layer: dict) -> str:
    output = next(t for t in found.tensors if t.index == layer["index"] and t.role == "output")
    p = _name(output).removesuffix("_output")
    kind = layer["label"].rpartition("_")[0]
    make = {"conv": _conv, "depthwise": _conv, "add": _add, "concat": _concat}.get(kind, _pool)
    check = f"qdqnp_check(&golden_tensors[{macro(p)}_OUTPUT_ID], {macro(p)}_OUTPUT_ID, at, buffer, report, NULL);"
    return f"        {{\n            {make(found, layer, p, kind)}\n            {check}\n        }}\n"


def _has(found: GoldenSet, key: str) -> bool:
    return any(_name(tensor) == key for tensor in found.tensors)


def _at(p: str, part: str) -> str:
    """A tensor that varies, at the current case."""
    return f"golden_{p}_{part} + at * {macro(p)}_{part.upper()}_SIZE"


def _sizes(p: str, part: str) -> str:
    return "{" + ", ".join(f"{macro(p)}_{part.upper()}_{axis}" for axis in "NCHW") + "}"


def _quant(p: str, part: str) -> str:
    return f"{{{macro(p)}_{part.upper()}_SCALE, {macro(p)}_{part.upper()}_ZERO_POINT}}"


def _window(p: str) -> str:
    parts = ["KERNEL_H", "KERNEL_W", "STRIDE_H", "STRIDE_W", "DILATION_H", "DILATION_W", "PAD_TOP", "PAD_LEFT"]
    return "{" + ", ".join(f"{macro(p)}_{part}" for part in parts) + "}"


def _rescaling(found: GoldenSet, p: str) -> str:
    if not _has(found, f"{p}_multiplier"):
        return "{NULL, NULL, 0}"
    shift = f"golden_{p}_shift" if _has(found, f"{p}_shift") else "NULL"
    return f"{{golden_{p}_multiplier, {shift}, {macro(p)}_MULTIPLIER_SIZE}}"


def _conv(found: GoldenSet, layer: dict, p: str, kind: str) -> str:
    return (
        f"const conv_layer l = {{{_at(p, 'input')}, golden_{p}_weight, golden_{p}_bias, {_sizes(p, 'input')}, "
        f"{_sizes(p, 'output')}, {_window(p)}, {macro(p)}_GROUP, {_quant(p, 'input')}, {_quant(p, 'output')}, "
        f"{_rescaling(found, p)}}};\n            conv(&l, buffer);"
    )


def _pool(found: GoldenSet, layer: dict, p: str, kind: str) -> str:
    window = "{0}" if kind == "global_average_pool" else _window(p)
    quants = "{0, 0}, {0, 0}" if kind == "max_pool" else f"{_quant(p, 'input')}, {_quant(p, 'output')}"
    return (
        f"const pool_layer l = {{{_at(p, 'input')}, {_sizes(p, 'input')}, {_sizes(p, 'output')}, {window}, "
        f"{quants}, {_rescaling(found, p)}}};\n            {kind}(&l, buffer);"
    )


def _add(found: GoldenSet, layer: dict, p: str, kind: str) -> str:
    if _has(found, f"{p}_multipliers"):
        numbers = f"const int32_t *numbers = golden_{p}_multipliers, *shifts = golden_{p}_shifts;"
    else:
        parts = ", ".join(f"golden_{p}_{part}[0]" for part in ("ratio_a", "ratio_b", "offset"))
        numbers = f"const float numbers[3] = {{{parts}}}; const int32_t *shifts = NULL;"
    quants = ", ".join(_quant(p, part) for part in ("input0", "input1", "output"))
    return (
        f"{numbers}\n            const add_layer l = {{{_at(p, 'input0')}, {_at(p, 'input1')}, "
        f"{macro(p)}_OUTPUT_SIZE, {quants}, numbers, shifts}};\n            add(&l, buffer);"
    )


def _concat(found: GoldenSet, layer: dict, p: str, kind: str) -> str:
    axis, parts = layer["attributes"]["axis"], []
    for index in range(len(layer["inputs"])):
        part = f"input{index}"
        sizes = [f"{macro(p)}_{part.upper()}_{letter}" for letter in "NCHW"]
        parts.append(
            f"{{{_at(p, part)}, {' * '.join(sizes[:axis])}, {' * '.join(sizes[axis:])}, {_quant(p, part)}, "
            f"{_quant(p, 'output')}, {_rescaling(found, p)}, {index}}}"
        )
    return f"const concat_part l[] = {{{', '.join(parts)}}};\n            concat(l, {len(parts)}, buffer);"
