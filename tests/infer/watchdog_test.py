"""The watchdog against the real skerry-infer: models that hang or give infinity, what /metrics and the summary's endpoint say,
and `skerry-infer load --watch`, which fails with the reason.

    watchdog_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import http.client
import json
import pathlib
import subprocess
import tempfile
import unittest

from infer_server import DEADLINE_S, ONNX_MODELS, PROGRAM, Server, tensor, write_package

MAX = 3e38  # its double is infinity in FP32
ENDLESS = 2**63 - 1


class Watchdog(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-watchdog-")
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)
        self.server = Server(self.directory)
        self.addCleanup(self.server.stop)

    def doubling(self):
        return write_package(self.directory / "double", "double", "1", "onnxruntime", ONNX_MODELS["double.onnx"],
                             [tensor("x", "FP32", [-1, 2])], [tensor("y", "FP32", [-1, 2])], finite=["y"])

    def counting(self, limit_ms):
        return write_package(self.directory / "count", "count", "1", "onnxruntime", ONNX_MODELS["hang.onnx"],
                             [tensor("n", "INT64", [])], [tensor("sum", "FP32", [])], max_inference_ms=limit_ms)

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.server.url, timeout=DEADLINE_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def double(self, value):
        return self.call("POST", "/v2/models/double/infer", {"inputs": [tensor("x", "FP32", [1, 2]) | {"data": [value, 1]}]})[0]

    def count(self, n):
        return self.call("POST", "/v2/models/count/infer", {"inputs": [tensor("n", "INT64", []) | {"data": [n]}]})[0]

    def seen(self, model):
        status, text = self.call("GET", f"/v2/models/{model}/watchdog")
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def metric(self, name):
        _, text = self.call("GET", "/metrics")
        return {line.split('model="')[1].split('"')[0]: int(line.split()[-1]) for line in text.splitlines() if line.startswith(name + "{")}

    def watch(self, name, package):
        process = subprocess.Popen([PROGRAM, "load", "--watch", "--json", "--socket", self.server.socket, name, package],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for stream in (process.stdout, process.stderr):
            self.addCleanup(stream.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(json.loads(process.stdout.readline())["version"], "1")
        return process

    def test_infinity(self):
        watcher = self.watch("double", self.doubling())
        self.assertEqual([self.double(value) for value in (1, MAX, MAX, 1, MAX, MAX)], [200, 500, 500, 200, 500, 500])
        self.assertEqual(self.seen("double"), {"name": "double", "version": "1", "hangs": 0, "not_finite": 4, "slow": 0, "fault": None})
        self.assertIsNone(watcher.poll())
        self.assertEqual(self.double(MAX), 500)
        reason = "3 inferences in a row gave NaN or infinity in output 'y', which the package says is finite"
        self.assertEqual(self.seen("double")["fault"], reason)
        self.assertEqual(watcher.wait(DEADLINE_S), 1)
        self.assertEqual(watcher.stderr.read(), f"skerry-infer: version 1 of model 'double' is at fault: {reason}\n")
        self.assertEqual((self.metric("skerry_model_fault")["double"], self.metric("skerry_inference_not_finite_total")["double"]), (1, 5))
        # It answers all the same, and another load is another chance.
        self.assertEqual(self.double(1), 200)
        self.assertEqual(self.server.load("double", self.directory / "double").returncode, 0)
        self.assertIsNone(self.seen("double")["fault"])

    def test_a_model_that_is_over_its_own_limit(self):
        watcher = self.watch("count", self.counting(50))
        self.assertEqual(self.count(3), 200)
        self.assertEqual([self.count(ENDLESS) for _ in range(3)], [503, 503, 503])
        self.assertEqual(watcher.wait(DEADLINE_S), 1)
        self.assertIn("3 inferences in a row did not end within 50 ms", watcher.stderr.read())
        self.assertEqual((self.metric("skerry_inference_hangs_total")["count"], self.metric("skerry_model_fault")["count"]), (3, 1))

    def test_a_watcher_outlives_the_server_and_the_model(self):
        watcher = self.watch("double", self.doubling())
        self.server.stop()
        self.server = Server(self.directory)
        self.addCleanup(self.server.stop)
        self.assertIsNone(watcher.poll())
        self.assertEqual(self.server.load("double", self.directory / "double").returncode, 0)
        self.assertEqual([self.double(MAX) for _ in range(3)], [500] * 3)
        self.assertEqual(watcher.wait(DEADLINE_S), 1)
        self.assertIn("is at fault", watcher.stderr.read())


if __name__ == "__main__":
    unittest.main()
