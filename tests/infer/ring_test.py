"""Rings of shared memory against a real skerry-infer: the Python client, the example in C, a service that ends.

    ring_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

import numpy as np

from infer_server import DEADLINE_S, PROGRAM, SOURCE, Server

sys.path.insert(0, str(SOURCE / "python"))
import skerry  # noqa: E402

EXAMPLE = pathlib.Path(PROGRAM).parent / "infer_client"


class Ring(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-ring-")
        cls.addClassCleanup(scratch.cleanup)
        cls.directory = pathlib.Path(scratch.name)
        cls.server = Server(cls.directory)
        cls.addClassCleanup(lambda: cls.server.stop())
        cls.server.load_examples(cls.directory)

    def ring(self, **options):
        ring = skerry.Ring(self.server.socket, **options)
        self.addCleanup(ring.close)
        return ring

    def test_python_gets_what_http_gives(self):
        http = skerry.Inference(socket=self.server.socket)
        self.addCleanup(http.close)
        for ring in (self.ring(), self.ring(spin_us=0)):
            x = np.array([[1, 2], [3, 4]], np.float32)
            np.testing.assert_array_equal(ring("affine", {"x": x}, version="1", outputs=["y"])["y"], 2 * x + 1)
            np.testing.assert_array_equal(ring("affine", {"x": x.T})["y"], http("affine", {"x": x.T})["y"])
            for kind, dtype in {"BOOL": bool, "INT8": np.int8, "UINT64": np.uint64, "FP16": np.float16, "FP64": float}.items():
                array = np.array([[0, 1], [1, 0]], dtype)
                np.testing.assert_array_equal(ring(kind, {"x": array})["y"], array)
            self.assertEqual(ring("BYTES", {"x": [["a", b"\0\xff"]]})["y"].tolist(), [[b"a", b"\0\xff"]])
            self.assertEqual(ring("FP64", {"x": np.zeros((2, 0))})["y"].shape, (2, 0))

    def test_large_tensors_and_many_requests(self):
        ring = self.ring(slot_bytes=8 << 20)
        large = np.arange(1_000_000, dtype=float).reshape(1000, 1000)
        np.testing.assert_array_equal(ring("FP64", {"x": large})["y"], large)
        for i in range(500):
            self.assertEqual(ring("FP64", {"x": [[float(i)]]})["y"][0, 0], i)
        with self.assertRaisesRegex(skerry.InferenceError, "open it with larger ones"):
            self.ring()("FP64", {"x": large})

    def test_errors_say_why(self):
        ring = self.ring()
        for call, code in [(lambda: ring("nothing", {"x": np.ones(1)}), "not_found"),
                           (lambda: ring("affine", {"z": np.ones((1, 2), np.float32)}), "invalid_argument"),
                           (lambda: skerry.Ring("/nowhere"), "unavailable")]:
            with self.assertRaises(skerry.InferenceError) as refused:
                call()
            self.assertEqual(refused.exception.code, code)
        with self.assertRaisesRegex(skerry.InferenceError, "many|large|1 to 64"):
            self.ring(slot_bytes=1 << 40)

    def test_the_example_in_c(self):
        for where in ([self.server.socket], ["--http", self.server.socket], [f"http://{self.server.url}"]):
            ask = lambda *words: subprocess.run([EXAMPLE, *where, *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            done = ask("affine", "x", "1", "-2")
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "y 3 -3\n", ""), where)
            done = ask("other", "x", "1")
            self.assertIn("model 'other' is not loaded", done.stderr)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("model 'other' is not loaded", done.stderr)

    def test_requests_are_in_the_metrics(self):
        count = lambda: sum(float(line.rsplit(" ", 1)[1]) for line in urllib.request.urlopen(
            f"http://{self.server.url}/metrics").read().decode().splitlines()
            if line.startswith("nv_inference_request_success") or line.startswith("skerry_inference_requests_total"))
        ring = self.ring()
        before = count()
        for _ in range(7):
            ring("INT8", {"x": np.zeros((1, 1), np.int8)})
        self.assertGreaterEqual(count(), before + 7)

    def test_many_clients_at_once(self):
        wrong = []

        def call(number):
            with skerry.Ring(self.server.socket) as ring:
                for i in range(200):
                    x = np.full((1, 2), 1000 * number + i, np.float32)
                    if not np.array_equal(ring("affine", {"x": x})["y"], 2 * x + 1):
                        wrong.append((number, i))

        threads = [threading.Thread(target=call, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_a_client_that_only_opens_is_no_harm(self):
        held = []
        for _ in range(20):  # more than one user may have
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(DEADLINE_S)
            client.connect(str(self.server.socket))
            client.sendall(b"GET /v2/ring?slots=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: skerry-ring/1\r\n\r\n")
            held.append(client)
        answers = {client.recv(64).split(b"\r\n")[0] for client in held}
        self.assertEqual(answers, {b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 503 Service Unavailable"})
        for client in held:
            client.close()
        for _ in range(100):  # their places come free as the service notices
            try:
                ring = self.ring()
                break
            except skerry.InferenceError as error:
                self.assertEqual(error.code, "resource_exhausted")
        self.assertEqual(ring("FP64", {"x": [[1.0]]})["y"][0, 0], 1)

    def test_a_service_that_ends_is_noticed(self):
        for number, spin_us in ((signal.SIGTERM, 50), (signal.SIGKILL, 0)):
            directory = self.directory / f"end{number}"
            directory.mkdir()
            server = Server(directory)
            server.load("FP64", self.directory / "FP64")
            ring = skerry.Ring(server.socket, spin_us=spin_us)
            self.assertEqual(ring("FP64", {"x": [[2.0]]})["y"][0, 0], 2)
            server.stop(number)
            with self.assertRaises(skerry.InferenceError) as gone:
                ring("FP64", {"x": [[2.0]]})
            self.assertEqual((gone.exception.code, gone.exception.retryable), ("unavailable", True))
            ring.close()


if __name__ == "__main__":
    unittest.main()
