"""Arrays in memory against a golden set: what a unit test asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import CompareOptions, compare
from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.reference import reference_from
from qdqnp.diagnosis.tally import unequal
from qdqnp.errors import InputError, Problem
from qdqnp.golden_sets import GoldenSet, GoldenTensor
from qdqnp.ops.operator import Operator
from qdqnp.quant import Array


def tensor_of(golden: GoldenSet, name: str) -> GoldenTensor:
    """Return a tensor of a golden set by its ONNX name, by the label of the layer that makes it, or by its key.

    Raises InputError, with near names, where the set has no such tensor.
    """
    outputs = [tensor for tensor in golden.tensors if tensor.role in ("output", "network_output", "network_input")]
    for called in ((t.name for t in outputs), (t.layer for t in outputs), (t.key for t in outputs)):
        for tensor, its in zip(outputs, called, strict=True):
            if its == name:
                return tensor
    names = dict.fromkeys(text for tensor in outputs for text in (tensor.layer, tensor.name) if text)
    near = ", ".join(f"'{text}'" for text in get_close_matches(name, names, 3, 0.4))
    problem = Problem(
        "tensor", "a name of an output of the golden set, or of its layer", f"'{name}'", near and f"Near it: {near}."
    )
    raise InputError("the golden set has no such tensor", [problem])


def differing(got: Array, want: Array) -> str:
    """Say in one line how an array differs from a golden one, by dtype, shape or elements; '' where it is the same.

    Every bit counts, also of zeros and NaN.

    >>> import numpy as np
    >>> differing(np.int8([1, 2, 5]), np.int8([1, 2, 3]))
    '1 of 3 elements differ, the first at (2,): got 5, expected 3'
    >>> differing(np.int32([1]), np.int8([1]))
    'expected int8 of shape (1,), got int32 of shape (1,)'
    """
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"expected {want.dtype} of shape {want.shape}, got {got.dtype} of shape {got.shape}"
    wrong = unequal(got, want)
    if not wrong.any():
        return ""
    flat = int(np.argmax(wrong.reshape(-1)))
    at = tuple(int(i) for i in np.unravel_index(flat, wrong.shape))
    ours, theirs = got.reshape(-1)[flat], want.reshape(-1)[flat]
    count = int(np.count_nonzero(wrong))
    return f"{count} of {got.size} elements differ, the first at {at}: got {ours}, expected {theirs}"


def compare_arrays(
    golden: GoldenSet, arrays: Mapping[str, Array], case: int = 0, operators: Iterable[type | Operator] = ()
) -> CompareReport:
    """Compare arrays of one case with a golden set, as `compare` does a dump.

    What the layers of these arrays read is golden, where it is not among them: a test feeds its kernel so.

        arrays: by ONNX name, in the shape of the golden tensor.
        case: which input of the set they belong to.
        operators: classes of operators that qdqnp does not have, as `qdqnp.load` takes them.

    Raises InputError for a set without its model, and where nothing fits.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from qdqnp import golden_sets
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> x = np.zeros((1, 3, 32, 32), np.float32)
    >>> written = golden_sets.write(Path("vectors"), shipped_model("dla46_c_int8"), [{"input": x}], 1)
    >>> golden = golden_sets.read("vectors")
    >>> name = "level0.2_QuantizeLinear_Output"
    >>> report = compare_arrays(golden, {name: np.zeros((1, 16, 32, 32), np.int8)})
    >>> [(row.label, row.status) for row in report.rows]
    [('base_layer.0', 'equal'), ('level0.0', 'fault')]
    """
    reference = reference_from(golden.folder, first=case, operators=operators)
    values = reference.cases[case:]
    program = reference.plan.program
    read = [name for made in arrays if made in program.makers for name in program.makers[made].input_names]
    fed = {name: values[0][name] for name in read if name in reference.target and name not in arrays}
    entries = [DumpEntry(name, np.asarray(array), tensor=name) for name, array in {**fed, **arrays}.items()]
    dump = Dump(Path("arrays"), tuple(entries))
    return compare(reference, align(dump, reference.targets, 1, values=values), CompareOptions(partial=True), case)
