"""The peers that qdqnp is compared with: ONNX Runtime, and devices."""
