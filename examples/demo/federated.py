"""`./dev demo federated`: images of clothes on many devices, a few kinds on each, and none leaves its device.

Twenty devices first, some of which vanish in the middle of a round and some of which attack: the mean is led astray, a
trimmed mean is not. Then a thousand devices, with noise that makes it differentially private, until the privacy that
may be spent is spent. All devices live in one process (`skerry learn simulate`); every number comes from its reports.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "tools"), str(ROOT / "src/runtime/testdata")]

import fashion_mnist  # noqa: E402
import make_models as onnx  # noqa: E402
import screen as screens  # noqa: E402
import testbed  # noqa: E402

BIN = Path(os.environ.get("SKERRY_BIN_DIR") or ROOT / "build/release/bin")
CHANNELS = (8, 16)


def ints(name, *values):
    return onnx.message(5, onnx.message(1, name), *(onnx.number(8, v) for v in values), onnx.number(20, 7))


def untrained_model(draw=None):
    """Two convolutions and a layer; the weights are drawn from `draw`, or by whoever trains it."""
    first, second = CHANNELS
    shapes = {"conv1.weight": [first, 1, 3, 3], "conv1.bias": [first], "conv2.weight": [second, first, 3, 3],
              "conv2.bias": [second], "head.weight": [second * 7 * 7, 10], "head.bias": [10]}
    size = {name: 1 for name in shapes}
    for name, shape in shapes.items():
        for one in shape:
            size[name] *= one
    spread = {"conv1.weight": (2 / 9) ** 0.5, "conv2.weight": (2 / 9 / first) ** 0.5, "head.weight": (1 / second / 49) ** 0.5}
    drawn = {name: [draw.gauss(0, spread[name]) if draw and name in spread else 0.0 for _ in range(size[name])] for name in shapes}
    parts = [onnx.floats(name, shape, drawn[name]) for name, shape in shapes.items()]
    window = (ints("kernel_shape", 3, 3), ints("pads", 1, 1, 1, 1), ints("strides", 2, 2))
    parts += [onnx.node("Conv", ["image", "conv1.weight", "conv1.bias"], ["c1"], *window),
              onnx.node("Relu", ["c1"], ["r1"]),
              onnx.node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], *window),
              onnx.node("Relu", ["c2"], ["r2"]), onnx.node("Flatten", ["r2"], ["flat"]),
              onnx.node("Gemm", ["flat", "head.weight", "head.bias"], ["scores"]),
              onnx.value(11, "image", onnx.FLOAT, ["batch", 1, 28, 28]), onnx.value(12, "scores", onnx.FLOAT, ["batch", 10])]
    return onnx.model(*parts, opset=13)


def write_rows(folder, count, test_count):
    """Files of images, labels, test images and test labels."""
    return [fashion_mnist.write(f"{part}-{kind}-ubyte", folder, rows)
            for part, rows in (("train", count), ("t10k", test_count)) for kind in ("images-idx3", "labels-idx1")]


def simulate(model, out, rows, engine):
    """The arguments of `skerry`, before options of the simulation."""
    images, labels, test_images, test_labels = rows
    return ["--json", "learn", "simulate", model, "-o", out, "--fresh", "--data", images, "--labels", labels,
            "--test-data", test_images, "--test-labels", test_labels, "--divide", "255", "--engine", engine]


class Learn:
    def __init__(self, folder):
        self.folder = folder
        self.model = folder / "untrained.onnx"
        self.model.write_bytes(untrained_model())
        self.rows = write_rows(folder, 20000, 2000)

    def __call__(self, name, *options):
        engine = f"onnxruntime={testbed.CACHE}/onnxruntime/lib/libonnxruntime.so"
        command = [BIN / "skerry", *simulate(self.model, self.folder / name, self.rows, engine), *options]
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit("demo: skerry learn simulate failed")
        return json.loads(done.stdout)


def curve(report):
    return " ".join(f"{100 * one['accuracy']:.0f}" for one in report["rounds"])


def main():
    parser = argparse.ArgumentParser(prog="./dev demo federated", description=__doc__.split("\n", 1)[0],
                                     epilog="Example: ./dev demo federated --once")
    parser.add_argument("--once", action="store_true", help="the last line is a JSON summary")
    parser.add_argument("--rounds", type=int, default=15, help="of the twenty devices (default: 15)")
    parser.add_argument("--private-rounds", type=int, default=30, help="of the thousand, at most (default: 30)")
    arguments = parser.parse_args()
    if not fashion_mnist.DATA.is_dir():
        sys.exit(f"demo: {fashion_mnist.MISSING}")
    screen = screens.Screen()
    learn = Learn(Path(tempfile.mkdtemp(prefix="skerry-federated-")))
    few = ["--devices", "20", "--partition", "dirichlet=0.5", "--rounds", arguments.rounds, "--updates", "13",
           "--over-selection", "1.5", "--quorum", "6", "--dropped", "0.15", "--batch", "20", "--rate", "0.05"]
    attack = ["--malicious", "3", "--attack", "flip"]
    screen.step("twenty devices", "a few kinds of clothes on each; 15 in 100 vanish in a round")
    calm = learn("calm", *few)
    screen.line(f"  fedavg                      {curve(calm)} %")
    screen.step("three attack", "they send what they learned backwards, five times as long")
    mean = learn("mean", *few, *attack)
    screen.line(f"  fedavg                      {curve(mean)} %")
    robust = learn("robust", *few, *attack, "--strategy", "trimmed-mean", "--trimmed", "0.25")
    screen.line(f"  trimmed-mean                {curve(robust)} %")
    screen.step("a thousand devices", "20 images each, noise on every round, at most epsilon 4")
    private = learn("private", "--devices", "1000", "--partition", "dirichlet=1", "--rounds", arguments.private_rounds,
                    "--updates", "200", "--over-selection", "1.1", "--quorum", "100", "--dropped", "0.05", "--batch", "10",
                    "--rate", "0.1", "--epochs", "2", "--clip", "1", "--noise", "1", "--epsilon-limit", "4")
    screen.line(f"  fedavg, noise 1, clip 1     {curve(private)} %")
    screen.heading(f"epsilon {private['epsilon']:.2f} at delta {private['delta']}: {100 * private['accuracy']:.1f} % right")
    screen.line(f"The models and reports: {learn.folder}")
    if arguments.once:
        summary = {"devices": calm["devices"] + private["devices"], "rounds": len(calm["rounds"]) + len(private["rounds"]),
                   "accuracy_start": round(calm["accuracyBefore"], 4), "accuracy_end": round(calm["accuracy"], 4),
                   "accuracy_attacked_mean": round(mean["accuracy"], 4), "accuracy_attacked_robust": round(robust["accuracy"], 4),
                   "accuracy_private": round(private["accuracy"], 4), "epsilon": round(private["epsilon"], 3),
                   "dropped": calm["vanished"] + private["vanished"], "server_rss_mb": round(private["peakMb"], 1)}
        screen.line(f"demo: ok {json.dumps(summary)}")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
