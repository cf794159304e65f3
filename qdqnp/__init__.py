"""qdqnp: quantized ONNX models in pure NumPy, bit-exact to a named arithmetic.

>>> import numpy as np
>>> import qdqnp
>>> from qdqnp.inputs.shipped import shipped_model
>>> model = qdqnp.load(shipped_model("dla46_c_int8"))
>>> x = np.zeros((1, 3, 32, 32), np.float32)
>>> outputs = model.run({"input": x})
>>> trace = model.trace(x)
>>> np.array_equal(trace["output"], outputs["output"])
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qdqnp.errors import (
    GoldenError,
    InputError,
    ModelError,
    PeerError,
    Problem,
    ProfileError,
    ProofError,
    QdqnpError,
    UnknownNameError,
)
from qdqnp.version import __version__

if TYPE_CHECKING:
    from qdqnp.api.compare import compare
    from qdqnp.api.diff import diff
    from qdqnp.api.evaluate import evaluate
    from qdqnp.api.explain import explain
    from qdqnp.api.golden import golden
    from qdqnp.api.identify import identify
    from qdqnp.api.inspect import inspect
    from qdqnp.api.quality import quality
    from qdqnp.api.session import InferenceSession
    from qdqnp.api.stimulate import stimulate
    from qdqnp.api.verify import verify
    from qdqnp.model import Model, Trace, load
    from qdqnp.numerics.profile import Profile

__all__ = [
    "GoldenError",
    "InferenceSession",
    "InputError",
    "Model",
    "ModelError",
    "PeerError",
    "Problem",
    "Profile",
    "ProfileError",
    "ProofError",
    "QdqnpError",
    "Trace",
    "UnknownNameError",
    "__version__",
    "compare",
    "diff",
    "evaluate",
    "explain",
    "golden",
    "identify",
    "inspect",
    "load",
    "quality",
    "stimulate",
    "verify",
]

#: The functions of the front door: each is in the module of its name.
_FUNCTIONS = (
    "compare",
    "diff",
    "evaluate",
    "explain",
    "golden",
    "identify",
    "inspect",
    "quality",
    "stimulate",
    "verify",
)
_PLACES = {
    **{name: f"api.{name}" for name in _FUNCTIONS},
    **dict.fromkeys(("Model", "Trace", "load"), "model"),
    "Profile": "numerics.profile",
    "InferenceSession": "api.session",
}


def __dir__() -> list[str]:
    """List what is imported when it is asked for, too: a notebook completes by it."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: running a model needs no golden sets, stimuli and diagnosis, and the
    command line can catch a Ctrl-C from its first moment on if NumPy is not imported before it."""
    if name in ("golden_sets", "stimuli", "diagnosis"):
        return import_module(f"qdqnp.{name}")
    if name in _PLACES:
        found = globals()[name] = getattr(import_module(f"qdqnp.{_PLACES[name]}"), name)
        return found
    raise AttributeError(f"module 'qdqnp' has no attribute '{name}'")
