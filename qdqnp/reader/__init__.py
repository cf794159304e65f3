"""Reader: untrusted bytes -> an immutable Graph, or one ModelError that lists every problem found.

The only room that imports onnx.
"""

from qdqnp.reader.assemble import read

__all__ = ["read"]
