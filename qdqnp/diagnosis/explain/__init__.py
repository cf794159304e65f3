"""One output element step by step, under several profiles, and which single cause would give another value."""
