"""Look at tensors inside a network: python intermediate_outputs.py net.onnx pictures.npz

Each tensor that a QuantizeLinear makes becomes an output of the model, as is usual with onnxruntime.
Written for onnxruntime. With `import qdqnp.ort as ort` in the place of the import below, it runs on qdqnp.
"""

import sys
import zlib

import numpy as np
import onnx
import onnxruntime as ort


def with_outputs(path, most=12):
    """Return the bytes of the model with further outputs, and their names."""
    model = onnx.load(path)
    made = [node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"][:most]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    return model.SerializeToString(), made


def main(path, data):
    model, names = with_outputs(path)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    with np.load(data) as arrays:
        x = arrays["x"][:1].astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255)
    found = dict(zip(names, session.run(names, {session.get_inputs()[0].name: np.ascontiguousarray(x)}), strict=True))
    for name, codes in found.items():
        crc = zlib.crc32(np.ascontiguousarray(codes).tobytes())
        print(f"{name}: {codes.dtype}{list(codes.shape)} from {codes.min()} to {codes.max()}, CRC-32 {crc:08x}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
