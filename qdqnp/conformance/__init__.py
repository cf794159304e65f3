"""The conformance pack: cases of every integer operator, as folders that any runtime can be scored on.

`make` writes a pack, `score` runs a runtime on one.
"""

from qdqnp.conformance.make import make
from qdqnp.conformance.scoring import score

__all__ = ["make", "score"]
