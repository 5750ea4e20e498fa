"""Whole nets step by step beside PyTorch: after each of some steps on the same rows the trained model, run in stock ONNX
Runtime, answers as PyTorch's does. Skipped (77) where `./dev setup pytorch` has not been run.

    train_pytorch_test.py BIN_DIRECTORY CACHE_DIRECTORY

PyTorch is that of Debian and of its Python: this program starts itself there, with a folder instead of those two.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np

PYTHON = "/usr/bin/python3"  # which has python3-torch
STEPS, ROWS, CLASSES = 5, 64, 5
# The largest difference of two scores, in parts of the largest score: as much as sums in other orders make.
TOLERANCE = 2e-4
OPTIMISERS = {"sgd": {"rate": 0.1, "momentum": 0.9}, "adam": {"rate": 0.01}, "adamw": {"rate": 0.01, "decay": 0.1}}
NETS = {"convolutions": (2, 12, 12), "layers": (24,)}  # by the shape of a row


def drawn(net):
    """Weights by name, the same in both programs."""
    rng = np.random.default_rng(len(net))
    shapes = {"convolutions": {"w1": (4, 2, 3, 3), "b1": (4,), "w2": (6, 4, 3, 3), "b2": (6,), "w3": (6 * 3 * 3, CLASSES), "b3": (CLASSES,)},
              "layers": {"w1": (24, 16), "b1": (16,), "scale": (16,), "shift": (16,), "w2": (16, 16), "b2": (16,), "w3": (16, CLASSES),
                         "b3": (CLASSES,)}}[net]
    return {name: (1 if name == "scale" else 0) + rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def rows_of(net):
    rng = np.random.default_rng(7)
    return rng.normal(0, 1, (ROWS, *NETS[net])).astype(np.float32), rng.integers(0, CLASSES, ROWS)


# --- In PyTorch ---------------------------------------------------------------------------------

def scores_in_torch(net, w, x):
    import torch.nn.functional as f
    if net == "convolutions":
        x = f.max_pool2d(f.relu(f.conv2d(x, w["w1"], w["b1"], padding=1)), 2)
        x = f.relu(f.conv2d(x, w["w2"], w["b2"], stride=2, padding=1))
        return x.flatten(1) @ w["w3"] + w["b3"]
    x = f.layer_norm((x @ w["w1"] + w["b1"]).tanh(), (16,), w["scale"], w["shift"])
    x = (x @ w["w2"] + w["b2"]).sigmoid() * x
    return x @ w["w3"] + w["b3"]


def run_in_torch(folder):
    """The scores after each step, of each net and optimiser."""
    import torch
    torch.set_num_threads(1)
    for net in NETS:
        x, y = (torch.from_numpy(one) for one in rows_of(net))
        for name, options in OPTIMISERS.items():
            w = {one: torch.from_numpy(values.astype(np.float32)).requires_grad_() for one, values in drawn(net).items()}
            matrices = [value for value in w.values() if value.dim() > 1]
            groups = [{"params": matrices, "weight_decay": options.get("decay", 0)},
                      {"params": [value for value in w.values() if value.dim() == 1], "weight_decay": 0}]
            make = {"sgd": lambda g, o: torch.optim.SGD(g, o["rate"], momentum=o["momentum"]),
                    "adam": lambda g, o: torch.optim.Adam(g, o["rate"]), "adamw": lambda g, o: torch.optim.AdamW(g, o["rate"])}[name]
            optimiser = make(groups, options)
            after = []
            for _ in range(STEPS):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(scores_in_torch(net, w, x), y).backward()
                optimiser.step()
                after.append(scores_in_torch(net, w, x).detach().numpy())
            np.save(folder / f"{net}-{name}.npy", np.stack(after))


if __name__ == "__main__" and len(sys.argv) == 2:
    run_in_torch(pathlib.Path(sys.argv[1]))
    sys.exit()

# --- Ours ---------------------------------------------------------------------------------------

if subprocess.run([PYTHON, "-c", "import torch"], capture_output=True, check=False).returncode != 0:
    print("PyTorch is not there: run ./dev setup pytorch")
    sys.exit(77)

import onnxruntime  # noqa: E402

from commands import ENGINE, skerry  # noqa: E402
import make_models as onnx  # noqa: E402


def ints(name, *values):
    return onnx.message(5, onnx.message(1, name), *(onnx.number(8, v) for v in values), onnx.number(20, 7))


def model_of(net):
    parts = [onnx.floats(name, list(values.shape), values.flatten().tolist()) for name, values in drawn(net).items()]
    node = onnx.node
    if net == "convolutions":
        around = (ints("kernel_shape", 3, 3), ints("pads", 1, 1, 1, 1))
        parts += [node("Conv", ["x", "w1", "b1"], ["c1"], *around), node("Relu", ["c1"], ["r1"]),
                  node("MaxPool", ["r1"], ["p1"], ints("kernel_shape", 2, 2), ints("strides", 2, 2)),
                  node("Conv", ["p1", "w2", "b2"], ["c2"], *around, ints("strides", 2, 2)), node("Relu", ["c2"], ["r2"]),
                  node("Flatten", ["r2"], ["last"])]
    else:
        parts += [node("Gemm", ["x", "w1", "b1"], ["g1"]), node("Tanh", ["g1"], ["t1"]),
                  node("LayerNormalization", ["t1", "scale", "shift"], ["n1"]), node("Gemm", ["n1", "w2", "b2"], ["g2"]),
                  node("Sigmoid", ["g2"], ["s2"]), node("Mul", ["s2", "n1"], ["last"])]
    parts += [node("Gemm", ["last", "w3", "b3"], ["scores"]), onnx.value(11, "x", onnx.FLOAT, ["batch", *NETS[net]]),
              onnx.value(12, "scores", onnx.FLOAT, ["batch", CLASSES])]
    return onnx.model(*parts, opset=17)


class BesidePyTorch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry_train_pytorch_")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        subprocess.run([PYTHON, __file__, cls.folder], check=True)

    def scores(self, path, x):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x})[0]

    def check(self, net, name):
        x, y = rows_of(net)
        np.save(self.folder / "x.npy", x)
        np.save(self.folder / "y.npy", y)
        (self.folder / "net.onnx").write_bytes(model_of(net))
        expected = np.load(self.folder / f"{net}-{name}.npy")
        options = OPTIMISERS[name]
        for steps in range(1, STEPS + 1):
            # All rows are one step, so that an epoch is.
            out = self.folder / f"{net}-{name}-{steps}"
            json.loads(skerry("--json", "model", "finetune", self.folder / "net.onnx", "-o", out, "--data", self.folder / "x.npy",
                              "--labels", self.folder / "y.npy", "--engine", ENGINE, "--epochs", steps, "--batch", ROWS,
                              "--validation", 0, "--optimiser", name, "--schedule", "constant", "--rate", options["rate"], "--momentum",
                              options.get("momentum", 0), "--weight-decay", options.get("decay", 0)).stdout)
            wanted = expected[steps - 1]
            off = np.abs(self.scores(out / "model.onnx", x) - wanted).max() / np.abs(wanted).max()
            self.assertLess(off, TOLERANCE, f"{net} by {name} after {steps} steps")
        moved = np.abs(expected[-1] - self.scores(self.folder / "net.onnx", x)).max() / np.abs(expected[-1]).max()
        self.assertGreater(moved, 0.05, "nothing was learned")

    def test_each_step_of_each_net_and_optimiser(self):
        for net in NETS:
            for name in OPTIMISERS:
                with self.subTest(net=net, optimiser=name):
                    self.check(net, name)


if __name__ == "__main__":
    unittest.main()
