"""The smallest model for which a command still fails: the ticket for the vendor.

made = qdqnp.reduction.reduce("net.onnx", "my-compiler --check {model}")
"""

from qdqnp.reduction.reduce import Reduced, reduce

__all__ = ["Reduced", "reduce"]
