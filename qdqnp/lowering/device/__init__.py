"""The lowering of devices without a float unit: what their converters make integer, whatever ONNX Runtime does."""
