"""Show what a model becomes: its layers with their proofs, and what became of each node of the file."""
