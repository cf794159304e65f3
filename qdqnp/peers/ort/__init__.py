"""ONNX Runtime as a peer: its sessions, the names of its tensors, its arithmetics and its known faults."""
