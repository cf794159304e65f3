"""Fill in a model card: what a network is, what it needs in flash and in memory, and about how long a device takes."""

from qdqnp.model_card.card import ModelCard, model_card

__all__ = ["ModelCard", "model_card"]
