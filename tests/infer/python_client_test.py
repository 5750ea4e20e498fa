"""The Python client, installed by pip from the wheel that `./dev wheel` makes, against a real skerry-infer.

    python_client_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

import numpy as np

from infer_server import SOURCE, Server, null_package


class PythonClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-python-")
        cls.addClassCleanup(scratch.cleanup)
        cls.directory = pathlib.Path(scratch.name)
        build = lambda name: subprocess.run([sys.executable, SOURCE / "tools/wheel.py", cls.directory / name], check=True,
                                            capture_output=True, text=True).stdout.strip()
        cls.wheels = [pathlib.Path(build("one")), pathlib.Path(build("two"))]
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target",
                        cls.directory / "site", cls.wheels[0]], check=True)
        sys.path.insert(0, str(cls.directory / "site"))
        import skerry
        cls.skerry = skerry
        cls.server = Server(cls.directory)
        cls.addClassCleanup(lambda: cls.server.stop())
        cls.server.load_examples(cls.directory)

    def client(self, **options):
        client = self.skerry.Inference(**(options or {"socket": self.server.socket}))
        self.addCleanup(client.close)
        return client

    def test_the_same_sources_are_the_same_wheel(self):
        self.assertEqual(self.wheels[0].read_bytes(), self.wheels[1].read_bytes())
        self.assertTrue(self.skerry.__file__.startswith(str(self.directory)))

    def test_arrays_of_every_type_over_socket_and_http(self):
        for infer in (self.client(), self.client(url=f"http://{self.server.url}"), self.client(url=self.server.url)):
            x = np.array([[1, 2], [3, 4]], np.float32)
            np.testing.assert_allclose(infer("affine", {"x": x}, version="1", outputs=["y"])["y"], 2 * x + 1)
            np.testing.assert_allclose(infer("affine", {"x": x.T})["y"], 2 * x.T + 1)  # not contiguous
            for kind, dtype in {"BOOL": bool, "INT8": np.int8, "UINT64": np.uint64, "FP16": np.float16, "FP64": float}.items():
                array = np.array([[0, 1], [1, 0]], dtype)
                np.testing.assert_array_equal(infer(kind, {"x": array})["y"], array)
            texts = infer("BYTES", {"x": [["a", b"\0\xff"]]})["y"]
            self.assertEqual(texts.tolist(), [[b"a", b"\0\xff"]])
            self.assertEqual(infer("FP64", {"x": np.zeros((2, 0))})["y"].shape, (2, 0))

    def test_errors_say_why(self):
        infer = self.client()
        for call, code, retryable in [(lambda: infer("nothing", {"x": np.ones(1, np.float32)}), "not_found", False),
                                      (lambda: infer("affine", {"z": np.ones(1, np.float32)}), "invalid_argument", False),
                                      (lambda: self.client(socket="/nowhere")("m", {}), "unavailable", True)]:
            with self.assertRaises(self.skerry.InferenceError) as refused:
                call()
            self.assertEqual((refused.exception.code, refused.exception.retryable), (code, retryable))
        with self.assertRaisesRegex(TypeError, "input 'x' is complex64"):
            infer("affine", {"x": np.ones(2, np.complex64)})
        with self.assertRaises(ValueError):
            self.client(url="https://x")
        self.assertTrue(infer.is_ready() and infer.is_ready("affine"))
        self.assertFalse(infer.is_ready("nothing") or self.client(socket="/nowhere").is_ready())

    def test_models_come_and_go(self):
        infer = self.client()
        package = null_package(self.directory / "late", "late", "FP32", [-1])
        self.assertEqual(infer.load("late", package)["version"], "1")
        self.assertEqual(infer.describe("late")["inputs"][0]["datatype"], "FP32")
        self.assertIn("late", {model["name"] for model in infer.models() if model["state"] == "READY"})
        infer.unload("late")
        self.assertFalse(infer.is_ready("late"))

    def test_it_goes_on_after_a_restart_of_the_service(self):
        directory = self.directory / "restart"
        directory.mkdir()
        server = Server(directory, "--state", str(directory / "state"))
        infer = self.skerry.Inference(socket=server.socket)
        self.addCleanup(infer.close)
        infer.load("FP64", self.directory / "FP64")
        ask = lambda: infer("FP64", {"x": np.ones((1, 1))})["y"][0, 0]
        self.assertEqual(ask(), 1)
        server.stop()
        server = Server(directory, "--state", str(directory / "state"))
        self.addCleanup(server.stop)
        self.assertEqual(ask(), 1)

    def test_a_client_for_each_thread(self):
        wrong = []

        def call(number):
            infer = self.skerry.Inference(socket=self.server.socket)
            for i in range(100):
                x = np.full((1, 2), 1000 * number + i, np.float32)
                if not np.array_equal(infer("affine", {"x": x})["y"], 2 * x + 1):
                    wrong.append((number, i))
            infer.close()

        threads = [threading.Thread(target=call, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
