"""What training is worth, over seeds, on Fashion-MNIST in stock ONNX Runtime: a net trained from nothing, then trained to
be rounded, pruned, made sparse, and taught to a smaller one. Prints the table of docs/training.md.

    train_sweep.py BIN_DIRECTORY CACHE_DIRECTORY [--seeds 5] [--rows 10000] [--epochs 4]
"""

import argparse
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples/demo"), str(ROOT / "tools")]
import federated as demo  # noqa: E402  its model is the small one
from fashion_mnist import MODEL, read  # noqa: E402

# Student's t for 95 %, by degrees of freedom.
STUDENT = (math.nan, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Sweep:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        np.save(folder / "x.npy", read("train-images-idx3-ubyte")[:arguments.rows])
        np.save(folder / "y.npy", read("train-labels-idx1-ubyte")[:arguments.rows])
        self.images = (read("t10k-images-idx3-ubyte")[:, None] / np.float32(255)).astype(np.float32)
        self.labels = read("t10k-labels-idx1-ubyte")
        self.small = folder / "small.onnx"
        self.small.write_bytes(demo.untrained_model())

    def run(self, verb, model, seed, name, *more):
        out = self.folder / f"{name}-{seed}"
        command = [self.arguments.bin / "skerry", "--json", "model", verb, model, "-o", out, "--data", self.folder / "x.npy",
                   "--labels", self.folder / "y.npy", "--divide", "255", "--seed", seed, "--batch", "32", "--engine",
                   f"onnxruntime={self.arguments.cache}/onnxruntime/lib/libonnxruntime.so", *more]
        subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, check=True)
        return out / "model.onnx"

    def accuracy(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        right = sum((session.run(None, {name: self.images[i:i + 500]})[0].argmax(1) == self.labels[i:i + 500]).sum()
                    for i in range(0, len(self.labels), 500))
        one = self.images[:1]
        times = []
        for _ in range(200):
            begin = time.perf_counter()
            session.run(None, {name: one})
            times.append(time.perf_counter() - begin)
        return 100 * right / len(self.labels), 1e6 * min(times)

    def seed(self, seed):
        epochs = str(self.arguments.epochs)
        base = self.run("train", MODEL, seed, "base", "--epochs", epochs, "--rate", "3e-3", "--augment", "shift=1")
        tune = ("--epochs", epochs, "--rate", "5e-4")
        direct = self.run("train", self.small, seed, "direct", "--epochs", epochs, "--rate", "3e-3")
        pupil = self.run("train", self.small, seed, "pupil", "--epochs", epochs, "--rate", "3e-3", "--teacher", base)
        return {"fp32": base,
                "fp32, as long again": self.run("finetune", base, seed, "longer", *tune),
                "--qat": self.run("finetune", base, seed, "qat", *tune, "--qat"),
                "--prune 0.5": self.run("finetune", base, seed, "pruned", *tune, "--prune", "0.5"),
                "--sparse 0.9": self.run("finetune", base, seed, "sparse", *tune, "--sparse", "0.9"),
                "small": direct,
                "small, taught by fp32": pupil}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("cache", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=5, choices=range(1, len(STUDENT) + 1))
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(prefix="skerry_sweep_") as folder:
        sweep = Sweep(arguments, pathlib.Path(folder))
        for seed in range(1, arguments.seeds + 1):
            for name, path in sweep.seed(seed).items():
                found.setdefault(name, []).append((*sweep.accuracy(path), path.stat().st_size))
    print(f"{arguments.seeds} seeds, {arguments.rows} training rows, {arguments.epochs} epochs, 10,000 test rows\n")
    print("| Model | Accuracy, % (mean ± 95 %) | µs a row | kB |\n|---|---|---|---|")
    for name, runs in found.items():
        values = [accuracy for accuracy, _, _ in runs]
        spread = STUDENT[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0
        print(f"| {name} | {statistics.mean(values):.2f} ± {spread:.2f} | {min(us for _, us, _ in runs):.0f} | "
              f"{statistics.mean(size for _, _, size in runs) / 1000:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
