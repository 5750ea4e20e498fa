"""skerry model optimise in ONNX Runtime and OpenVINO: what the report says is what the vendor's own Python package does with the
files. Skipped (77) where `./dev setup openvino` has not been run.

    optimise_openvino_test.py BIN_DIRECTORY CACHE_DIRECTORY
"""

import json
import pathlib
import sys
import tempfile
import unittest

import numpy as np

from commands import CACHE, ENGINE, ROOT, skerry
import fashion_mnist

LIBRARY = CACHE / "openvino/lib/libopenvino_c.so"
if not LIBRARY.exists():
    print("OpenVINO is not there: run ./dev setup openvino")
    sys.exit(77)
sys.path.insert(0, str(CACHE / "openvino/python"))
import openvino  # noqa: E402

OPENVINO = f"openvino={LIBRARY}"
KEYWORDS = ROOT / "src/graph/testdata/mlperf_tiny/kws_ref_model_float32.tflite"
ROWS = 1000


class OptimiseOpenVino(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry_optimise_")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)

    def test_what_the_report_says_is_what_the_vendor_measures(self):
        images, labels = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
        out = self.folder / "best"
        data = ["--data", fashion_mnist.write(images, self.folder), "--labels", fashion_mnist.write(labels, self.folder),
                "--divide", "255"]
        report = json.loads(skerry(
            "--json", "model", "optimise", fashion_mnist.MODEL, "-o", out, *data, "--engine", ENGINE, "--engine", OPENVINO,
            "--rows", ROWS, "--rounds", "1", "--seconds", "0.02", "--calibration-rows", "32").stdout)
        self.assertEqual([], report["missingEngines"])
        trials = {(trial["candidate"], trial["engine"]): trial for trial in report["trials"]}
        pixels = (fashion_mnist.read(images)[:ROWS, None] / np.float32(255)).astype(np.float32)
        right = fashion_mnist.read(labels)[:ROWS]
        core = openvino.Core()
        for candidate in ("fp32", "int8-mse", "int8-weights"):
            trial = trials[candidate, "openvino"]
            self.assertEqual("", trial["refusal"], candidate)
            self.assertGreater(trial["minUs"], 0)
            model = core.compile_model(str(out / f"candidates/{candidate}.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            answers = np.array([model([image[None]])[0][0] for image in pixels])
            self.assertAlmostEqual(trial["accuracy"], (answers.argmax(1) == right).mean(), delta=0.002, msg=candidate)
        # Integers are run as such: OpenVINO's layers of the quantised model are of INT8, as its own Python package sees them.
        quantised = core.compile_model(str(out / "candidates/int8-mse.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        layers = [node.get_rt_info() for node in quantised.get_runtime_model().get_ops()]
        kernels = [layer["runtimePrecision"].value for layer in layers if layer["layerType"].value in ("Convolution", "FullyConnected")]
        self.assertEqual(["u8"] * 4, kernels)

    def test_what_openvino_lacks_is_named(self):
        tree = ROOT / "src/graph/testdata/sklearn/tree"
        report = json.loads(skerry(
            "--json", "model", "optimise", f"{tree}.onnx", "-o", self.folder / "tree", "--data", f"{tree}.npy", "--engine", ENGINE,
            "--engine", OPENVINO, "--rounds", "1", "--seconds", "0.01").stdout)
        [refused] = [trial for trial in report["trials"] if trial["engine"] == "openvino" and trial["candidate"] == "fp32"]
        self.assertIn("No conversion rule found for operations: ai.onnx.ml.TreeEnsembleClassifier", refused["refusal"])
        self.assertNotIn(".cpp", refused["refusal"])

    def test_reads_tensorflow_lite_and_may_be_the_only_engine(self):
        rows = self.folder / "rows.npy"
        np.save(rows, np.random.default_rng(1).normal(size=(32, 490)).astype("f4"))
        report = json.loads(skerry(
            "--json", "model", "optimise", KEYWORDS, "-o", self.folder / "words", "--data", rows, "--engine", OPENVINO, "--rounds",
            "1", "--seconds", "0.01", "--calibration-rows", "8").stdout)
        trials = {trial["candidate"]: trial for trial in report["trials"]}
        self.assertEqual("", trials["source"]["refusal"])
        self.assertEqual("", trials["fp32"]["refusal"])  # agrees with OpenVINO's own reading of the file
        self.assertEqual("openvino", report["engine"])
        for profile in report["profiles"]:
            self.assertEqual("", profile["refusal"])
            self.assertIn("Convolution", [layer["operator"] for layer in profile["layers"]])


if __name__ == "__main__":
    unittest.main()
