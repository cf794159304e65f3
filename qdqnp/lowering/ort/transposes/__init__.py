"""ONNX Runtime's transpose optimizer: what it moves, and when."""
