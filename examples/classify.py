"""Classify pictures: python classify.py net.onnx pictures.npz [top]

Written for onnxruntime. With `import qdqnp.ort as ort` in the place of the import below, it runs on qdqnp.
"""

import sys

import numpy as np
import onnxruntime as ort

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def preprocess(picture):
    """Turn uint8 (height, width, 3) into float32 (1, 3, height, width)."""
    x = (picture.astype(np.float32) / np.float32(255) - MEAN) / STD
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def softmax(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum()


def main(model, data, top=3):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    with np.load(data) as arrays:
        pictures, classes = arrays["x"], arrays["classes"]
    for number, picture in enumerate(pictures[:5]):
        scores = session.run(None, {name: preprocess(picture)})[0][0]
        best = np.argsort(-scores, kind="stable")[:top]
        shares = softmax(scores)
        print(number, ", ".join(f"{classes[one]} {shares[one]:.4f} ({scores[one]:.7g})" for one in best))


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:4]))
