"""Which layer of an int8 network loses the accuracy of the float network."""

from qdqnp.layer_quality.quality import quality
from qdqnp.layer_quality.report import QualityReport, QualityRow

__all__ = ["QualityReport", "QualityRow", "quality"]
