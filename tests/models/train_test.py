"""skerry model train|finetune on real labelled images, in stock ONNX Runtime: it learns, it goes on after kills and ends
with the same bytes, and what cannot work is refused.

    train_test.py BIN_DIRECTORY CACHE_DIRECTORY
"""

import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np
import onnxruntime

from commands import BIN, ENGINE, skerry
from fashion_mnist import MODEL, read


def accuracy(path, images, labels):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    found = session.run(None, {name: (images[:, None] / np.float32(255)).astype(np.float32)})[0].argmax(1)
    return (found == labels).mean()


class Train(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry_train_")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        cls.images, cls.labels = read("train-images-idx3-ubyte")[:1500], read("train-labels-idx1-ubyte")[:1500]
        cls.test_images, cls.test_labels = read("t10k-images-idx3-ubyte")[:1000], read("t10k-labels-idx1-ubyte")[:1000]
        np.save(cls.folder / "x.npy", cls.images)
        np.save(cls.folder / "y.npy", cls.labels)
        np.save(cls.folder / "feet.npy", np.isin(cls.labels, [5, 7, 9]).astype(np.uint8))

    def command(self, out, *more, verb="finetune", labels="y.npy"):
        return ["--json", "model", verb, MODEL, "-o", self.folder / out, "--data", self.folder / "x.npy", "--labels",
                self.folder / labels, "--divide", "255", "--engine", ENGINE, *more]

    def test_training_from_nothing_learns(self):
        report = json.loads(skerry(*self.command("fresh", "--epochs", "2", "--rate", "3e-3", verb="train")).stdout)
        self.assertLess(report["validationAccuracyBefore"], 0.3)
        self.assertGreater(report["validationAccuracy"], 0.6)
        self.assertGreater(accuracy(self.folder / "fresh/model.onnx", self.test_images, self.test_labels), 0.6)
        self.assertIn("<polyline", (self.folder / "fresh/report.html").read_text())
        contract = json.loads((self.folder / "fresh/contract.json").read_text())
        self.assertEqual([-1, 1, 28, 28], contract["inputs"][0]["shape"])

    def test_a_new_head_on_a_frozen_body_learns_other_classes(self):
        report = json.loads(skerry(*self.command("feet", "--classes", "2", "--freeze", "body", "--epochs", "3", "--rate",
                                                 "2e-3", labels="feet.npy")).stdout)
        self.assertGreater(report["validationAccuracy"], 0.97)
        self.assertEqual(32 * 7 * 7 * 2 + 2, report["parameters"])

    def test_killed_again_and_again_it_ends_with_the_same_model(self):
        options = ["--epochs", "2", "--batch", "32", "--rate", "1e-3", "--augment", "flip,shift=1", "--checkpoint-seconds", "0",
                   "--freeze", "conv1.weight"]
        skerry(*self.command("calm", *options))
        rng = random.Random(1)
        for _ in range(5):
            process = subprocess.Popen([BIN / "skerry", *map(str, self.command("killed", *options))],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.3, 1.2))
            process.send_signal(signal.SIGKILL)
            process.wait()
        report = json.loads(skerry(*self.command("killed", *options)).stdout)
        self.assertTrue(report["resumed"])
        self.assertEqual((self.folder / "calm/model.onnx").read_bytes(), (self.folder / "killed/model.onnx").read_bytes())

    def test_what_cannot_work_is_refused(self):
        done = skerry(*self.command("bad", "--rate", "1e9", "--optimiser", "sgd", "--schedule", "constant"), code=1)
        self.assertIn("try a lower --rate", done.stderr)
        self.assertFalse((self.folder / "bad/model.onnx").exists())
        done = skerry(*self.command("bad", "--classes", "3"), code=1)
        self.assertIn("the model answers for classes 0 to 2", done.stderr)
        done = skerry(*self.command("bad", "--freeze", "nowhere"), code=1)
        self.assertIn("nowhere", done.stderr)
        done = skerry(*self.command("bad", "--loss", "hinge"), code=1)
        self.assertIn("cross-entropy", done.stderr)


if __name__ == "__main__":
    unittest.main()
