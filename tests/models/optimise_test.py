"""skerry model optimise|bench on a real float model and real labelled images, in stock ONNX Runtime.

    optimise_test.py BIN_DIRECTORY CACHE_DIRECTORY
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import onnxruntime
import tflite_models

from commands import CACHE, ENGINE, ROOT, skerry
import fashion_mnist
import make_models as onnx  # writes ONNX byte by byte
from fashion_mnist import MODEL
from media import png, wav


MACHINES = ROOT / "src/graph/testdata/mlperf_tiny/ad01_int8.tflite"
KEYWORDS = ROOT / "src/graph/testdata/mlperf_tiny/kws_ref_model_float32.tflite"


def run_in_ort(path, images, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL, write=None):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if write:
        options.optimized_model_filepath = str(write)
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


class Optimise(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry_optimise_")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        images, labels = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
        cls.images, cls.labels = fashion_mnist.write(images, cls.folder), fashion_mnist.write(labels, cls.folder)
        cls.pixels = (fashion_mnist.read(images)[:, None] / np.float32(255)).astype(np.float32)
        cls.right = fashion_mnist.read(labels)

    def data(self):
        return ["--data", self.images, "--labels", self.labels, "--divide", "255"]

    def test_passes_alone_compute_the_same_in_onnx_runtime(self):
        out = self.folder / "passes.onnx"
        report = json.loads(skerry("--json", "model", "optimise", MODEL, "-o", out, "--passes-only").stdout)
        self.assertLess(report["nodes"], report["nodesBefore"] - 4)
        disabled = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        before = run_in_ort(MODEL, self.pixels[:200], disabled)
        np.testing.assert_allclose(run_in_ort(out, self.pixels[:200], disabled), before, atol=1e-4)
        named = skerry("model", "optimise", MODEL, "-o", out, "--passes-only", "--only-pass", "nothing", code=1)
        self.assertIn("there is no pass 'nothing'", named.stderr)

    def test_int8_keeps_the_accuracy_and_fuses(self):
        out = self.folder / "best"
        command = ["--json", "model", "optimise", MODEL, "-o", out, *self.data(), "--engine", ENGINE, "--rows", "3000",
                   "--rounds", "1", "--seconds", "0.05", "--max-accuracy-drop", "0.5%", "--calibration-rows", "64"]
        report = json.loads(skerry(*command).stdout)
        trials = {trial["candidate"]: trial for trial in report["trials"]}
        self.assertEqual("", trials["fp32"]["refusal"])
        self.assertLessEqual(trials["int8-mse"]["accuracyDrop"], 0.005)
        self.assertLess(trials["int8-mse"]["bytes"], trials["source"]["bytes"] / 2.5)
        # Rounded by what the layers make of real images, the answers are nearer to the source's.
        self.assertLess(trials["int8-rounded"]["error"], trials["int8-mse"]["error"])
        for name in ("model.onnx", "report.json", "report.md", "report.html", "contract.json"):
            self.assertTrue((out / name).exists(), name)

        # Where the time goes, by ONNX Runtime's own profiler: layers with weights have theirs, fused or not.
        profiles = {profile["candidate"]: profile for profile in report["profiles"]}  # of the winner, too, whichever that is
        self.assertEqual("", profiles["fp32"]["refusal"])
        self.assertIn("Conv", [layer["operator"] for layer in profiles["fp32"]["layers"]])
        for layer in report["layers"]:
            if layer["operator"] in ("Conv", "Gemm"):
                self.assertIsNotNone(layer["us"], layer["name"])
        for name in ("report.md", "report.html"):
            self.assertIn("Where the time of fp32 goes in onnxruntime", (out / name).read_text())

        # What the report says of the accuracy is what stock ONNX Runtime does with the file.
        int8 = out / "candidates/int8-mse.onnx"
        optimised = self.folder / "fused.onnx"
        scores = run_in_ort(int8, self.pixels[:3000], write=optimised)
        self.assertAlmostEqual(trials["int8-mse"]["accuracy"], float((scores.argmax(1) == self.right[:3000]).mean()),
                               delta=0.0021)  # kernels for one image and for many round differently
        # No layer was left in floats: ONNX Runtime made integer kernels of all of them.
        inside = optimised.read_bytes()
        for operator, count in {b"QLinearConv": 3, b"QLinearAdd": 1, b"QGemm": 1, b"FusedConv": 0, b"FusedGemm": 0}.items():
            self.assertEqual(count, inside.count(operator), operator)

        # Again, from what has been measured.
        again = json.loads(skerry(*command).stdout)
        self.assertEqual([trial["minUs"] for trial in report["trials"]], [trial["minUs"] for trial in again["trials"]])

    def test_each_engine_gets_the_form_that_it_reads(self):
        """ONNX Runtime, LiteRT and our compiler; what the report says is what stock LiteRT does with the file."""
        out = self.folder / "engines"
        engines = [ENGINE, f"litert={CACHE}/litert/lib/libLiteRt.so", "compiled"]
        command = ["--json", "model", "optimise", MODEL, "-o", out, *self.data(), "--rows", "1000", "--rounds", "1",
                   "--seconds", "0.02", "--calibration-rows", "16", *(word for engine in engines for word in ("--engine", engine))]
        report = json.loads(skerry(*command).stdout)
        trials = {(trial["candidate"], trial["engine"]): trial for trial in report["trials"]}
        for engine in ("onnxruntime", "litert", "compiled"):
            self.assertEqual("", trials["fp32", engine]["refusal"])
            self.assertLess(trials["int8-mse", engine]["accuracyDrop"], 0.01)
        self.assertNotIn(("pruned-50", "litert"), trials)  # it loses too much already
        whole = trials["fp32", "litert"]["bytes"]
        for candidate, most in (("int8-mse", 0.35), ("int8-weights", 0.35), ("fp16-weights", 0.6)):
            self.assertEqual("", trials[candidate, "litert"]["refusal"])
            self.assertLess(trials[candidate, "litert"]["bytes"], whole * most)
        # Whichever engine has won says where its time goes.
        for profile in report["profiles"]:
            self.assertEqual("", profile["refusal"], profile["engine"])
            self.assertGreater(sum(layer["us"] for layer in profile["layers"]), 0, profile["engine"])
        layers = json.loads(skerry("--json", "model", "bench", out / "candidates/fp32.tflite", *self.data(), "--engine",
                                   engines[1], "--layers", "--rows", "4", "--seconds", "0.1").stdout)["layers"]
        self.assertTrue(any("Convolution" in layer["operator"] for layer in layers), layers)
        self.assertIn("DynamicQuantizeLinear", trials["int8-dynamic", "litert"]["refusal"])
        interpreter = tflite_models.load(CACHE / "litert/python").Interpreter(str(out / "candidates/int8-mse.tflite"))
        interpreter.allocate_tensors()
        right = 0
        for image, label in zip(self.pixels[:1000], self.right):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
            interpreter.invoke()
            right += int(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).argmax() == label)
        self.assertAlmostEqual(trials["int8-mse", "litert"]["accuracy"], right / 1000, delta=0.003)
        # The winner is there under the ending of its form, and measures as it did.
        winner = out / report["artifact"]
        self.assertEqual(report["artifactSha256"], hashlib.sha256(winner.read_bytes()).hexdigest())
        engine = next(each for each in engines if each.startswith(report["engine"]))
        said = json.loads(skerry("--json", "model", "bench", winner, *self.data(), "--engine", engine, "--rows", "1000",
                                 "--seconds", "0.02").stdout)
        self.assertEqual(said["correct"], round(report["trials"][report["winner"]]["accuracy"] * 1000))

    def test_litert_may_be_the_only_engine_of_a_model_with_batch_normalisation(self):
        out = self.folder / "litert"
        report = json.loads(skerry("--json", "model", "optimise", MODEL, "-o", out, *self.data(), "--rows", "200", "--rounds", "1",
                                   "--seconds", "0.01", "--calibration-rows", "8", "--engine",
                                   f"litert={CACHE}/litert/lib/libLiteRt.so").stdout)
        self.assertEqual("", report["trials"][0]["refusal"])
        self.assertTrue(report["artifact"].endswith(".tflite"))

    def test_an_engine_that_is_not_there_is_left_out(self):
        out = self.folder / "missing"
        few = ["--rows", "10", "--rounds", "1", "--seconds", "0.01", "--calibration-rows", "4", "--max-accuracy-drop", "1"]
        for path, reason in ((self.folder / "libopenvino_c.so", "cannot load OpenVINO"),
                             (CACHE / "onnxruntime/lib/libonnxruntime.so", "is no libopenvino_c")):
            done = skerry("model", "optimise", MODEL, "-o", out, *self.data(), *few, "--engine", ENGINE, "--engine", f"openvino={path}")
            self.assertIn("openvino was left out: ", done.stdout)
            report = json.loads((out / "report.json").read_text())
            self.assertEqual({"onnxruntime"}, {trial["engine"] for trial in report["trials"]})
            self.assertEqual("openvino", report["missingEngines"][0]["engine"])
            self.assertIn(reason, report["missingEngines"][0]["reason"])
            self.assertIn(reason, (out / "report.html").read_text())
        alone = skerry("model", "optimise", MODEL, "-o", out, *self.data(), *few, "--engine", "openvino=/nowhere.so", code=1)
        self.assertIn("the source itself does not run in openvino: cannot load OpenVINO", alone.stderr)

    def test_classical_models_answer_with_the_class(self):
        """As scikit-learn's are exported: the class first, then a map of scores that ONNX Runtime's file has and nobody serves."""
        out = self.folder / "classical"
        tree = ROOT / "src/graph/testdata/sklearn/tree.onnx"
        session = onnxruntime.InferenceSession(str(tree), providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
        rows = np.random.default_rng(4).normal(size=(80, given.shape[1])).astype("f4") * 4
        labels = session.run([session.get_outputs()[0].name], {given.name: rows})[0].astype("i8")
        np.save(self.folder / "rows.npy", rows)
        np.save(self.folder / "classes.npy", labels)
        report = json.loads(skerry("--json", "model", "optimise", tree, "-o", out, "--data", self.folder / "rows.npy", "--labels",
                                   self.folder / "classes.npy", "--engine", ENGINE, "--rounds", "1", "--seconds", "0.01").stdout)
        self.assertEqual(1, report["trials"][0]["accuracy"])
        self.assertGreater(len(set(labels.tolist())), 1)

    def test_bench_says_what_is_measured(self):
        said = json.loads(skerry("--json", "model", "bench", MODEL, *self.data(), "--engine", ENGINE, "--rows", "500",
                                 "--seconds", "0.05").stdout)
        scores = run_in_ort(MODEL, self.pixels[:500])
        self.assertEqual(int((scores.argmax(1) == self.right[:500]).sum()), said["correct"])
        self.assertGreater(said["runs"], 10)
        text = skerry("model", "bench", MODEL, *self.data(), "--rows", "20", "--seconds", "0.01").stdout
        self.assertIn("accuracy", text)
        layers = json.loads(skerry("--json", "model", "bench", MODEL, *self.data(), "--engine", ENGINE, "--layers",
                                   "--seconds", "0.05").stdout)["layers"]
        self.assertEqual(3, sum(layer["operator"] == "Conv" for layer in layers))
        refused = skerry("model", "bench", MODEL, *self.data(), "--layers", "--seconds", "0.01", code=1)
        self.assertIn("reference executor does not measure", refused.stderr)

    def test_folders_of_images_are_data(self):
        """What their pixels give as an array, they give as files: in folders by class, and by the steps of a pipeline."""
        pixels, count = fashion_mnist.read("t10k-images-idx3-ubyte"), 120
        folder = self.folder / "images"
        for row in range(count):
            place = folder / f"class {self.right[row]}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{row:04}.PNG").write_bytes(png(pixels[row, :, :, None]))
        order = sorted(range(count), key=lambda row: (self.right[row], row))
        expected = run_in_ort(MODEL, self.pixels[order])
        answers = self.folder / "answers.npy"
        bench = ["--json", "model", "bench", MODEL, "--engine", ENGINE, "--seconds", "0.01", "--save-answers", answers]
        said = json.loads(skerry(*bench, "--data", folder, "--divide", "255").stdout)
        self.assertEqual(int((expected.argmax(1) == self.right[order]).sum()), said["correct"])
        np.testing.assert_allclose(np.load(answers), expected, rtol=1e-4, atol=1e-4)
        steps = self.folder / "rows.json"
        steps.write_text(json.dumps({
            "pipeline": 1, "inputs": [{"name": "content", "datatype": "BYTES", "shape": [1]}],
            "steps": [{"step": "decode_image", "in": "content", "out": "pixels", "channels": 1},
                      {"step": "normalise", "in": "pixels", "out": "even", "scale": 1 / 255},
                      {"step": "transpose", "in": "even", "out": "image", "order": [2, 0, 1]}],
            "outputs": [{"name": "image", "datatype": "FP32", "shape": [1, -1, -1]}]}))
        skerry(*bench, "--data", folder, "--pipeline", steps)
        np.testing.assert_allclose(np.load(answers), expected, rtol=1e-4, atol=1e-4)

        # The whole search, whose processes see rows and decode nothing again.
        out = self.folder / "of images"
        report = json.loads(skerry("--json", "model", "optimise", MODEL, "-o", out, "--data", folder, "--divide", "255", "--engine",
                                   ENGINE, "--rounds", "1", "--seconds", "0.01", "--calibration-rows", "8").stdout)
        self.assertEqual((expected.argmax(1) == self.right[order]).mean(), report["trials"][0]["accuracy"])

        (folder / "class 3/0000.png").write_bytes(png(pixels[0, :, :, None])[:60])
        damaged = skerry(*bench, "--data", folder, "--divide", "255", code=1)
        self.assertIn("class 3/0000.png", damaged.stderr)
        steps.write_text(steps.read_text().replace('"image"', '"other"'))
        nothing = skerry(*bench, "--data", folder, "--pipeline", steps, code=1)
        self.assertIn("makes nothing for the input 'image'", nothing.stderr)
        words = skerry("model", "bench", MACHINES, "--data", folder, code=1)
        self.assertIn("images are no rows of", words.stderr)

    def test_folders_of_recordings_are_data(self):
        samples = np.random.default_rng(7).integers(-3000, 3000, (4, 600)).astype("<i2")
        samples[1, 300:] = 0
        folder = self.folder / "sounds"
        folder.mkdir()
        for row, sound in enumerate(samples):  # the second is short, the others too long
            (folder / f"{row}.wav").write_bytes(wav(sound[:300 if row == 1 else 600, None], 16000))
        np.save(self.folder / "sounds.npy", samples[:, :490].astype("f4") / 32768)
        answers = {}
        for data in (folder, self.folder / "sounds.npy"):
            skerry("model", "bench", KEYWORDS, "--data", data, "--seconds", "0.01", "--save-answers", self.folder / "answers.npy")
            answers[data] = np.load(self.folder / "answers.npy")
        np.testing.assert_array_equal(*answers.values())

    def test_what_cannot_be_is_said(self):
        out = self.folder / "nowhere"
        missing = skerry("model", "optimise", MODEL, "-o", out, code=1)
        self.assertIn("--data", missing.stderr)
        wrong = skerry("model", "optimise", MODEL, "-o", out, *self.data(), "--max-accuracy-drop", "x", code=1)
        self.assertIn("1%", wrong.stderr)
        engine = skerry("model", "optimise", MODEL, "-o", out, *self.data(), "--engine", "nothing", "--rows", "10",
                        "--calibration-rows", "4", code=1)
        self.assertIn("the source itself does not run in nothing", engine.stderr)
        other = self.folder / "other.onnx"
        other.write_bytes(onnx.affine(2.0))
        fits = skerry("model", "optimise", other, "-o", out, *self.data(), code=1)
        self.assertIn("another number of elements", fits.stderr)


if __name__ == "__main__":
    unittest.main()
