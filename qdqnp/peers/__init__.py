"""The others: ONNX Runtime, and devices."""
