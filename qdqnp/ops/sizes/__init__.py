"""Operators that compute from sizes: shapes, and tensors that are filled in."""
