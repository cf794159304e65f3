"""Provide the inputs of a run: array files, pictures, random numbers, and what is shipped."""
