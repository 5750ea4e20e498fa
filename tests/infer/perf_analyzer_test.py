"""Triton's perf_analyzer against skerry-infer: HTTP, gRPC and a gRPC stream, with tensors in the messages and in system shared
memory. Skipped (77) where `./dev setup perf_analyzer` has not been run.

    perf_analyzer_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import csv
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

from infer_server import CACHE, DEADLINE_S, PROGRAM, Server, affine_package, null_package

ANALYZER = CACHE / "perf_analyzer/perf_analyzer"
if not ANALYZER.exists():
    print("perf_analyzer is not there: run ./dev setup perf_analyzer")
    raise SystemExit(77)
GATEWAY = pathlib.Path(PROGRAM).with_name("skerry-infer-grpc")
REQUESTS = 400
SHARED = ["--shared-memory", "system", "--output-shared-memory-size", "4096"]


class PerfAnalyzer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-perf-")
        cls.addClassCleanup(scratch.cleanup)
        cls.directory = pathlib.Path(scratch.name)
        cls.server = Server(cls.directory)
        cls.addClassCleanup(cls.server.stop)
        for name, package in {"affine": affine_package(cls.directory / "affine", "1", "double.onnx"),
                              "text": null_package(cls.directory / "text", "text", "BYTES", [-1])}.items():
            done = cls.server.load(name, package)
            assert done.returncode == 0, done.stderr

    def start_gateway(self):
        process = subprocess.Popen([GATEWAY, "--socket", self.server.socket, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, DEADLINE_S)
        self.addCleanup(process.send_signal, signal.SIGTERM)
        return f"127.0.0.1:{json.loads(process.stdout.readline())['grpc_port']}"

    def measured(self, url, *options, model="affine", shape="x:1,2"):
        """What it reports of its one window."""
        report = self.directory / "report.csv"
        done = subprocess.run([ANALYZER, "-m", model, "-u", url, "--shape", shape, "--request-count", str(REQUESTS), "-f", report, *options],
                              env=os.environ | {"LD_LIBRARY_PATH": str(ANALYZER.parent)}, capture_output=True, text=True, check=False,
                              timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with report.open(newline="") as file:
            [row] = csv.DictReader(file)
        return row

    def check(self, row):
        self.assertGreater(float(row["Inferences/Second"]), 0)
        self.assertGreater(float(row["p99 latency"]), 0)

    def test_http(self):
        for options in ([], ["--concurrency-range", "8", "-a"], SHARED):
            with self.subTest(options=options):
                self.check(self.measured(self.server.url, "-i", "http", *options))
        self.check(self.measured(self.server.url, "-i", "http", "--string-length", "9", model="text", shape="x:3"))

    @unittest.skipUnless(GATEWAY.exists(), "gRPC's development files are not installed")
    def test_grpc(self):
        url = self.start_gateway()
        for options in ([], ["--concurrency-range", "8", "-a"], SHARED, ["--streaming", "-a"], ["--streaming", "-a", *SHARED]):
            with self.subTest(options=options):
                self.check(self.measured(url, "-i", "grpc", *options))


if __name__ == "__main__":
    unittest.main()
