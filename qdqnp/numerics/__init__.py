"""Arithmetic: pure functions on integers and float32, rules that combine these functions, profiles that name rules.

Every arithmetic is written here once, slowly and obviously. Nothing here knows a graph, a layout or a buffer.
"""
