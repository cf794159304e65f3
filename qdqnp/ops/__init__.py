"""Operators, one per file: schema, attributes, shapes, and what they compute. `registry` finds them by name."""
