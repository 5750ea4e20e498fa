#!/usr/bin/env python3
"""Trains the small image classifier of the optimiser's tests and demo on Fashion-MNIST, and writes it as ONNX the
way exporters do: normalisation in front, batch norms unfolded, a residual.

usage: train.py [OUT.onnx] [EPOCHS]

The data is Debian's package dataset-fashion-mnist; NumPy is all it needs. The same seed and the same NumPy give the
same model. Four epochs take ten minutes on a busy core.
"""
import gzip
import pathlib
import struct
import sys
import time

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "runtime/testdata"))
import make_models as onnx  # noqa: E402

DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
MEAN, DEVIATION = 0.2860, 0.3530
EPSILON = 1e-5


def read(name):
    raw = gzip.decompress((DATA / f"{name}.gz").read_bytes())
    rank = raw[3]
    shape = struct.unpack(f">{rank}I", raw[4:4 + 4 * rank])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


class Conv:
    """3×3, padded, without a bias: the batch norm behind it has one."""

    def __init__(self, rng, inputs, outputs):
        self.weights = (rng.standard_normal((outputs, inputs, 3, 3)) * np.sqrt(2 / (9 * inputs))).astype(np.float32)
        self.parameters = ["weights"]

    def forward(self, x, training):
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = sliding_window_view(padded, (3, 3), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
        self.shape = x.shape
        self.columns = windows.reshape(-1, x.shape[1] * 9)
        out = self.columns @ self.weights.reshape(len(self.weights), -1).T
        return out.reshape(x.shape[0], x.shape[2], x.shape[3], -1).transpose(0, 3, 1, 2)

    def backward(self, gradient):
        n, c, h, w = self.shape
        rows = gradient.transpose(0, 2, 3, 1).reshape(-1, gradient.shape[1])
        self.d_weights = (rows.T @ self.columns).reshape(self.weights.shape)
        columns = (rows @ self.weights.reshape(len(self.weights), -1)).reshape(n, h, w, c, 3, 3)
        out = np.zeros((n, c, h + 2, w + 2), np.float32)
        for i in range(3):
            for k in range(3):
                out[:, :, i:i + h, k:k + w] += columns[..., i, k].transpose(0, 3, 1, 2)
        return out[:, :, 1:-1, 1:-1]


class Norm:
    def __init__(self, channels):
        self.scale, self.bias = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        self.mean, self.variance = np.zeros(channels, np.float32), np.ones(channels, np.float32)
        self.parameters = ["scale", "bias"]

    def forward(self, x, training):
        mean, variance = self.mean, self.variance
        if training:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
            self.mean = 0.9 * self.mean + 0.1 * mean
            self.variance = 0.9 * self.variance + 0.1 * variance
        self.inverse = 1 / np.sqrt(variance + EPSILON)
        self.normal = (x - mean[:, None, None]) * self.inverse[:, None, None]
        return (self.normal * self.scale[:, None, None] + self.bias[:, None, None]).astype(np.float32)

    def backward(self, gradient):
        self.d_scale = (gradient * self.normal).sum((0, 2, 3))
        self.d_bias = gradient.sum((0, 2, 3))
        count = gradient.size / gradient.shape[1]
        inner = gradient - (self.d_bias[:, None, None] + self.normal * self.d_scale[:, None, None]) / count
        return (inner * (self.scale * self.inverse)[:, None, None]).astype(np.float32)


class Dense:
    def __init__(self, rng, inputs, outputs):
        self.weights = (rng.standard_normal((inputs, outputs)) * np.sqrt(1 / inputs)).astype(np.float32)
        self.bias = np.zeros(outputs, np.float32)
        self.parameters = ["weights", "bias"]

    def forward(self, x, training):
        self.x = x
        return x @ self.weights + self.bias

    def backward(self, gradient):
        self.d_weights, self.d_bias = self.x.T @ gradient, gradient.sum(0)
        return gradient @ self.weights.T


class Net:
    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.convs = [Conv(rng, 1, 16), Conv(rng, 16, 32), Conv(rng, 32, 32)]
        self.norms = [Norm(16), Norm(32), Norm(32)]
        self.dense = Dense(rng, 32 * 7 * 7, 10)
        self.layers = [*self.convs, *self.norms, self.dense]

    def forward(self, x, training):
        self.masks, self.pools = [], []
        for i in range(2):
            x = self.norms[i].forward(self.convs[i].forward(x, training), training)
            n, c, h, w = x.shape
            blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
            top = blocks.max((3, 5), keepdims=True)
            self.pools.append(blocks == top)
            x = top[:, :, :, 0, :, 0]
            self.masks.append(x > 0)
            x = np.maximum(x, 0)
        x = x + self.norms[2].forward(self.convs[2].forward(x, training), training)
        self.masks.append(x > 0)
        x = np.maximum(x, 0)
        self.shape = x.shape
        return self.dense.forward(x.reshape(len(x), -1), training)

    def backward(self, gradient):
        gradient = self.dense.backward(gradient).reshape(self.shape) * self.masks[2]
        gradient = gradient + self.convs[2].backward(self.norms[2].backward(gradient))
        for i in (1, 0):
            gradient = gradient * self.masks[i]
            n, c, h, w = gradient.shape
            gradient = (self.pools[i] * gradient[:, :, :, None, :, None]).reshape(n, c, 2 * h, 2 * w)
            gradient = self.convs[i].backward(self.norms[i].backward(gradient))


def train(net, images, labels, epochs, seed):
    rng = np.random.default_rng(seed)
    speed = {}
    steps, step, batch = epochs * (len(images) // 128), 0, 128
    for epoch in range(epochs):
        order = rng.permutation(len(images))
        total, begin = 0, time.time()
        for at in range(0, len(order) - batch + 1, batch):
            x, y = images[order[at:at + batch]], labels[order[at:at + batch]]
            flipped = rng.random(batch) < 0.5
            x = np.where(flipped[:, None, None, None], x[:, :, :, ::-1], x)
            scores = net.forward(x, training=True)
            scores = np.exp(scores - scores.max(1, keepdims=True))
            scores /= scores.sum(1, keepdims=True)
            total += (scores.argmax(1) == y).sum()
            scores[np.arange(batch), y] -= 1
            net.backward(scores / batch)
            rate = 0.08 * 0.5 * (1 + np.cos(np.pi * step / steps))
            step += 1
            for layer in net.layers:
                for name in layer.parameters:
                    key = (id(layer), name)
                    gradient = getattr(layer, "d_" + name) + 5e-4 * getattr(layer, name)
                    speed[key] = 0.9 * speed.get(key, 0) + gradient
                    setattr(layer, name, (getattr(layer, name) - rate * speed[key]).astype(np.float32))
        print(f"epoch {epoch + 1}: {total / len(order):.4f} on the training data, {time.time() - begin:.0f} s", flush=True)


def ints(name, *values):
    return onnx.message(5, onnx.message(1, name), *(onnx.number(8, v) for v in values), onnx.number(20, 7))


def integer(name, value):
    return onnx.message(5, onnx.message(1, name), onnx.number(3, value), onnx.number(20, 2))


def export(net):
    parts = [onnx.node("Sub", ["image", "mean"], ["centred"]), onnx.node("Div", ["centred", "deviation"], ["x0"]),
             onnx.floats("mean", [], [MEAN]), onnx.floats("deviation", [], [DEVIATION])]

    def constant(name, array):
        parts.append(onnx.floats(name, array.shape, array.ravel().tolist()))
        return name

    x = "x0"
    for i, (conv, norm) in enumerate(zip(net.convs, net.norms), 1):
        parts.append(onnx.node("Conv", [x, constant(f"conv{i}.weight", conv.weights)], [f"c{i}"],
                               ints("kernel_shape", 3, 3), ints("pads", 1, 1, 1, 1), onnx.message(3, f"conv{i}")))
        inputs = [constant(f"bn{i}.{name}", getattr(norm, name)) for name in ("scale", "bias", "mean", "variance")]
        parts.append(onnx.node("BatchNormalization", [f"c{i}", *inputs], [f"n{i}"]))
        if i < 3:
            parts.append(onnx.node("MaxPool", [f"n{i}"], [f"p{i}"], ints("kernel_shape", 2, 2), ints("strides", 2, 2)))
            parts.append(onnx.node("Relu", [f"p{i}"], [f"x{i}"]))
            x = f"x{i}"
    parts += [onnx.node("Add", ["n3", "x2"], ["sum"]), onnx.node("Relu", ["sum"], ["x3"]),
              onnx.node("Flatten", ["x3"], ["flat"], integer("axis", 1)),
              onnx.node("MatMul", ["flat", constant("fc.weight", net.dense.weights)], ["product"]),
              onnx.node("Add", ["product", constant("fc.bias", net.dense.bias)], ["scores"]),
              onnx.value(11, "image", onnx.FLOAT, ["batch", 1, 28, 28]), onnx.value(12, "scores", onnx.FLOAT, ["batch", 10])]
    return onnx.model(*parts, opset=13)


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "fashion.onnx"
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    images = ((read("train-images-idx3-ubyte")[:, None] / np.float32(255) - MEAN) / DEVIATION).astype(np.float32)
    labels = read("train-labels-idx1-ubyte").astype(np.int64)
    net = Net(seed=1)
    train(net, images, labels, epochs, seed=2)
    test = ((read("t10k-images-idx3-ubyte")[:, None] / np.float32(255) - MEAN) / DEVIATION).astype(np.float32)
    wanted = read("t10k-labels-idx1-ubyte")
    right = sum((net.forward(test[i:i + 500], training=False).argmax(1) == wanted[i:i + 500]).sum() for i in range(0, 10000, 500))
    print(f"{right / 10000:.4f} on the test data")
    out.write_bytes(export(net))


if __name__ == "__main__":
    main()
