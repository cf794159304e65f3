"""The page of instructions that is written beside the probes."""

from __future__ import annotations

from collections.abc import Sequence

from qdqnp.diagnosis.probe.probes import Probe

_HEAD = """# Probes: what arithmetic does your device use?

Each folder holds one small quantized model of a single layer, `model.onnx`, and its inputs. Run every model once on the
board, keep the codes of its output, and let `qdqnp identify` read them.

## Steps

1. Compile each `<probe>/model.onnx` for the device as you compile your own quantized networks, without calibration:
   the scales in the file are part of the question.
2. Run it once. `<probe>/<input>.npy` holds the input as float32 values, `<input>_codes.npy` the same as int8 codes, in
   the order NCHW. Use the codes where the device takes int8; both mean the same.
3. Save the output as `answers/<probe>.npy` (int8 codes, or float32 values as the device dequantizes them), NCHW or
   NHWC. `.npz`, raw `.bin` and ST's `*_val_io.npz` are read too: `qdqnp capture` writes a folder `answers/<probe>`.
4. `qdqnp identify PROBES answers --fit device.toml`, with PROBES this folder.

A probe that your tools refuse can be left out. Every other command works on one probe alone:
`qdqnp compare <probe>/golden answers/<probe>.npy` compares with ONNX Runtime's arithmetic.

`<probe>/expected.npz` holds what each hypothesis answers, `h00`, `h01`, ... in the order below.
"""


def page(probes: Sequence[Probe]) -> str:
    """Return README.md of the folder."""
    return _HEAD + "".join(_section(probe) for probe in probes)


def _section(probe: Probe) -> str:
    inputs = ", ".join(f"`{name}` int8{list(codes.shape)}" for name, codes in probe.codes.items())
    lines = [f"\n## {probe.name}", "", f"**{probe.question}** {probe.how}", "", f"Inputs: {inputs}.", ""]
    for index, group in enumerate(_groups(probe)):
        lines.append(f"{index + 1}. {' | '.join(group)}")
    return "\n".join([*lines, ""])


def _groups(probe: Probe) -> list[list[str]]:
    """Group the hypotheses, with their numbers, that this probe cannot tell apart."""
    found: dict[bytes, list[str]] = {}
    for index, (text, codes) in enumerate(probe.answers().items()):
        found.setdefault(codes.tobytes(), []).append(f"`h{index:02d}` {text}")
    return list(found.values())
