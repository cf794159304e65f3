"""Operators on codes: each asks a question that a rule of the profile answers."""
