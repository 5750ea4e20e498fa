"""Networks of random layers, compiled for a random target of this machine: sizes of one, prime and odd, strides, dilations,
groups, windows larger than the image, one-sided padding. Every build compares with the reference executor (INT8 to the
last bit); FP32 is compared with stock ONNX Runtime, too.

    [SKERRY_RANDOM_NETWORKS=N] compile_random_test.py BIN_DIRECTORY CACHE_DIRECTORY
"""

import functools
import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

import numpy as np
import onnxruntime

import commands
from commands import ROOT
from compile_test import run_artifact

sys.path.insert(0, str(ROOT / "bench/models"))
import make_networks  # noqa: E402

skerry = functools.partial(commands.skerry, "model")
SEEDS = int(os.environ.get("SKERRY_RANDOM_NETWORKS", "10"))
TARGETS = ("native", "native", "x86-64-v2", "x86-64-v3")
SIZES = (1, 2, 3, 5, 7, 8, 11, 13, 16, 17, 24, 31, 32, 33)


def out_size(size, kernel, stride, dilation, pads):
    return (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1


class RandomNetwork:
    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.quantised = bool(self.random.integers(2))
        self.net = make_networks.Network(seed, self.quantised)

    def pick(self, values):
        return values[self.random.integers(len(values))]

    def windows(self, shape, dilations=(1, 1, 1, 2, 3)):
        """Kernel, strides, dilations and pads that leave something of the image; or None."""
        kernel, strides, steps, begin, end, out = [], [], [], [], [], []
        for size in shape[2:]:
            kernel.append(int(self.pick((1, 1, 2, 3, 3, 3, 4, 5, 7))))
            strides.append(int(self.pick((1, 1, 1, 2, 3))))
            steps.append(int(self.pick(dilations)))
            pads = [int(self.random.integers(0, kernel[-1])) for _ in range(2)]
            begin.append(pads[0])
            end.append(pads[1])
            out.append(out_size(size, kernel[-1], strides[-1], steps[-1], pads))
        return None if min(out) < 1 else (kernel, strides, steps, begin + end, out)

    def conv(self, x, shape):
        found = self.windows(shape)
        if found is None:
            return x, shape
        kernel, strides, steps, pads, out = found
        channels = shape[1]
        groups = self.pick([g for g in range(1, channels + 1) if channels % g == 0])
        outer = channels if groups == channels else groups * int(self.pick((1, 2, 3, 5, 8, 9)))
        x = self.net.conv(x, (outer, channels // groups, *kernel), relu=bool(self.random.integers(2)), group=groups,
                          strides=strides, dilations=steps, pads=pads)
        return x, [shape[0], outer, *out]

    def residual(self, x, shape):
        y = self.net.conv(x, (shape[1], shape[1], 3, 3), relu=False, pads=[1, 1, 1, 1])
        return self.net.scaled(self.net.add("Relu", [self.net.add("Add", [y, x])]), 0.02, 0), shape

    def pool(self, x, shape):
        found = self.windows(shape, dilations=(1,))
        if found is None:
            return x, shape
        kernel, strides, _, pads, out = found
        if self.random.integers(2):
            y = self.net.add("MaxPool", [x], kernel_shape=kernel, strides=strides, pads=pads)
        else:
            y = self.net.add("AveragePool", [x], kernel_shape=kernel, strides=strides, pads=pads)
        return self.net.scaled(y, 0.02, 128), [shape[0], shape[1], *out]

    def model(self):
        shape = [int(self.pick((1, 1, 1, 2))), *(int(self.pick(SIZES)) for _ in range(3))]
        x, first = self.net.scaled("x", 0.02, 128), list(shape)
        for _ in range(self.random.integers(2, 6)):
            x, shape = self.pick((self.conv, self.conv, self.conv, self.residual, self.pool))(x, shape)
        if self.random.integers(2):
            size = int(np.prod(shape[1:]))
            x = self.net.scaled(self.net.add("Flatten", [x]), 0.02, 128)
            shape = [shape[0], int(self.pick(SIZES))]
            x = self.net.dense(x, size, shape[1], relu=False)
        self.net.parts.append(make_networks.onnx.node("Identity", [x], ["y"]))
        onnx = make_networks.onnx
        return onnx.model(*self.net.parts, onnx.value(11, "x", onnx.FLOAT, first), onnx.value(12, "y", onnx.FLOAT, shape))


class CompileRandom(unittest.TestCase):
    def test_random_networks(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="skerry-compile-random-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, directory)
        for seed in range(SEEDS):
            network = RandomNetwork(seed)
            path, artifact = directory / "network.onnx", directory / f"{seed}.so"
            path.write_bytes(network.model())
            target = network.pick(TARGETS)
            with self.subTest(seed=seed, quantised=network.quantised, target=target):
                done = skerry("compile", path, "--target", target, "-o", artifact, "--json")
                self.assertEqual(json.loads(done.stdout)["checked"], "equal to the reference executor's results")
                if network.quantised:
                    continue
                session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
                x = network.random.normal(size=session.get_inputs()[0].shape).astype("f4")
                want = session.run(None, {"x": x})[0]
                got = run_artifact(artifact, x, want.shape)
                np.testing.assert_allclose(got, want, atol=1e-4 * max(1, np.abs(want).max()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
