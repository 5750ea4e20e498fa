"""What the tests of the plugin for PyTorch share: a skerry-infer that has it, models for it, and its processes."""

import hashlib
import json
import pathlib
import signal
import tempfile
import time
import unittest

import tritonclient.http as triton
from tritonclient.utils import np_to_triton_dtype

from infer_server import DEADLINE_S, PROGRAM, Server

PLUGIN = pathlib.Path(PROGRAM).resolve().parent / "libpytorch_runtime.so"


class PluginTest(unittest.TestCase):
    file = "model.pt"  # of the model in its package

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="skerry-infer-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.server = Server(self.dir, "--runtime", f"pytorch={PLUGIN}", "--inference-timeout", "10")
        self.addCleanup(self.server.stop, signal.SIGKILL)
        self.client = triton.InferenceServerClient(self.server.url, network_timeout=DEADLINE_S)
        self.addCleanup(self.client.close)

    def load(self, name, model, tensors, contract):
        """`tensors`: the text of tensors.txt; `contract`: inputs and outputs of model.json."""
        folder = self.dir / name
        folder.mkdir()
        (folder / self.file).write_bytes(model)
        (folder / "tensors.txt").write_text(tensors)
        manifest = {"format": 1, "name": name, "version": "1", "runtime": "pytorch", "file": self.file,
                    "sha256": hashlib.sha256(model).hexdigest(),
                    "files": {"tensors.txt": hashlib.sha256(tensors.encode()).hexdigest()},
                    "inputs": contract[0], "outputs": contract[1]}
        (folder / "model.json").write_text(json.dumps(manifest))
        return self.server.load(name, folder)

    def ask(self, model, **arrays):
        inputs = []
        for name, array in arrays.items():
            each = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            each.set_data_from_numpy(array)
            inputs.append(each)
        return self.client.infer(model, inputs)

    def workers(self):
        """The processes of models that this server has."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                stat = (entry / "stat").read_text()
                if int(stat.rpartition(")")[2].split()[1]) == self.server.process.pid and "skerry-torch-wo" in stat:
                    found.append(int(entry.name))
            except (OSError, ValueError):
                continue
        return found

    def wait_until(self, condition):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
