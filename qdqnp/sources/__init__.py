"""Where tensors by ONNX name come from besides our own engine: ONNX Runtime, and files."""
