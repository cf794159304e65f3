"""Operators that compare, choose and convert, on elements of every type."""
