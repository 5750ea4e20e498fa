"""Fashion-MNIST for the demo: images and labels, and a small linear classifier of them, trained here in seconds.

The data is Debian's package dataset-fashion-mnist; the bigger classifier is that of the optimiser's tests.
"""

import hashlib
import http.client
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "src/runtime/testdata"), str(ROOT / "tools")]

import fashion_mnist
import make_models as onnx
from testbed import Failure

CLASSES, SIDE = 10, 28
BAG = 8


def images(name):
    return fashion_mnist.read(f"{name}-images-idx3-ubyte").astype(np.float32) / 255, fashion_mnist.read(f"{name}-labels-idx1-ubyte").astype(int)


def pooled(pictures):
    """Means of 4×4 pixels: what the small model looks at."""
    return pictures.reshape(-1, 7, 4, 7, 4).mean((2, 4)).reshape(-1, 49)


def softmax(scores):
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def train_small(seed=1, count=12_000, epochs=12):
    """(weights of 784 pixels, biases) of a linear classifier of the pooled image."""
    pictures, labels = images("train")
    x, y = pooled(pictures[:count]), np.eye(CLASSES, dtype=np.float32)[labels[:count]]
    rng = np.random.default_rng(seed)
    weights, biases = np.zeros((49, CLASSES), np.float32), np.zeros(CLASSES, np.float32)
    for epoch in range(epochs):
        for rows in np.array_split(rng.permutation(count), count // 64):
            gradient = (softmax(x[rows] @ weights + biases) - y[rows]) / len(rows)
            rate = 0.5 / (1 + 0.3 * epoch)
            weights -= rate * x[rows].T @ gradient
            biases -= rate * gradient.sum(0)
    spread = np.repeat(np.repeat(weights.reshape(7, 7, CLASSES), 4, 0), 4, 1) / 16
    return spread.reshape(SIDE * SIDE, CLASSES), biases


def small_onnx(weights, biases):
    return onnx.model(onnx.node("Flatten", ["image"], ["pixels"]), onnx.node("MatMul", ["pixels", "weights"], ["sums"]),
                      onnx.node("Add", ["sums", "biases"], ["scores"]),
                      onnx.floats("weights", [SIDE * SIDE, CLASSES], weights.ravel().tolist()),
                      onnx.floats("biases", [CLASSES], biases.tolist()),
                      onnx.value(11, "image", onnx.FLOAT, ["batch", 1, SIDE, SIDE]),
                      onnx.value(12, "scores", onnx.FLOAT, ["batch", CLASSES]))


def write_package(folder, name, model):
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model)
    (folder / "model.json").write_text(json.dumps({
        "format": 1, "name": name, "version": "1.0.0", "runtime": "onnxruntime", "file": "model.onnx",
        "sha256": hashlib.sha256(model).hexdigest(),
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, SIDE, SIDE]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, CLASSES]}],
        "scores": {"output": "scores", "activation": "softmax"}}))
    return folder


def aged(pictures, rng):
    """As a camera sees them whose lens has become dull and whose sensor is noisy."""
    return np.clip(0.6 * pictures + 0.15 + rng.normal(0, 0.08, pictures.shape), 0, 1).astype(np.float32)


def features(pictures, scores):
    """What is watched for drift: of each image, and of the small model's answer."""
    steps = np.abs(np.diff(pictures, axis=2)).mean((1, 2))
    return {"brightness": pictures.mean((1, 2)), "contrast": pictures.std((1, 2)), "edges": steps,
            "background": pictures[:, :2].mean((1, 2)), "confidence": softmax(scores).max(1)}


def ask(port, model, pictures):
    """(scores, parameters of the answer) of images, over HTTP."""
    body = json.dumps({"inputs": [{"name": "image", "datatype": "FP32", "shape": [len(pictures), 1, 28, 28],
                                   "data": np.round(pictures, 4).ravel().tolist()}]})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", f"/v2/models/{model}/infer", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    if response.status != 200:
        raise Failure(f"{model}: {answer}")
    scores = np.array(answer["outputs"][0]["data"]).reshape(len(pictures), CLASSES)
    return scores, answer.get("parameters", {})
