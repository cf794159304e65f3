"""A device's tensors against ours: which layer is wrong, by how far, and why."""
