"""Operators, one per file: schema, attributes, shapes, and binding to a profile. `registry` finds them by name."""
