"""The front door: a function for each question, which returns a result. A command prints the result of its function.

found = qdqnp.compare("vectors", "dump.npz")
"""
