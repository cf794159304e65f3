"""Golden sets: what every layer of a model reads, uses and makes under a profile, as files for unit tests.

found = qdqnp.golden_sets.read("vectors")
x = found.array(found.find("conv1_q"), case=0)
"""

from qdqnp.errors import GoldenError
from qdqnp.golden_sets import writers as writers  # registers the formats
from qdqnp.golden_sets.formats import formats
from qdqnp.golden_sets.options import LIMIT_BYTES, ROLES, Options
from qdqnp.golden_sets.reading import GoldenSet, read
from qdqnp.golden_sets.schema import schema_text
from qdqnp.golden_sets.tensor import GoldenTensor
from qdqnp.golden_sets.writing import write

#: The formats of `write`, by name.
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
