"""skerry top against a real skerry-infer under load.

    top_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import json
import pathlib
import subprocess
import tempfile
import threading
import unittest

import numpy as np
import tritonclient.http as triton

from infer_server import DEADLINE_S, PROGRAM, Server, affine_package

SKERRY = pathlib.Path(PROGRAM).parent / "skerry"


class Top(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-top-")
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)
        self.server = Server(self.directory)
        self.addCleanup(self.server.stop)

    def top(self, *options):
        return subprocess.run([SKERRY, *options, "--once", "--interval", "0.5", "--server", f"http://{self.server.url}"],
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    def test_rates_of_what_runs(self):
        self.assertEqual(self.server.load("affine", affine_package(self.directory / "affine", "1", "double.onnx")).returncode, 0)
        stop = threading.Event()

        def ask():
            client = triton.InferenceServerClient(self.server.url)
            tensor = triton.InferInput("x", [1, 2], "FP32")
            tensor.set_data_from_numpy(np.ones((1, 2), np.float32))
            while not stop.is_set():
                client.infer("affine", [tensor])
            client.close()

        caller = threading.Thread(target=ask)
        caller.start()
        try:
            [row] = json.loads(self.top("--json", "top").stdout)["models"]
            text = self.top("top").stdout
        finally:
            stop.set()
            caller.join()
        self.assertEqual((row["model"], row["version"], row["failures"]), ("affine", "1", 0))
        for key in ("requests_per_s", "compute_us", "busy_percent", "memory_bytes"):
            self.assertGreater(row[key], 0, key)
        self.assertEqual(row["requests_per_run"], 1)
        self.assertIn("affine", text)

    def test_nothing_to_see(self):
        self.assertEqual(self.top("top").stdout, "no model is loaded\n")
        self.server.stop()
        self.assertEqual(self.top("top").returncode, 3)


if __name__ == "__main__":
    unittest.main()
