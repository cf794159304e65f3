"""The reader turns untrusted bytes into an immutable Graph, or one ModelError that lists every problem found.

Only this room imports onnx.
"""

from qdqnp.reader.assemble import read

__all__ = ["read"]
