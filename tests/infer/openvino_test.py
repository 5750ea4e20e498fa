"""OpenVINO behind the real skerry-infer: ONNX, IR and TensorFlow Lite models on recordings, with the vendor's own Python package
as oracle, and files that mean no good. Skipped (77) where `./dev setup openvino` has not been run.

    openvino_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import hashlib
import json
import pathlib
import signal
import sys
import tempfile
import unittest
import wave

import numpy
import tritonclient.http as triton

from infer_server import CACHE, DEADLINE_S, SOURCE, Server, tensor

LIBRARY = CACHE / "openvino/lib/libopenvino_c.so"
if not LIBRARY.exists():
    print("OpenVINO is not there: run ./dev setup openvino")
    sys.exit(77)
sys.path.insert(0, str(CACHE / "openvino/python"))
import openvino  # noqa: E402

from litert_test import KEYWORDS, SOUNDS, features  # noqa: E402

# As the runtime sets it: the package's own default is bfloat16 where the processor has it.
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
SILERO = CACHE / "silero-vad/silero_vad_openvino_16k.onnx"
SPEECH = ([tensor("input", "FP32", [1, 576]), tensor("state", "FP32", [2, 1, 128])],
          [tensor("output", "FP32", [1, 1]), tensor("stateN", "FP32", [2, 1, 128])])


def windows():
    """512 new samples at 16 kHz behind the last 64 of the window before, of each recording."""
    for recording in sorted(SOUNDS.glob("*.wav")):
        with wave.open(str(recording)) as sound:
            samples = numpy.frombuffer(sound.readframes(sound.getnframes()), numpy.int16)[::3].astype("f4") / 32768
        padded = numpy.concatenate([numpy.zeros(64, "f4"), samples])
        yield recording.stem, [padded[at:at + 576].reshape(1, 576) for at in range(0, len(padded) - 576, 512)]


class OpenVino(unittest.TestCase):
    def start(self, library=LIBRARY):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-infer-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.server = Server(self.dir, "--runtime", f"openvino={library}")
        self.addCleanup(self.server.stop, signal.SIGKILL)
        client = triton.InferenceServerClient(self.server.url, network_timeout=DEADLINE_S)
        self.addCleanup(client.close)
        return client

    def load(self, name, files, inputs, outputs):
        """The first of `files` (bytes by name) is the model."""
        folder = self.dir / f"package-{name}"
        folder.mkdir(exist_ok=True)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        digests = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
        main = next(iter(files))
        manifest = {"format": 1, "name": name, "version": "1", "runtime": "openvino", "file": main, "sha256": digests.pop(main),
                    "files": digests, "inputs": inputs, "outputs": outputs}
        (folder / "model.json").write_text(json.dumps(manifest))
        return self.server.load(name, folder)

    def ask(self, client, model, **arrays):
        inputs = []
        for name, array in arrays.items():
            each = triton.InferInput(name, list(array.shape), {"float32": "FP32", "int8": "INT8"}[array.dtype.name])
            each.set_data_from_numpy(numpy.ascontiguousarray(array))
            inputs.append(each)
        return client.infer(model, inputs)

    def assert_speech_as_the_vendor(self, client, model, oracle):
        if not SOUNDS.is_dir():
            self.skipTest("the recordings of alsa-utils are not installed")
        speech = 0
        for recording, steps in windows():
            ours = theirs = numpy.zeros((2, 1, 128), "f4")
            for x in steps:
                result = self.ask(client, model, input=x, state=ours)
                expected = oracle([x, theirs])
                numpy.testing.assert_array_equal(result.as_numpy("output"), expected["output"])
                ours, theirs = result.as_numpy("stateN"), expected["stateN"]
                numpy.testing.assert_array_equal(ours, theirs)
                speech += float(expected["output"].item()) > 0.5
        self.assertGreater(speech, 100)

    def test_onnx_has_the_numbers_of_the_vendors_package(self):
        client = self.start()
        loaded = self.load("vad", {"vad.onnx": SILERO.read_bytes()}, *SPEECH)
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        self.assert_speech_as_the_vendor(client, "vad", openvino.Core().compile_model(SILERO, "CPU", SETTINGS))

    def test_ir_has_the_numbers_of_the_vendors_package(self):
        """Two files, which the vendor's package has written."""
        client = self.start()
        core = openvino.Core()
        openvino.save_model(core.read_model(SILERO), self.dir / "ir.xml", compress_to_fp16=False)
        xml, weights = (self.dir / "ir.xml").read_bytes(), (self.dir / "ir.bin").read_bytes()
        loaded = self.load("vad", {"vad.xml": xml, "vad.bin": weights}, *SPEECH)
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        self.assert_speech_as_the_vendor(client, "vad", core.compile_model(self.dir / "ir.xml", "CPU", SETTINGS))
        # Weights that have changed since are no model of this package.
        (self.dir / "package-vad/vad.bin").write_bytes(weights[:-4] + b"\0\0\0\1")
        refused = self.server.load("vad", self.dir / "package-vad")
        self.assertIn("vad.bin has SHA-256", refused.stderr)

    def test_tflite_has_the_numbers_of_the_vendors_package(self):
        if not SOUNDS.is_dir():
            self.skipTest("the recordings of alsa-utils are not installed")
        client = self.start()
        loaded = self.load("keywords", {"keywords.tflite": KEYWORDS.read_bytes()}, [tensor("input_1", "INT8", [-1, 49, 10, 1])],
                           [tensor("Identity", "INT8", [-1, 12])])
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        oracle = openvino.Core().compile_model(KEYWORDS, "CPU", SETTINGS)
        winners, rows = set(), []
        for values in features():
            rows.append(numpy.clip(numpy.round(values), -128, 127).astype(numpy.int8).reshape(1, 49, 10, 1))
            got = self.ask(client, "keywords", input_1=rows[-1]).as_numpy("Identity")
            numpy.testing.assert_array_equal(got, oracle([rows[-1]])[0])
            winners.add(int(got.argmax()))
        self.assertGreater(len(winners), 1)
        together = numpy.concatenate(rows[:7])
        numpy.testing.assert_array_equal(self.ask(client, "keywords", input_1=together).as_numpy("Identity"), oracle([together])[0])

    def test_a_library_that_is_not_there_names_its_component(self):
        self.start("/nowhere/libopenvino_c.so")
        refused = self.load("vad", {"vad.onnx": SILERO.read_bytes()}, *SPEECH)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("deploy skerry.runtime.OpenVino, which brings it", refused.stderr)

    def test_what_is_no_model_is_refused_and_nobody_else_notices(self):
        client = self.start()
        self.assertEqual(self.load("vad", {"vad.onnx": SILERO.read_bytes()}, *SPEECH).returncode, 0)
        core = openvino.Core()
        openvino.save_model(core.read_model(SILERO), self.dir / "ir.xml")
        xml, weights = (self.dir / "ir.xml").read_bytes(), (self.dir / "ir.bin").read_bytes()
        wrong = {"half": {"m.xml": xml[:len(xml) // 2], "m.bin": weights}, "bare": {"m.xml": xml}, "none": {"m.xml": b""},
                 "short": {"m.xml": xml, "m.bin": weights[:1000]}, "text": {"m.onnx": b"this is no model"},
                 "cut": {"m.onnx": SILERO.read_bytes()[:5000]}, "other": {"m.pb": b"x"},
                 "loop": {"m.xml": b'<?xml version="1.0"?><net name="n" version="11"><layers/><edges/></net>'}}
        for name, files in wrong.items():
            with self.subTest(name):
                refused = self.load(name, files, *SPEECH)
                self.assertEqual(refused.returncode, 1, refused.stdout)
                self.assertIn("m.", refused.stderr)
        x, state = numpy.zeros((1, 576), "f4"), numpy.zeros((2, 1, 128), "f4")
        self.assertEqual(self.ask(client, "vad", input=x, state=state).as_numpy("output").shape, (1, 1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
