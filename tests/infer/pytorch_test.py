"""TorchScript behind the real skerry-infer, through the plugin of examples/pytorch_runtime: the vendor's own Python package makes
the models and is the oracle; and models that die or never end. Skipped (77) where `./dev setup pytorch` has not been run.

    pytorch_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

import numpy
from tritonclient.utils import InferenceServerException

from infer_server import tensor
from pytorch_plugin import PLUGIN, PluginTest

# PyTorch is Debian's, and so is its Python.
MAKE = """
import sys, torch, numpy
torch.manual_seed(3)
torch.set_num_threads(1)

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv1d(1, 8, 5, padding=2)
        self.recurrent = torch.nn.GRU(8, 16, batch_first=True)
        self.dense = torch.nn.Linear(16, 4)
    def forward(self, x, gain: float):
        hidden = torch.relu(self.convolution(x.unsqueeze(1) * gain)).transpose(1, 2)
        states, last = self.recurrent(hidden)
        return torch.softmax(self.dense(states[:, -1]), 1), states.argmax(2)

class Odd(torch.nn.Module):
    def forward(self, n):
        total = torch.zeros(1)
        i = torch.zeros(1, dtype=torch.int64)
        while bool((i != n).all()):
            i += 1
        return total + n

folder = sys.argv[1]
net = torch.jit.script(Net().eval())
net.save(folder + "/net.pt")
torch.jit.script(Odd()).save(folder + "/odd.pt")
x = torch.randn(12, 64)
with torch.inference_mode():
    probabilities, best = net(x, 0.5)
numpy.savez(folder + "/oracle.npz", x=x.numpy(), probabilities=probabilities.numpy(), best=best.numpy())
"""

scratch = tempfile.TemporaryDirectory(prefix="skerry-torch-")
MODELS = pathlib.Path(scratch.name)
(MODELS / "make.py").write_text(MAKE)  # a file: TorchScript reads its source
if not PLUGIN.exists() or subprocess.run(["/usr/bin/python3", MODELS / "make.py", MODELS], check=False).returncode != 0:
    print("PyTorch is not there: run ./dev setup pytorch, then ./dev build")
    raise SystemExit(77)

NET = ([tensor("x", "FP32", [-1, 64]), tensor("gain", "FP32", [])],
       [tensor("probabilities", "FP32", [-1, 4]), tensor("best", "INT64", [-1, 64])])
NET_TENSORS = "input x FP32 -1 64\ninput gain FP32\noutput probabilities FP32 -1 4\noutput best INT64 -1 64\n"
ODD = ([tensor("n", "INT64", [1])], [tensor("y", "FP32", [1])])
ODD_TENSORS = "input n INT64 1\noutput y FP32 1\n"


class PyTorch(PluginTest):
    def assert_net_answers(self):
        oracle = numpy.load(MODELS / "oracle.npz")
        gain = numpy.array(0.5, "f4")
        for rows in (slice(0, 1), slice(1, 4), slice(0, 12)):
            result = self.ask("net", x=oracle["x"][rows], gain=gain)
            numpy.testing.assert_allclose(result.as_numpy("probabilities"), oracle["probabilities"][rows], rtol=1e-5, atol=1e-7)
            numpy.testing.assert_array_equal(result.as_numpy("best"), oracle["best"][rows])

    def test_has_the_numbers_of_the_vendors_package(self):
        loaded = self.load("net", (MODELS / "net.pt").read_bytes(), NET_TENSORS, NET)
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        self.assert_net_answers()
        maps = pathlib.Path(f"/proc/{self.server.process.pid}/maps").read_text()
        self.assertNotIn("libtorch", maps)  # the service itself stays small
        [worker] = self.workers()
        self.assertIn("libtorch", pathlib.Path(f"/proc/{worker}/maps").read_text())

    def test_a_model_that_dies_takes_nobody_with_it(self):
        loaded = self.load("net", (MODELS / "net.pt").read_bytes(), NET_TENSORS, NET)
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        [worker] = self.workers()
        os.kill(worker, signal.SIGKILL)
        with self.assertRaisesRegex(InferenceServerException, "has ended; the next run starts another"):
            self.ask("net", x=numpy.zeros((1, 64), "f4"), gain=numpy.array(1, "f4"))
        self.assert_net_answers()
        self.assertNotEqual(self.workers(), [worker])

    def test_a_run_that_never_ends_is_ended(self):
        loaded = self.load("odd", (MODELS / "odd.pt").read_bytes(), ODD_TENSORS, ODD)
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        [worker] = self.workers()
        with self.assertRaises(InferenceServerException):
            self.ask("odd", n=numpy.array([-1], "i8"))
        self.wait_until(lambda: worker not in self.workers())
        self.assertEqual(self.ask("odd", n=numpy.array([5], "i8")).as_numpy("y").tolist(), [5])
        # Unloaded, it leaves no process behind.
        self.assertEqual(self.server.command("unload", "odd").returncode, 0)
        self.wait_until(lambda: not self.workers())

    def test_what_is_no_model_is_refused(self):
        net = (MODELS / "net.pt").read_bytes()
        for name, model, tensors, said in [("text", b"this is no model", NET_TENSORS, "model.pt"),
                                           ("cut", net[:len(net) // 2], NET_TENSORS, "model.pt"),
                                           ("lines", net, "input x\n", "tensors.txt has lines such as"),
                                           ("fewer", net, NET_TENSORS.replace("output best INT64 -1 64\n", ""), "")]:
            with self.subTest(name):
                refused = self.load(name, model, tensors, NET)
                self.assertEqual(refused.returncode, 1, refused.stdout)
                self.assertIn(said, refused.stderr)
        self.assertEqual(self.workers(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
