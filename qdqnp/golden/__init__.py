"""Golden sets: what every layer of a model reads, uses and makes under a profile, as files for unit tests.

found = qdqnp.golden.read("vectors")
x = found.array(found.find("conv1_q"), case=0)
"""

from qdqnp.errors import GoldenError
from qdqnp.golden import writers as writers  # registers the formats
from qdqnp.golden.formats import formats
from qdqnp.golden.options import LIMIT_BYTES, ROLES, Options
from qdqnp.golden.reading import GoldenSet, read
from qdqnp.golden.schema import schema_text
from qdqnp.golden.tensor import GoldenTensor
from qdqnp.golden.writing import write

FORMATS = formats()

__all__ = [
    "FORMATS",
    "LIMIT_BYTES",
    "ROLES",
    "GoldenError",
    "GoldenSet",
    "GoldenTensor",
    "Options",
    "read",
    "schema_text",
    "write",
]
