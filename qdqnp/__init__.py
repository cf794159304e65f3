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
    """Import golden, stimuli and diagnosis when they are first asked for: running a model needs none of them."""
    if name in ("golden", "stimuli", "diagnosis"):
        return import_module(f"qdqnp.{name}")
    raise AttributeError(f"module 'qdqnp' has no attribute '{name}'")
