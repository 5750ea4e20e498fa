"""The unmodified PyPI tritonclient, and skerry-infer's own commands, against the real skerry-infer.

    tritonclient_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import unittest
import urllib.request
import wave

import numpy
import onnxruntime
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from infer_server import CACHE, DEADLINE_S, MAKE, ONNX_MODELS, PROGRAM, Server, affine_package, null_package, tensor, write_package

SILERO = CACHE / "silero-vad/silero_vad.onnx"
SOUNDS = pathlib.Path("/usr/share/sounds/alsa")


class InferTest(unittest.TestCase):
    server_options = ()

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-infer-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.server = self.start()

    def start(self):
        server = Server(self.dir, *self.server_options)
        self.addCleanup(server.stop)
        return server

    def client(self):
        client = triton.InferenceServerClient(self.server.url, network_timeout=DEADLINE_S)
        self.addCleanup(client.close)
        return client

    def load(self, name, package):
        result = self.server.load(name, package)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def infer(self, client, model, array, datatype="FP32", binary=True, **options):
        x = triton.InferInput("x", list(array.shape), datatype)
        x.set_data_from_numpy(array, binary_data=binary)
        outputs = [triton.InferRequestedOutput("y", binary_data=binary)]
        return client.infer(model, [x], outputs=outputs, **options)


class Protocol(InferTest):
    def test_metadata(self):
        client = self.client()
        self.assertTrue(client.is_server_live())
        self.assertTrue(client.is_server_ready())
        self.assertFalse(client.is_model_ready("affine"))
        self.assertEqual(client.get_server_metadata()["name"], "skerry-infer")
        self.load("affine", affine_package(self.dir / "p", "1.2.3", "double.onnx"))
        self.assertTrue(client.is_model_ready("affine"))
        self.assertTrue(client.is_model_ready("affine", "1.2.3"))
        self.assertEqual(client.get_model_metadata("affine"), {
            "name": "affine", "versions": ["1.2.3"], "platform": "onnxruntime_onnx",
            "inputs": [tensor("x", "FP32", [-1, 2])], "outputs": [tensor("y", "FP32", [-1, 2])]})
        self.assertEqual(client.get_model_config("affine")["input"][0]["data_type"], "TYPE_FP32")
        self.assertEqual(client.get_model_repository_index(),
                         [{"name": "affine", "version": "1.2.3", "state": "READY", "reason": ""}])

    def test_infer_json_and_binary(self):
        client = self.client()
        self.load("affine", affine_package(self.dir / "p", "1", "double.onnx"))
        values = numpy.array([[0.1, 1], [1e-40, 7]], numpy.float32)
        expected = numpy.float32(2) * values + 1
        for binary in (False, True):
            result = self.infer(client, "affine", values, binary=binary, request_id="r-7")
            numpy.testing.assert_array_equal(result.as_numpy("y"), expected)
            response = result.get_response()
            self.assertEqual((response["id"], response["model_version"]), ("r-7", "1"))
            self.assertEqual("data" in response["outputs"][0], not binary)
        # No outputs named: the client asks for all of them as binary data.
        x = triton.InferInput("x", [2, 2], "FP32")
        x.set_data_from_numpy(values, binary_data=False)
        numpy.testing.assert_array_equal(client.infer("affine", [x]).as_numpy("y"), expected)

    def test_every_datatype(self):
        client = self.client()
        arrays = {
            "BOOL": numpy.array([True, False]), "INT8": numpy.array([-128, 127], numpy.int8),
            "INT16": numpy.array([-32768, 1], numpy.int16), "INT32": numpy.array([-2**31, 1], numpy.int32),
            "INT64": numpy.array([-2**63, 2**63 - 1], numpy.int64), "UINT8": numpy.array([0, 255], numpy.uint8),
            "UINT16": numpy.array([0, 65535], numpy.uint16), "UINT32": numpy.array([0, 2**32 - 1], numpy.uint32),
            "UINT64": numpy.array([0, 2**64 - 1], numpy.uint64), "FP16": numpy.array([0.5, -2], numpy.float16),
            "FP32": numpy.array([0.1, numpy.finfo(numpy.float32).max], numpy.float32),
            "FP64": numpy.array([0.1, 5e-324], numpy.float64), "BYTES": numpy.array(["é", ""], numpy.object_),
        }
        for datatype, array in arrays.items():
            self.load(datatype, null_package(self.dir / datatype, datatype, datatype, [-1]))
            for binary in (True, False):
                if datatype == "FP16" and not binary:
                    continue  # the protocol has no JSON form of it
                with self.subTest(datatype=datatype, binary=binary):
                    got = self.infer(client, datatype, array, datatype, binary).as_numpy("y")
                    if datatype == "BYTES":
                        got = [e.decode() if isinstance(e, bytes) else e for e in got]
                    self.assertEqual(list(got), list(array))
        empty = numpy.zeros([0], numpy.float32)
        self.assertEqual(self.infer(client, "FP32", empty).as_numpy("y").shape, (0,))

    def test_errors(self):
        client = self.client()
        self.load("affine", affine_package(self.dir / "p", "1", "double.onnx"))
        for array, datatype, message in (
                (numpy.zeros([1, 3], numpy.float32), "FP32", "input 'x' is FP32[1,3]; expected FP32[-1,2]"),
                (numpy.zeros([1, 2], numpy.int32), "INT32", "input 'x' is INT32[1,2]; expected FP32[-1,2]")):
            for binary in (True, False):
                with self.assertRaises(InferenceServerException) as caught:
                    self.infer(client, "affine", array, datatype, binary)
                self.assertEqual(caught.exception.message(), message)
                self.assertEqual(caught.exception.status(), "400")
        with self.assertRaisesRegex(InferenceServerException, "model 'other' is not loaded"):
            self.infer(client, "other", numpy.zeros([1, 2], numpy.float32))
        with self.assertRaisesRegex(InferenceServerException, "serves version 1, not 2"):
            self.infer(client, "affine", numpy.zeros([1, 2], numpy.float32), model_version="2")

    def test_statistics(self):
        client = self.client()
        self.load("affine", affine_package(self.dir / "p", "1", "double.onnx"))
        for _ in range(3):
            self.infer(client, "affine", numpy.zeros([1, 2], numpy.float32))
        (stats,) = client.get_inference_statistics("affine")["model_stats"]
        self.assertEqual((stats["inference_count"], stats["inference_stats"]["queue"]["count"]), (3, 3))
        self.assertGreater(stats["inference_stats"]["compute_infer"]["ns"], 0)

    def test_repository_over_tcp_is_closed(self):
        with self.assertRaisesRegex(InferenceServerException, "through the Unix socket"):
            self.client().load_model("affine")


    def test_what_a_model_holds_in_memory(self):
        rows = 2_000_000
        model = MAKE["model"](MAKE["node"]("Gather", ["w", "i"], ["y"]), MAKE["floats"]("w", [rows], [0.5] * rows),
                              MAKE["value"](11, "i", MAKE["INT64"], [1]), MAKE["value"](12, "y", MAKE["FLOAT"], [1]))
        self.load("table", write_package(self.dir / "t", "table", "1", "onnxruntime", model, [tensor("i", "INT64", [1])],
                                         [tensor("y", "FP32", [1])]))
        (stats,) = self.client().get_inference_statistics("table")["model_stats"]
        (usage,) = stats["memory_usage"]
        self.assertEqual((usage["type"], usage["id"]), ("CPU", 0))
        self.assertGreater(usage["byte_size"], 4 * rows)
        if "SKERRY_SANITIZED" not in os.environ:  # sanitizers take memory for themselves
            self.assertLess(usage["byte_size"], 3 * 4 * rows)
        (row,) = json.loads(self.server.command("list", "--json").stdout)
        self.assertEqual(row["memory_bytes"], usage["byte_size"])
        self.assertRegex(self.server.command("list").stdout, r"table +1 +READY +\d+\.\d MiB")
        with urllib.request.urlopen(f"http://{self.server.url}/metrics", timeout=DEADLINE_S) as page:
            self.assertIn(f'skerry_model_memory_bytes{{model="table",version="1"}} {usage["byte_size"]}', page.read().decode())


class RepositoryOverTcp(InferTest):
    server_options = ("--repository-over-tcp",)

    def test_load_and_unload(self):
        client = self.client()
        self.load("affine", affine_package(self.dir / "p", "1", "double.onnx"))
        client.unload_model("affine")
        self.assertFalse(client.is_model_ready("affine"))
        self.assertEqual(client.get_model_repository_index()[0]["state"], "UNAVAILABLE")
        client.load_model("affine")
        self.assertTrue(client.is_model_ready("affine"))
        with self.assertRaisesRegex(InferenceServerException, "was never loaded"):
            client.load_model("other")


class HotSwap(InferTest):
    def test_no_request_is_lost(self):
        """Clients infer without a pause while versions come, go and are refused."""
        packages = {"2": affine_package(self.dir / "2", "2", "double.onnx"),
                    "3": affine_package(self.dir / "3", "3", "triple.onnx")}
        broken = affine_package(self.dir / "4", "4", "wide.onnx", columns=3)
        lying = affine_package(self.dir / "5", "5", "wide.onnx", columns=2)
        self.load("affine", packages["2"])
        stop = threading.Event()
        failures, counts = [], {"2": 0, "3": 0}
        both_seen = threading.Event()

        def call():
            client = triton.InferenceServerClient(self.server.url, network_timeout=DEADLINE_S)
            try:
                while not stop.is_set():
                    result = self.infer(client, "affine", numpy.array([[5, 7]], numpy.float32))
                    version = result.get_response()["model_version"]
                    # The answer is that of the version it names, whole.
                    scale = int(version)
                    if result.as_numpy("y").tolist() != [[5 * scale + 1, 7 * scale + 1]]:
                        failures.append((version, result.as_numpy("y").tolist()))
                    counts[version] += 1
                    if all(counts.values()):
                        both_seen.set()
            except Exception as error:  # any failure is a lost request
                failures.append(error)
            finally:
                client.close()

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for swap in range(20):
                self.load("affine", packages["3" if swap % 2 == 0 else "2"])
                refused = self.server.load("affine", broken if swap % 3 else lying)
                self.assertEqual(refused.returncode, 1)
            self.assertTrue(both_seen.wait(DEADLINE_S))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])

    def test_a_broken_version_is_refused_with_the_reason(self):
        self.load("affine", affine_package(self.dir / "1", "1", "double.onnx"))
        refused = self.server.load("affine", affine_package(self.dir / "2", "2", "wide.onnx", columns=3))
        self.assertEqual(refused.returncode, 1)
        self.assertIn("version 2 does not fit the callers of version 1", refused.stderr)
        self.assertIn("input 'x' was FP32[-1,2] and is FP32[-1,3]", refused.stderr)
        damaged = affine_package(self.dir / "3", "3", "triple.onnx")
        (damaged / "model.bin").write_bytes(ONNX_MODELS["triple.onnx"][:-5])
        refused = self.server.load("affine", damaged)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("has SHA-256", refused.stderr)
        shown = self.server.command("list")
        self.assertEqual(shown.returncode, 0)
        self.assertRegex(shown.stdout, r"affine +1 +READY +.*has SHA-256")
        result = self.infer(self.client(), "affine", numpy.array([[1, 2]], numpy.float32))
        self.assertEqual(result.as_numpy("y").tolist(), [[3, 5]])


class Process(InferTest):
    def test_sigterm_answers_the_request_in_flight(self):
        self.load("affine", affine_package(self.dir / "1", "1", "double.onnx"))
        body = json.dumps({"inputs": [tensor("x", "FP32", [1, 2]) | {"data": [1, 2]}]}).encode()
        head = (f"POST /v2/models/affine/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                "Expect: 100-continue\r\n\r\n")
        address = (self.server.url.split(":")[0], int(self.server.url.split(":")[1]))
        with socket.create_connection(address, DEADLINE_S) as busy, \
                socket.create_connection(address, DEADLINE_S) as idle:
            busy.sendall(head.encode())
            answer = busy.makefile("rb")
            self.assertEqual(answer.readline(), b"HTTP/1.1 100 Continue\r\n")
            self.server.process.send_signal(signal.SIGTERM)
            self.assertEqual(idle.recv(1), b"")  # it is stopping: who asks nothing is let go
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(address, DEADLINE_S)
            busy.sendall(body)
            rest = answer.read()
        self.assertIn(b"200 OK", rest)
        self.assertIn(b'"data":[3,5]', rest)
        self.assertEqual(self.server.process.wait(DEADLINE_S), 0)
        self.assertFalse(self.server.socket.exists())

    def test_load_waits_for_the_server(self):
        package = affine_package(self.dir / "1", "1", "double.onnx")
        self.server.stop()
        load = subprocess.Popen([PROGRAM, "load", "--socket", self.server.socket, "affine", package],
                                stdout=subprocess.PIPE, text=True)
        self.addCleanup(load.stdout.close)
        self.server = self.start()
        self.assertEqual(load.wait(DEADLINE_S), 0)
        self.assertEqual(load.stdout.read(), "affine version 1 is served\n")

    def test_exit_codes(self):
        package = affine_package(self.dir / "1", "1", "double.onnx")
        self.assertEqual(self.server.command("unload", "affine").returncode, 1)
        self.assertEqual(self.server.command("load", "other", package).returncode, 1)
        self.assertEqual(self.server.command("load", "affine").returncode, 2)
        self.assertEqual(subprocess.run([PROGRAM, "serve"], capture_output=True, check=False).returncode, 2)
        help_text = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
        self.assertIn("Exit codes:", help_text)
        answer = self.server.command("load", "--json", "affine", package)
        self.assertEqual(json.loads(answer.stdout), {"name": "affine", "version": "1", "previous_version": ""})
        self.assertEqual(json.loads(self.server.command("list", "--json").stdout)[0]["state"], "READY")
        self.assertEqual(self.server.command("unload", "affine").stdout, "affine is unloaded\n")
        self.server.stop()
        absent = self.server.command("load", "affine", package, "--wait", "0")
        self.assertEqual(absent.returncode, 3)
        self.assertIn("start one with: skerry-infer serve", absent.stderr)


class Restart(InferTest):
    def setUp(self):
        state = tempfile.TemporaryDirectory(prefix="skerry-infer-state-")
        self.addCleanup(state.cleanup)
        self.server_options = ("--state", state.name + "/models.json")
        super().setUp()

    def test_a_killed_server_serves_again(self):
        self.load("affine", affine_package(self.dir / "1", "1", "double.onnx"))
        self.load("affine", affine_package(self.dir / "2", "2", "triple.onnx"))
        self.server.stop(signal.SIGKILL)
        self.server = self.start()
        self.assertTrue(self.client().is_model_ready("affine", "2"))


class SileroVad(InferTest):
    def test_same_numbers_as_the_vendors_library(self):
        if not SOUNDS.is_dir():
            self.skipTest("the recordings of alsa-utils are not installed")
        directory = self.dir / "vad"
        write_package(directory, "vad", "6.2.3", "onnxruntime", SILERO.read_bytes(),
                      [tensor("input", "FP32", [1, 576]), tensor("state", "FP32", [2, 1, 128]),
                       tensor("sr", "INT64", [])],
                      [tensor("output", "FP32", [1, 1]), tensor("stateN", "FP32", [2, 1, 128])],
                      warmup={"sr": 16000})
        self.load("vad", directory)
        client = self.client()
        oracle = onnxruntime.InferenceSession(str(SILERO))

        def ours(feed):
            inputs = []
            for name, array in feed.items():
                inputs.append(triton.InferInput(name, list(array.shape), "INT64" if name == "sr" else "FP32"))
                inputs[-1].set_data_from_numpy(array)
            result = client.infer("vad", inputs)
            return result.as_numpy("output"), result.as_numpy("stateN")

        with wave.open(str(SOUNDS / "Front_Center.wav")) as recording:
            samples = numpy.frombuffer(recording.readframes(recording.getnframes()), numpy.int16) / 32768
        # 48 to 16 kHz: a windowed-sinc low-pass, then every third sample.
        x = numpy.arange(63) - 31
        taps = numpy.sinc(0.3 * x) * (0.5 - 0.5 * numpy.cos(2 * numpy.pi * (numpy.arange(63) + 0.5) / 63))
        sound = numpy.convolve(samples, taps / taps.sum(), "same")[::3].astype(numpy.float32)
        window = numpy.zeros([1, 576], numpy.float32)
        state = numpy.zeros([2, 1, 128], numpy.float32)
        probabilities = []
        for at in range(0, len(sound) - 511, 512):
            window = numpy.concatenate([window[:, -64:], sound[None, at:at + 512]], axis=1)
            feed = {"input": window, "state": state, "sr": numpy.array(16000)}
            expected = oracle.run(None, feed)
            output, state = ours(feed)
            numpy.testing.assert_allclose(output, expected[0], atol=1e-6)
            numpy.testing.assert_allclose(state, expected[1], atol=1e-5)
            probabilities.append(float(output[0, 0]))
        numpy.testing.assert_allclose(probabilities[:5], [.025, .106, .058, .974, .993], atol=0.001)
        self.assertEqual(sum(p > 0.5 for p in probabilities), 32)


if __name__ == "__main__":
    unittest.main(verbosity=2)
