"""LiteRT behind the real skerry-infer: the vendor's own Python package as oracle, and files that mean no good.

    litert_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import pathlib
import signal
import sys
import tempfile
import unittest
import wave

import numpy
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from infer_server import CACHE, DEADLINE_S, SOURCE, Server, tensor, write_package

sys.path.insert(0, str(CACHE / "litert/python"))
from ai_edge_litert.interpreter import Interpreter  # noqa: E402

LIBRARY = CACHE / "litert/lib/libLiteRt.so"
MODELS = SOURCE / "src/runtime/testdata"
KEYWORDS = MODELS / "keywords_int8.tflite"
SOUNDS = pathlib.Path("/usr/share/sounds/alsa")


def features():
    """49 × 10 log energies of each second of the recordings, 40 ms windows every 20 ms."""
    for recording in sorted(SOUNDS.glob("*.wav")):
        with wave.open(str(recording)) as sound:
            samples = numpy.frombuffer(sound.readframes(sound.getnframes()), numpy.int16) / 32768
        samples = samples[::3]  # 48 to 16 kHz
        for start in range(0, len(samples) - 16000, 8000):
            windows = numpy.stack([samples[start + 320 * i:start + 320 * i + 640] for i in range(49)])
            energies = numpy.abs(numpy.fft.rfft(windows * numpy.hanning(640)))[:, 1:321].reshape(49, 10, 32).mean(2)
            yield numpy.log(energies + 1e-3).astype(numpy.float32) * 10


class LiteRt(unittest.TestCase):
    def start(self, library=LIBRARY, *options):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-infer-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.server = Server(self.dir, "--runtime", f"litert={library}", *options)
        self.addCleanup(self.server.stop, signal.SIGKILL)
        client = triton.InferenceServerClient(self.server.url, network_timeout=DEADLINE_S)
        self.addCleanup(client.close)
        return client

    def load(self, name, model, inputs, outputs, **more):
        package = write_package(self.dir / name, name, "1", "litert", model, inputs, outputs, **more)
        return self.server.load(name, package)

    def load_keywords(self, name="keywords", model=None):
        return self.load(name, model or KEYWORDS.read_bytes(), [tensor("input_1", "INT8", [1, 49, 10, 1])],
                         [tensor("Identity", "INT8", [1, 12])])

    def infer(self, client, model, name, array, datatype):
        x = triton.InferInput(name, list(array.shape), datatype)
        x.set_data_from_numpy(array)
        return client.infer(model, [x])

    def test_same_numbers_as_the_vendors_package(self):
        if not SOUNDS.is_dir():
            self.skipTest("the recordings of alsa-utils are not installed")
        client = self.start()
        loaded = self.load_keywords()
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        oracle = Interpreter(str(KEYWORDS), num_threads=1)
        oracle.allocate_tensors()
        (its_input,), (its_output,) = oracle.get_input_details(), oracle.get_output_details()
        scale, zero = its_input["quantization"]
        winners = set()
        for values in features():
            x = numpy.clip(numpy.round(values / scale + zero), -128, 127).astype(numpy.int8).reshape(1, 49, 10, 1)
            oracle.set_tensor(its_input["index"], x)
            oracle.invoke()
            expected = oracle.get_tensor(its_output["index"])
            got = self.infer(client, "keywords", "input_1", x, "INT8").as_numpy("Identity")
            numpy.testing.assert_array_equal(got, expected)
            winners.add(int(got.argmax()))
        self.assertGreater(len(winners), 1)  # the inputs tell something apart

    def test_any_size_of_a_dimension_that_is_free(self):
        client = self.start()
        model = (MODELS / "type_fp32.tflite").read_bytes()
        loaded = self.load("copy", model, [tensor("x", "FP32", [-1])], [tensor("y", "FP32", [-1])])
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        for count in (1, 7, 100_000, 2):
            x = numpy.arange(count, dtype=numpy.float32)
            numpy.testing.assert_array_equal(self.infer(client, "copy", "x", x, "FP32").as_numpy("y"), x)
        with self.assertRaisesRegex(InferenceServerException, "LiteRT takes no dimension of 0"):
            self.infer(client, "copy", "x", numpy.zeros([0], numpy.float32), "FP32")

    def test_an_endless_loop_is_ended_and_the_model_serves_on(self):
        client = self.start(LIBRARY, "--inference-timeout", "1")
        model = (MODELS / "hang.tflite").read_bytes()
        loaded = self.load("count", model, [tensor("n", "INT64", [])], [tensor("sum", "INT64", [])])
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        with self.assertRaisesRegex(InferenceServerException, "did not end within 1 s"):
            self.infer(client, "count", "n", numpy.array(2**62, numpy.int64), "INT64")
        self.assertEqual(self.infer(client, "count", "n", numpy.array(5, numpy.int64), "INT64").as_numpy("sum"), 5)

    def test_a_library_that_is_not_there_names_its_component(self):
        self.start("/nowhere/libLiteRt.so")
        refused = self.load_keywords()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("deploy skerry.runtime.LiteRt, which brings it", refused.stderr)

    def test_damaged_files_are_refused_and_nobody_else_notices(self):
        client = self.start()
        self.assertEqual(self.load_keywords().returncode, 0)
        whole = KEYWORDS.read_bytes()
        for size in (0, 7, 100, 5000, len(whole) - 1, len(whole) // 2):
            with self.subTest(cut_to=size):
                refused = self.load_keywords(f"cut{size}", whole[:size] or b"\0")
                if size < len(whole) - 1:  # the last byte may be padding
                    self.assertEqual(refused.returncode, 1)
        pair = (MODELS / "pair.tflite").read_bytes()
        inputs = [tensor("a", "FP32", [-1, 4]), tensor("b", "INT64", [2])]
        outputs = [tensor("c", "FP32", [-1, 4]), tensor("d", "INT64", [2])]
        for step in range(0, len(pair), 23):
            damaged = pair[:step] + b"\xff\xff\xff\x7f" + pair[step + 4:]
            with self.subTest(wild_offset_at=step):
                result = self.load(f"wild{step}", damaged, inputs, outputs)
                self.assertIn(result.returncode, (0, 1))
                self.assertEqual(bool(result.returncode), bool(result.stderr))
        x = numpy.zeros([1, 49, 10, 1], numpy.int8)
        self.assertEqual(self.infer(client, "keywords", "input_1", x, "INT8").as_numpy("Identity").shape, (1, 12))


if __name__ == "__main__":
    unittest.main(verbosity=2)
