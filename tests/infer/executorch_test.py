"""ExecuTorch's programs behind the real skerry-infer, through the plugin of examples/pytorch_runtime. Programs are built by the vendor's
own schema and compiler of FlatBuffers, as its exporter needs PyTorch 2; NumPy is the oracle. Skipped (77) where `./dev setup executorch`
has not been run.

    executorch_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import json
import os
import signal
import struct
import subprocess
import unittest

import numpy as np
from tritonclient.utils import InferenceServerException

from infer_server import CACHE, tensor
from pytorch_plugin import PLUGIN, PluginTest

VENDOR = CACHE / "executorch/executorch"
if not PLUGIN.with_name("libskerry_executorch_worker.so").exists():
    print("ExecuTorch is not there: run ./dev setup executorch, then ./dev build")
    raise SystemExit(77)
HEADER_BYTES = 32


def static(sizes, buffer=0, place=None):
    """A value of the program: an activation at `place` of its arena, or the constant of that number."""
    value = {"scalar_type": "FLOAT", "storage_offset": 0, "sizes": sizes, "dim_order": list(range(len(sizes))), "requires_grad": False,
             "data_buffer_idx": buffer, "layout": 0, "shape_dynamism": "STATIC"}
    if place is not None:
        value["allocation_info"] = {"memory_id": 1, "memory_offset_low": place, "memory_offset_high": 0}
    return {"val_type": "Tensor", "val": value}


def program(directory, weights, operators=("aten::linear", "aten::relu")):
    """linear, relu, linear, as torch.export leaves them; `weights`: two matrices and two vectors."""
    call = lambda operator, arguments: {"instr_args_type": "KernelCall", "instr_args": {"op_index": operator, "args": arguments}}
    values = [static([1, 16], place=0), static([8, 16], 1), static([8], 2), static([1, 8], place=64), static([1, 8], place=96),
              static([4, 8], 3), static([4], 4), static([1, 4], place=128)]
    constants, offsets = b"", [0]  # the first one is reserved
    for each in weights:
        constants += bytes(-len(constants) % 16)
        offsets.append(len(constants))
        constants += each.tobytes()
    document = {"version": 0, "constant_buffer": [], "backend_delegate_data": [], "segments": [{"offset": 0, "size": len(constants)}],
                "constant_segment": {"segment_index": 0, "offsets": offsets},
                "execution_plan": [{"name": "forward", "container_meta_type": {"encoded_inp_str": "", "encoded_out_str": ""},
                                    "values": values, "inputs": [0], "outputs": [7], "delegates": [], "non_const_buffer_sizes": [0, 256],
                                    "operators": [{"name": name, "overload": "out"} for name in operators],
                                    "chains": [{"inputs": [], "outputs": [], "instructions": [
                                        call(0, [0, 1, 2, 3, 3]), call(1, [3, 4, 4]), call(0, [4, 5, 6, 7, 7])]}]}]}
    (directory / "program.json").write_text(json.dumps(document))
    subprocess.run([VENDOR / "data/bin/flatc", "--binary", "-o", directory, VENDOR / "exir/_serialize/program.fbs", directory / "program.json"],
                   check=True)
    buffer = (directory / "program.pte").read_bytes()
    # The extended header behind the identifier says where the constants are.
    size = len(buffer) + HEADER_BYTES
    base = -(-size // 4096) * 4096
    header = b"eh00" + struct.pack("<IQQQ", HEADER_BYTES, size, base, len(constants))
    [root] = struct.unpack("<I", buffer[:4])
    return struct.pack("<I", root + HEADER_BYTES) + buffer[4:8] + header + buffer[8:] + bytes(base - size) + constants


class ExecuTorch(PluginTest):
    file = "model.pte"

    def setUp(self):
        super().setUp()
        random = np.random.default_rng(3)
        self.weights = [random.standard_normal(shape).astype(np.float32) for shape in ((8, 16), (8,), (4, 8), (4,))]

    def load_program(self, name, model):
        return self.load(name, model, "input x FP32 1 16\noutput y FP32 1 4\n",
                         ([tensor("x", "FP32", [1, 16])], [tensor("y", "FP32", [1, 4])]))

    def infer(self, name, x):
        return self.ask(name, x=x).as_numpy("y")

    def test_a_program_is_what_numpy_says(self):
        done = self.load_program("net", program(self.dir, self.weights))
        self.assertEqual(done.returncode, 0, done.stderr)
        first, first_bias, second, second_bias = self.weights
        random = np.random.default_rng(4)
        for _ in range(20):
            x = random.standard_normal((1, 16)).astype(np.float32)
            want = np.maximum(x @ first.T + first_bias, 0) @ second.T + second_bias
            np.testing.assert_allclose(self.infer("net", x), want, rtol=1e-5, atol=1e-5)
        # It runs in a process of its own: the next run starts another.
        [worker] = self.workers()
        os.kill(worker, signal.SIGKILL)
        found = 0
        for _ in range(3):
            try:
                found = self.infer("net", x)
                break
            except InferenceServerException:
                continue
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)
        self.assertNotEqual(self.workers(), [worker])

    def test_what_is_none_is_refused(self):
        good = program(self.dir, self.weights)
        for name, model in (("cut", good[:200]), ("empty", good[:9]), ("none", b"\0\0\0\0ET12" + b"x" * 5000),
                            ("operator", program(self.dir, self.weights, ("aten::linear", "aten::nobody_has_this")))):
            done = self.load_program(name, model)
            self.assertNotEqual(done.returncode, 0, name)
        for at in range(40, 1000, 37):
            changed = bytearray(good)
            changed[at] ^= 0xFF
            self.load_program(f"changed{at}", bytes(changed))  # taken or refused
        done = self.load_program("net", good)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.infer("net", np.zeros((1, 16), np.float32)).shape, (1, 4))
        self.assertIsNone(self.server.process.poll())


if __name__ == "__main__":
    unittest.main()
