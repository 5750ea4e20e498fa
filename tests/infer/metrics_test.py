"""What /metrics says, by Prometheus's own tool: `promtool check metrics` finds nothing to complain of, with and without requests and
refusals. Skipped (77) where `./dev setup promtool` has not been run.

    metrics_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

import numpy as np
import tritonclient.http as triton

from infer_server import DEADLINE_S, Server, affine_package, null_package

PROMTOOL = shutil.which("promtool")
if PROMTOOL is None:
    print("promtool is not there: run ./dev setup promtool")
    raise SystemExit(77)


class Metrics(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-metrics-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.server = Server(self.dir)
        self.addCleanup(self.server.stop, signal.SIGKILL)

    def checked(self):
        with urllib.request.urlopen(f"http://{self.server.url}/metrics", timeout=DEADLINE_S) as answer:
            text = answer.read()
        done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, check=False, timeout=DEADLINE_S)
        self.assertEqual((done.returncode, done.stdout.decode() + done.stderr.decode()), (0, ""), text.decode())
        return text.decode()

    def test_of_an_idle_service(self):
        self.checked()

    def test_of_one_that_works(self):
        for name, package in {"affine": affine_package(self.dir / "affine", "1", "double.onnx"),
                              "echo": null_package(self.dir / "echo", "echo", "FP32", [1, 2])}.items():
            done = self.server.load(name, package)
            self.assertEqual(done.returncode, 0, done.stderr)
        client = triton.InferenceServerClient(self.server.url, network_timeout=DEADLINE_S)
        self.addCleanup(client.close)
        tensor = triton.InferInput("x", [1, 2], "FP32")
        tensor.set_data_from_numpy(np.array([[1, 2]], np.float32))
        for _ in range(50):
            client.infer("affine", [tensor])
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://{self.server.url}/v2/repository/models/affine/unload", b"{}", DEADLINE_S)
        text = self.checked()
        self.assertIn('skerry_inference_requests_total{model="affine",version="1",outcome="success"} 50', text)
        self.assertIn('skerry_refused_requests_total{cause="denied"} 1', text)
        self.assertIn('model="echo"', text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
