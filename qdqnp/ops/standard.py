"""StandardOnly: element types that ONNX defines an operator for, and that ONNX Runtime has no kernel for on CPUs."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from qdqnp.element_types import Dtype


def standard_doubt(kinds: Iterable[Dtype], without_kernel: Collection[Dtype]) -> str:
    """Return why results of these types are not promised to be ONNX Runtime's; '' where they are.

    without_kernel: the types that ONNX Runtime 1.32 has no kernel of the operator for.

    >>> from qdqnp.element_types import BFLOAT16
    >>> standard_doubt([BFLOAT16], (BFLOAT16,))
    "ONNX Runtime has no kernel for bfloat16: computed as ONNX's specification says"
    """
    names = [str(kind) for kind in dict.fromkeys(kinds) if kind in without_kernel]
    if not names:
        return ""
    return f"ONNX Runtime has no kernel for {' and '.join(names)}: computed as ONNX's specification says"
