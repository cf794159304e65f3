"""Comparing tensors by ONNX name: metrics, and the reports that commands print."""
