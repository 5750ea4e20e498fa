#!/usr/bin/env python3
"""Writes the MLPerf Tiny networks with random weights as ONNX files, FP32 and quantised (QDQ), so that the bench has
models where no data set or trained model is at hand. Random weights take the time that trained ones take.

usage: make_networks.py DIRECTORY [--seed N]
"""
import argparse
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src/runtime/testdata"))
import make_models as onnx  # noqa: E402  writes ONNX byte by byte

ELEMENT = {np.dtype("f4"): 1, np.dtype("u1"): 2, np.dtype("i1"): 3, np.dtype("i4"): 6, np.dtype("i8"): 7}


def tensor(name, array):
    return onnx.message(5, *(onnx.number(1, d) for d in array.shape), onnx.number(2, ELEMENT[array.dtype]),
                        onnx.message(8, name), onnx.message(9, array.tobytes()))


def attribute(name, value):
    if isinstance(value, int):
        return onnx.message(5, onnx.message(1, name), onnx.number(3, value), onnx.number(20, 2))
    return onnx.message(5, onnx.message(1, name), *(onnx.number(8, v) for v in value), onnx.number(20, 7))


class Network:
    """Layers one after the other; values by name. Quantised: every value between them is UINT8."""

    def __init__(self, seed, quantised):
        self.random = np.random.default_rng(seed)
        self.quantised = quantised
        self.parts, self.count = [], 0

    def name(self, stem):
        self.count += 1
        return f"{stem}_{self.count}"

    def add(self, op, inputs, **attributes):
        out = self.name(op)
        self.parts.append(onnx.node(op, inputs, [out], *(attribute(k, v) for k, v in attributes.items())))
        return out

    def constant(self, stem, array):
        name = self.name(stem)
        self.parts.append(tensor(name, array))
        return name

    def scaled(self, value, scale, zero):
        """Through UINT8 and back, where the network is quantised."""
        if not self.quantised:
            return value
        parameters = [self.constant("scale", np.array(scale, "f4")), self.constant("zero", np.array(zero, "u1"))]
        return self.add("DequantizeLinear", [self.add("QuantizeLinear", [value, *parameters]), *parameters])

    def weights(self, shape, axis, inner):
        channels = shape[axis]
        if not self.quantised:
            return self.constant("w", (self.random.normal(size=shape) / np.sqrt(inner)).astype("f4"))
        stored = self.constant("w", self.random.integers(-127, 128, size=shape, dtype="i1"))
        self.scales = (self.random.uniform(0.8, 1.2, size=channels) / (73 * np.sqrt(inner))).astype("f4")
        return self.add("DequantizeLinear", [stored, self.constant("scales", self.scales),
                                             self.constant("zeros", np.zeros(channels, "i1"))], axis=axis)

    def bias(self, channels, x_scale):
        if not self.quantised:
            return self.constant("b", self.random.normal(size=channels, scale=0.1).astype("f4"))
        stored = self.constant("b", self.random.integers(-300, 300, size=channels, dtype="i4"))
        scales = (np.float32(x_scale) * self.scales).astype("f4")
        return self.add("DequantizeLinear", [stored, self.constant("scales", scales)], axis=0)

    def conv(self, x, shape, x_scale=0.02, relu=True, y_scale=0.02, zero=None, **attributes):
        w = self.weights(shape, 0, shape[1] * shape[2] * shape[3])
        y = self.add("Conv", [x, w, self.bias(shape[0], x_scale)], **attributes)
        if relu:
            y = self.add("Relu", [y])
        return self.scaled(y, y_scale, zero if zero is not None else 0 if relu else 128)

    def dense(self, x, inner, outer, relu=True, x_scale=0.02):
        w = self.weights((inner, outer), 1, inner)
        y = self.add("Gemm", [x, w, self.bias(outer, x_scale)])
        if relu:
            y = self.add("Relu", [y])
        return self.scaled(y, 0.02, 0 if relu else 128)

    def model(self, shape, out, columns, input_name="x"):
        self.parts.append(onnx.node("Identity", [out], ["y"]))
        return onnx.model(*self.parts, onnx.value(11, input_name, onnx.FLOAT, shape),
                          onnx.value(12, "y", onnx.FLOAT, [1, columns]))


def separable(net, x, inner, outer, stride=1):
    x = net.conv(x, (inner, 1, 3, 3), group=inner, pads=[1, 1, 1, 1] if stride == 1 else [0, 0, 1, 1],
                 strides=[stride, stride])
    return net.conv(x, (outer, inner, 1, 1))


def head(net, x, channels, classes):
    x = net.scaled(net.add("GlobalAveragePool", [x]), 0.02, 0)
    x = net.dense(net.scaled(net.add("Flatten", [x]), 0.02, 0), channels, classes, relu=False)
    return net.add("Softmax", [x])


def ds_cnn(net):
    x = net.conv(net.scaled("x", 0.02, 128), (64, 1, 10, 4), strides=[2, 2], pads=[4, 1, 5, 1])
    for _ in range(4):
        x = separable(net, x, 64, 64)
    return net.model([1, 1, 49, 10], head(net, x, 64, 12), 12)


def resnet_8(net):
    x = net.conv(net.scaled("x", 0.02, 128), (16, 3, 3, 3), pads=[1, 1, 1, 1])
    inner = 16
    for outer, stride in ((16, 1), (32, 2), (64, 2)):
        pads = [1, 1, 1, 1] if stride == 1 else [0, 0, 1, 1]
        y = net.conv(x, (outer, inner, 3, 3), pads=pads, strides=[stride, stride])
        y = net.conv(y, (outer, outer, 3, 3), relu=False, pads=[1, 1, 1, 1])
        if outer != inner:
            x = net.conv(x, (outer, inner, 1, 1), relu=False, strides=[stride, stride])
        x = net.scaled(net.add("Relu", [net.add("Add", [y, x])]), 0.02, 0)
        inner = outer
    return net.model([1, 3, 32, 32], head(net, x, 64, 10), 10)


def mobilenet(net):
    x = net.conv(net.scaled("x", 0.02, 128), (8, 3, 3, 3), strides=[2, 2], pads=[0, 0, 1, 1])
    inner = 8
    for outer, stride in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (128, 1), (128, 1), (128, 1),
                          (128, 1), (256, 2), (256, 1)):
        x = separable(net, x, inner, outer, stride)
        inner = outer
    return net.model([1, 3, 96, 96], head(net, x, 256, 2), 2)


def autoencoder(net):
    x = net.scaled("x", 0.02, 128)
    sizes = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    for i, (inner, outer) in enumerate(zip(sizes, sizes[1:])):
        x = net.dense(x, inner, outer, relu=i < len(sizes) - 2)
    return net.model([1, 640], x, 640)


NETWORKS = {"ds_cnn": ds_cnn, "resnet_8": resnet_8, "mobilenet_v1_025": mobilenet, "fc_autoencoder": autoencoder}


def write_all(directory, seed=1):
    for name, build in NETWORKS.items():
        for kind in ("fp32", "int8"):
            path = pathlib.Path(directory) / f"{name}_{kind}.onnx"
            path.write_bytes(build(Network(seed, kind == "int8")))
            yield path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    for written in write_all(arguments.directory, arguments.seed):
        print(written)
