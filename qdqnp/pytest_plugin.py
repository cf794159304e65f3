"""A plugin for pytest: bit-exact assertions that name the fault, golden sets as fixtures, a test for each layer.

    from qdqnp.pytest_plugin import assert_bit_exact

    def test_conv1(golden_set):
        golden = golden_set("golden/net", "net.onnx", [{"input": x}], profile="tflite")
        assert_bit_exact(my_kernel(golden.feeds()["input"]), golden, tensor="conv1")

`pytest --update-golden` writes the sets that tests name, in place of those that are there. pytest finds the plugin by
its entry point; `-p no:qdqnp.pytest_plugin` leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from qdqnp.golden_sets import GoldenSet
    from qdqnp.numerics.profile import Profile
    from qdqnp.quant import Array
    from qdqnp.reader.proto import Source

UPDATE = "--update-golden"
MARKER, LAYER = "golden_layers", "golden_layer"
#: What a test's node holds, for the assertions that run in it.
_RUNNING: list[pytest.Item] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --update-golden."""
    group = parser.getgroup("qdqnp")
    group.addoption(UPDATE, action="store_true", help="write the golden sets that tests name anew")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    text = f"{MARKER}(path, *layers): a test for each layer of a golden set, as the argument `{LAYER}`"
    config.addinivalue_line("markers", text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember which test runs: what its assertions find becomes properties of its report."""
    _RUNNING.append(item)
    try:
        return (yield)
    finally:
        _RUNNING.pop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each layer of the set that the marker names."""
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is None or LAYER not in metafunc.fixturenames:
        return
    if not marker.args:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: the marker {MARKER} needs the folder of a golden set")
    layers = golden_layers(_place(metafunc.definition.path, marker.args[0]), *marker.args[1:])
    metafunc.parametrize(LAYER, layers, ids=[layer.label for layer in layers])


def assert_bit_exact(
    got: Array | Mapping[str, Array],
    golden: GoldenSet | Path | str,
    tensor: str | None = None,
    case: int = 0,
    operators: Iterable[type] = (),
) -> None:
    """Fail unless arrays are those of a golden set, bit for bit.

        got: the array of one tensor, or several by name, in the dtypes and shapes of the set.
        golden: the set, or its folder.
        tensor: which tensor an array is: its ONNX name, or the label of the layer that makes it.
        case: which input of the set.
        operators: classes of operators that qdqnp does not have, as `qdqnp.load` takes them.

    Raises AssertionError with the verdict of `qdqnp compare`: which elements differ, by how much, and which fault
    explains them. The properties of the running test's report (`qdqnp.<tensor>`) say the same, for JUnit. Raises
    InputError for a name or a case that the set does not have.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from qdqnp import golden_sets
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> x = np.zeros((1, 3, 32, 32), np.float32)
    >>> written = golden_sets.write(Path("vectors"), shipped_model("dla46_c_int8"), [{"input": x}], 1)
    >>> golden = golden_sets.read("vectors")
    >>> right = golden.array(golden.find("level0.2_QuantizeLinear_Output"))
    >>> assert_bit_exact(right, golden, tensor="level0.0")
    >>> assert_bit_exact(np.zeros_like(right), golden, tensor="level0.0")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: 'level0.0': ... elements differ, the first at (...): got 0, expected ...
    first divergence: layer level0.0 (QLinearConv), ...: could be all zero (0 everywhere) or wrong clamp (...)
    """
    __tracebackhide__ = True
    from qdqnp.diagnosis.compare.arrays import differing, tensor_of
    from qdqnp.golden_sets import GoldenSet, read

    found = golden if isinstance(golden, GoldenSet) else read(golden)
    arrays = _by_name(got, tensor)
    tensors = {name: tensor_of(found, name) for name in arrays}
    said = {name: differing(array, found.array(tensors[name], case)) for name, array in arrays.items()}
    for name, text in said.items():
        _note(f"qdqnp.{name}", text or "bit-exact")
    wrong = {name: text for name, text in said.items() if text}
    if not wrong:
        return
    lines = [f"'{name}': {text}" for name, text in wrong.items()]
    verdict = _verdict(found, {tensors[name].name: arrays[name] for name in wrong}, case, operators)
    _note("qdqnp.verdict", " ".join(verdict))
    raise AssertionError("\n".join([*lines, *verdict]))


def _by_name(got: Array | Mapping[str, Array], tensor: str | None) -> dict[str, Array]:
    import numpy as np

    if isinstance(got, Mapping):
        if tensor is not None:
            raise TypeError("`tensor` goes with one array; a mapping names its tensors")
        return {name: np.asarray(array) for name, array in got.items()}
    if tensor is None:
        raise TypeError("`tensor` says which tensor the array is; or pass arrays by name")
    return {tensor: np.asarray(got)}


def _verdict(golden: GoldenSet, arrays: Mapping[str, Array], case: int, operators: Iterable[type]) -> list[str]:
    """Return what `compare` says of arrays that differ, in lines; of a set without its model, that it says nothing."""
    from qdqnp.diagnosis.compare.arrays import compare_arrays
    from qdqnp.errors import QdqnpError

    try:
        report = compare_arrays(golden, arrays, case, operators)
    except QdqnpError as error:
        return [f"no verdict: {line}" for line in error.lines]
    rows = [f"{row.label}: {row.explanation}" for row in report.rows if row.explanation]
    return [*report.verdict(), *(rows if len(rows) > 1 else ())]


def _note(name: str, text: str) -> None:
    """Add a property to the report of the running test."""
    if _RUNNING:
        _RUNNING[-1].user_properties.append((name, text))


# -- golden sets -------------------------------------------------------------------------------------------------------
@pytest.fixture
def golden_set(request: pytest.FixtureRequest) -> Callable[..., GoldenSet]:
    """Return `golden_set(path, model, inputs, profile="ort", **options)`: the golden set in a folder.

        path: the folder, from the folder of the test's file.
        model, inputs: what the set is written of, with --update-golden: a model, and arrays by name, for each case.
        profile: the arithmetic.
        options: fields of `qdqnp.golden_sets.Options`, such as layers=("conv1",).

    The test fails where the set is missing, or was made of another model or profile; `--update-golden` writes it.
    """
    update = bool(request.config.getoption(UPDATE))

    def found(
        path: Path | str,
        model: Source,
        inputs: Sequence[Mapping[str, Array]],
        profile: str | Profile = "ort",
        **options: Any,
    ) -> GoldenSet:
        from qdqnp.files.paths import kind_of
        from qdqnp.golden_sets import Options, read, write

        __tracebackhide__ = True
        folder, source = _place(request.path, path), _model(request.path, model)
        if update:
            write(folder, source, inputs, len(inputs), profile=profile, options=Options(**options), force=True)
        elif not kind_of(folder):
            pytest.fail(f"no golden set {folder}; pytest {UPDATE} writes it")
        golden = read(folder)
        stale = _stale(golden, source, profile)
        if stale:
            pytest.fail(f"the golden set {folder} was made of another {stale}; pytest {UPDATE} writes it anew")
        return golden

    return found


def _stale(golden: GoldenSet, source: Source, profile: str | Profile) -> str:
    """Return what a set was made of that is another one now; '' where nothing is."""
    from hashlib import sha256

    from qdqnp.numerics.profiles import profile_named
    from qdqnp.reader.embed import single_file

    if golden.manifest["model"]["sha256"] != sha256(single_file(source)).hexdigest():
        return "model"
    return "" if golden.profile == profile_named(profile).name else "profile"


def _place(test: Path, path: Path | str) -> Path:
    """Return a path that is meant from the folder of a test's file."""
    return test.parent / path


def _model(test: Path, model: Source) -> Source:
    return _place(test, model) if isinstance(model, (str, Path)) else model


@dataclass(frozen=True)
class GoldenLayer:
    """One layer of a golden set: what a test of its kernel needs."""

    golden: GoldenSet
    #: What the set's manifest says of the layer: label, op, inputs, outputs, attributes.
    document: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The layer's label."""
        return str(self.document["label"])

    @property
    def op(self) -> str:
        """The layer's operator."""
        return str(self.document["op"])

    def inputs(self, case: int = 0) -> list[Array]:
        """Return what the layer reads in one case, without its constants, in the operator's order."""
        return self._arrays("inputs", case)

    def outputs(self, case: int = 0) -> list[Array]:
        """Return what the layer makes in one case."""
        return self._arrays("outputs", case)

    def parameters(self) -> dict[str, Array]:
        """Return the layer's weight, bias, and the numbers that its arithmetic uses, by name."""
        roles = ("weight", "bias", "parameter")
        own = [t for t in self.golden.tensors if t.layer == self.label and t.role in roles]
        return {t.stage or t.role: self.golden.array(t) for t in own}

    def assert_bit_exact(self, got: Array, case: int = 0) -> None:
        """Fail unless an array is the layer's output, as `assert_bit_exact` does."""
        __tracebackhide__ = True
        assert_bit_exact(got, self.golden, self.label, case)

    def _arrays(self, which: str, case: int) -> list[Array]:
        tensors = {t.name: t for t in reversed(self.golden.tensors) if t.role in ("output", "network_input", "input")}
        return [self.golden.array(tensors[name], case) for name in self.document[which] if name in tensors]


def golden_layers(path: Path | str, *patterns: str) -> list[GoldenLayer]:
    """Return the layers of a golden set, for `pytest.mark.parametrize`.

        path: the set's folder.
        patterns: labels, globs of labels, or operators; all layers without one.

    Raises InputError where the set has none of them, GoldenError for a damaged set.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from qdqnp import golden_sets
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> x = np.zeros((1, 3, 32, 32), np.float32)
    >>> written = golden_sets.write(Path("vectors"), shipped_model("dla46_c_int8"), [{"input": x}], 1)
    >>> [layer.label for layer in golden_layers("vectors", "level0.*")]
    ['level0.0']
    """
    from fnmatch import fnmatchcase

    from qdqnp.errors import InputError, Problem
    from qdqnp.golden_sets import read

    golden = read(path)
    layers = [GoldenLayer(golden, layer) for layer in golden.manifest["layers"]]
    chosen = [
        layer
        for layer in layers
        if not patterns or any(fnmatchcase(t, p) for p in patterns for t in (layer.label, layer.op))
    ]
    if not chosen:
        problem = Problem("layers", "labels or operators of the set", ", ".join(patterns) or "a set without layers")
        raise InputError("the golden set has no such layer", [problem])
    return chosen
