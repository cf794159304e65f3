"""Operators that move or select elements and compute nothing."""
