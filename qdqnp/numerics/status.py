"""Status says how sure qdqnp is of an arithmetic."""

from __future__ import annotations

ESTABLISHED = "established"  #: compared bit for bit with the device or its own source
INFERRED = "inferred"  #: it fits what was measured; its maker has not stated it
UNKNOWN = "unknown"  #: nobody has defined it
STATUSES = (ESTABLISHED, INFERRED, UNKNOWN)
