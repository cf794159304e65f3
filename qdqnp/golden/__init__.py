"""Golden sets: what every layer of a model reads, uses and makes under a profile, as files for unit tests.

found = qdqnp.golden.read("vectors")
x = found.array(found.find("conv1_q"), case=0)
"""

from qdqnp.errors import GoldenError
from qdqnp.golden.options import FORMATS, LIMIT_BYTES, ROLES, Options
from qdqnp.golden.reading import GoldenSet, GoldenTensor, read
from qdqnp.golden.schema import schema_text
from qdqnp.golden.writing import write

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
