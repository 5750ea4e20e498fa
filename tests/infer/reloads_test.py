"""Ten thousand loads of a model over one that is being asked: nothing is lost, and the service grows by nothing.

    reloads_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR

SKERRY_RELOADS says another number.
"""

import json
import os
import pathlib
import signal
import tempfile
import threading
import unittest
import urllib.request

import numpy as np
import tritonclient.http as triton

from infer_server import DEADLINE_S, Server, affine_package, null_package

RELOADS = int(os.environ.get("SKERRY_RELOADS", "10000"))
WARM_UP = max(RELOADS // 10, 100)
MOST_GROWTH = 2 << 20  # of memory that nobody shares; what one reload leaves behind would be more


class Reloads(unittest.TestCase):
    def run_with(self, package_of, onnx):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-reloads-")
        self.addCleanup(scratch.cleanup)
        directory = pathlib.Path(scratch.name)
        server = Server(directory, "--log-level", "warn", "--repository-over-tcp")
        self.addCleanup(server.stop, signal.SIGKILL)
        packages = [package_of(directory / str(version), str(version)) for version in (1, 2)]

        def load(package):
            body = json.dumps({"parameters": {"path": str(package)}}).encode()
            urllib.request.urlopen(f"http://{server.url}/v2/repository/models/affine/load", body, DEADLINE_S).read()

        def status(what):
            lines = pathlib.Path(f"/proc/{server.process.pid}/{what}").read_text().splitlines()
            return {line.split(":")[0]: line.split()[1] for line in lines if line.count(":") == 1 and len(line.split()) > 1}

        def measured():
            return (int(status("smaps_rollup")["Private_Dirty"]) << 10, int(status("status")["Threads"]),
                    len(list(pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir())))

        load(packages[0])
        ended, wrong, asked = threading.Event(), [], [0]

        def ask():
            client = triton.InferenceServerClient(server.url, network_timeout=DEADLINE_S)
            x = np.array([[1, 2]], np.float32)
            tensor = triton.InferInput("x", [1, 2], "FP32")
            tensor.set_data_from_numpy(x)
            while not ended.wait(0.01):
                try:
                    y = client.infer("affine", [tensor]).as_numpy("y")
                    if y.tolist() not in onnx:
                        wrong.append(y.tolist())
                except Exception as error:  # whatever it is, a request was lost
                    wrong.append(str(error))
                asked[0] += 1
            client.close()

        caller = threading.Thread(target=ask)
        caller.start()
        try:
            for i in range(1, RELOADS + 1):
                load(packages[i % 2])
                if i == WARM_UP:
                    before = measured()
            after = measured()
        finally:
            ended.set()
            caller.join()
        self.assertEqual(wrong, [])
        self.assertGreater(asked[0], RELOADS // 1000)
        print(f"{RELOADS} reloads, {asked[0]} requests: private memory {before[0]} → {after[0]} bytes, threads {before[1]} → "
              f"{after[1]}, descriptors {before[2]} → {after[2]}")
        self.assertLess(after[0] - before[0], MOST_GROWTH)
        self.assertLessEqual(after[1], before[1] + 1)
        self.assertLessEqual(after[2], before[2] + 2)

    def test_of_the_smallest_model(self):
        def package(folder, version):
            null_package(folder, "affine", "FP32", [-1, 2])
            manifest = json.loads((folder / "model.json").read_text())
            (folder / "model.json").write_text(json.dumps(manifest | {"version": version}))
            return folder

        self.run_with(package, [[[1, 2]]])

    def test_of_an_onnx_model(self):
        self.run_with(lambda folder, version: affine_package(folder, version, {"1": "double.onnx", "2": "triple.onnx"}[version]),
                      [[[3, 5]], [[4, 7]]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
