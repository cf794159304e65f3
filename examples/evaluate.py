"""Measure the accuracy on a set, in batches: python evaluate.py net.onnx pictures.npz [batch]

Written for onnxruntime. With `import qdqnp.ort as ort` in the place of the import below, it runs on qdqnp.
"""

import sys

import numpy as np
import onnxruntime as ort


def batches(x, y, size):
    for start in range(0, len(x), size):
        yield x[start : start + size], y[start : start + size]


def main(model, data, size=8):
    session = ort.InferenceSession(model, providers=ort.get_available_providers())
    given, made = session.get_inputs()[0], session.get_outputs()[0]
    print(f"{given.name}: {given.type} {given.shape}; {made.name}: {made.type} {made.shape}")
    if isinstance(given.shape[0], int):
        size = given.shape[0]  # the file has a fixed batch
    with np.load(data) as arrays:
        x = arrays["x"].astype(np.float32) / np.float32(255)
        y = arrays["y"]
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    x = np.ascontiguousarray(((x - mean) / std).transpose(0, 3, 1, 2))
    right = top3 = total = 0
    for pictures, labels in batches(x, y, size):
        (scores,) = session.run([made.name], {given.name: pictures})
        order = np.argsort(-scores, axis=1, kind="stable")
        right += int((order[:, 0] == labels).sum())
        top3 += int((order[:, :3] == labels[:, None]).any(axis=1).sum())
        total += len(labels)
    print(f"top-1 {right}/{total} = {right / total:.2%}, top-3 {top3}/{total} = {top3 / total:.2%}")


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:4]))
