"""The lowerings of ONNX Runtime: levels, passes, fusions."""
