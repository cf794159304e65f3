"""qdqnp: quantized ONNX models in pure NumPy, bit-exact to a named arithmetic.

model = qdqnp.load("net.onnx")
outputs = model.run({"input": x})
trace = model.trace(x)
"""

from importlib import import_module
from types import ModuleType

from qdqnp.errors import (
    GoldenError,
    InputError,
    ModelError,
    PeerError,
    Problem,
    ProfileError,
    ProofError,
    QdqnpError,
)
from qdqnp.model import Model, Trace, load
from qdqnp.numerics.profile import Profile
from qdqnp.version import __version__

__all__ = [
    "GoldenError",
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
    "__version__",
    "load",
]


def __getattr__(name: str) -> ModuleType:
    """qdqnp.golden, imported when first asked for: who only runs models does not need it."""
    if name == "golden":
        return import_module("qdqnp.golden")
    raise AttributeError(f"module 'qdqnp' has no attribute '{name}'")
