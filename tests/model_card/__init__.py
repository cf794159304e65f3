"""Tests of qdqnp/model_card."""
