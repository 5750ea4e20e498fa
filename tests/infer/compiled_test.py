"""Compiled models behind the real skerry-infer: the numbers of ONNX Runtime, and files that mean no good.

    compiled_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import hashlib
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy
import onnxruntime
import tritonclient.http as triton

from infer_server import CACHE, DEADLINE_S, PROGRAM, SOURCE, Server, tensor, write_package

sys.path.insert(0, str(SOURCE / "bench/models"))
sys.path.insert(0, str(SOURCE / "examples/speech_detector"))
import make_networks  # noqa: E402
import speech  # noqa: E402

TRAILER = 96
INPUTS, OUTPUTS = [tensor("x", "FP32", [1, 640])], [tensor("y", "FP32", [1, 640])]


class Compiled(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-compiled-")
        cls.addClassCleanup(scratch.cleanup)
        cls.model = pathlib.Path(scratch.name) / "net.onnx"
        cls.model.write_bytes(make_networks.autoencoder(make_networks.Network(3, quantised=False)))
        artifact = pathlib.Path(scratch.name) / "net.so"
        subprocess.run([pathlib.Path(PROGRAM).parent / "skerry", "model", "compile", cls.model, "--target", "x86-64-v2",
                        "-o", artifact], check=True, timeout=300, stdout=subprocess.DEVNULL)
        cls.artifact = artifact.read_bytes()

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-infer-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.server = Server(self.dir, "--runtime", "compiled")
        self.addCleanup(self.server.stop, signal.SIGKILL)

    def load(self, name, artifact):
        return self.server.load(name, write_package(self.dir / name, name, "1", "compiled", artifact, INPUTS, OUTPUTS))

    def retold(self, object_, *, abi=1, features=0):
        """The artifact with another trailer that is right in itself."""
        fields = b"SKERRYCM" + struct.pack("<IIQQ", 1, abi, len(object_), features) + b"x86-64-v9".ljust(32, b"\0")
        return object_ + fields + hashlib.sha256(object_ + fields).digest()

    def test_serves_the_numbers_of_onnx_runtime(self):
        loaded = self.load("net", self.artifact)
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        session = onnxruntime.InferenceSession(str(self.model), providers=["CPUExecutionProvider"])
        client = triton.InferenceServerClient(self.server.url, network_timeout=DEADLINE_S)
        self.addCleanup(client.close)
        random = numpy.random.default_rng(1)
        for _ in range(20):
            x = random.normal(size=(1, 640)).astype("f4")
            request = triton.InferInput("x", [1, 640], "FP32")
            request.set_data_from_numpy(x)
            got = client.infer("net", [request]).as_numpy("y")
            numpy.testing.assert_allclose(got, session.run(None, {"x": x})[0], atol=1e-4)

    def test_serves_streams_whose_state_their_callers_keep(self):
        """The speech model, whose artifact keeps a state: two callers' windows in turns, each as ONNX Runtime alone says."""
        silero, artifact = CACHE / "silero-vad/silero_vad.onnx", self.dir / "vad.so"
        subprocess.run([pathlib.Path(PROGRAM).parent / "skerry", "model", "compile", silero, "--shape", "input=1,576",
                        "--value", "sr=16000", "--state", "state=stateN", "--target", "x86-64-v2", "-o", artifact],
                       check=True, timeout=300, stdout=subprocess.DEVNULL)
        package = write_package(self.dir / "vad", "vad", "1", "compiled", artifact.read_bytes(),
                                [tensor("input", "FP32", [1, 576]), tensor("state", "FP32", [2, 1, 128]), tensor("sr", "INT64", [])],
                                [tensor("output", "FP32", [1, 1]), tensor("stateN", "FP32", [2, 1, 128])], warmup={"sr": 16000})
        loaded = self.server.load("vad", package)
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        client = triton.InferenceServerClient(self.server.url, network_timeout=DEADLINE_S)
        self.addCleanup(client.close)
        session = onnxruntime.InferenceSession(str(silero), providers=["CPUExecutionProvider"])

        def served(arrays):
            requests = []
            for name, array in arrays.items():
                request = triton.InferInput(name, list(array.shape), "INT64" if name == "sr" else "FP32")
                request.set_data_from_numpy(array)
                requests.append(request)
            result = client.infer("vad", requests)
            return {name: result.as_numpy(name) for name in ("output", "stateN")}

        def alone(arrays):
            return dict(zip(("output", "stateN"), session.run(["output", "stateN"], arrays)))

        random = numpy.random.default_rng(2)
        callers = [(speech.VadStream(served), speech.VadStream(alone)) for _ in range(2)]
        seen = []
        for _ in range(12):
            for loudness, (ours, theirs) in zip((0.02, 0.5), callers):
                window = random.normal(size=speech.WINDOW, scale=loudness).astype("f4")
                seen.append((ours.probability(window), theirs.probability(window)))
        got, want = numpy.array(seen).T
        numpy.testing.assert_allclose(got, want, atol=1e-4)
        self.assertGreater(numpy.ptp(want), 1e-3)  # what was said before matters

    def test_refuses_what_it_may_not_run_and_says_why(self):
        object_ = self.artifact[:-TRAILER]
        damaged = bytearray(self.artifact)
        damaged[len(damaged) // 2] ^= 1
        refusals = {
            "damaged": (bytes(damaged), "its hash does not fit"),
            "cut": (self.artifact[:-1], "no compiled model, or not all of one"),
            "bare": (object_, "no compiled model, or not all of one"),
            "elsewhere": (self.retold(object_, features=1 << 40), "this machine's processor has no features unknown"),
            "older": (self.retold(object_, abi=7), "compile the model again"),
            "lies": (self.retold(object_, features=0b11), "not what its trailer says"),  # x86-64-v3 there, v2 in it
            "nothing": (self.retold(b""), "cannot be loaded"),
            "text": (self.retold(b"#!/bin/sh\n" * 50), "cannot be loaded"),
        }
        for name, (artifact, message) in refusals.items():
            with self.subTest(name):
                done = self.load(name, artifact)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(message, done.stderr)
        # And goes on.
        self.assertEqual(self.load("net", self.artifact).returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
