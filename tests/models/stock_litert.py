"""Models in stock LiteRT with its reference kernels, and the same in the reference executor."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

import numpy as np
import tflite_models
from commands import BIN, CACHE, ROOT

TINY = {path.stem: path for path in (ROOT / "src/graph/testdata/mlperf_tiny").glob("*.tflite")}
TINY["kws_ref_model"] = ROOT / "src/runtime/testdata/keywords_int8.tflite"
litert = tflite_models.load(CACHE / "litert/python")


class StockLiteRt(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="skerry-tflite-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.random = np.random.default_rng(3)

    def theirs(self, model, inputs):
        interpreter = litert.Interpreter(
            model_content=model, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
        interpreter.allocate_tensors()
        for detail, value in zip(interpreter.get_input_details(), inputs):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]

    def made_up(self, model):
        interpreter = litert.Interpreter(model_content=model)
        inputs = []
        for detail in interpreter.get_input_details():
            if detail["dtype"] == np.float32:
                inputs.append(self.random.normal(size=detail["shape"]).astype("f4"))
            else:
                limits = np.iinfo(detail["dtype"])
                inputs.append(self.random.integers(limits.min, limits.max + 1, detail["shape"], detail["dtype"]))
        return [detail["name"] for detail in interpreter.get_input_details()], inputs

    def ours(self, path, names, inputs):
        out = self.directory / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        arguments = []
        for i, (name, value) in enumerate(zip(names, inputs)):
            np.save(self.directory / f"in{i}.npy", value)
            arguments += ["--input", f"{name}={self.directory / f'in{i}.npy'}"]
        done = subprocess.run([BIN / "skerry", "model", "run", path, *arguments, "--out", out], capture_output=True,
                              text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return {file.stem: np.load(file) for file in out.iterdir()}

    def compare(self, model, tolerance=None, runs=1, off_by=0):
        """Bit by bit, or within a tolerance of reals, or so many steps of integers."""
        path = self.directory / "model.tflite"
        path.write_bytes(model)
        interpreter = litert.Interpreter(model_content=model)
        outputs = [detail["name"].replace("/", "_") for detail in interpreter.get_output_details()]
        for _ in range(runs):
            names, inputs = self.made_up(model)
            ours = self.ours(path, names, inputs)
            for name, theirs in zip(outputs, self.theirs(model, inputs)):
                self.assertEqual(ours[name].shape, theirs.shape)
                self.assertEqual(ours[name].dtype, theirs.dtype)
                if tolerance is not None:
                    np.testing.assert_allclose(ours[name], theirs, rtol=tolerance, atol=tolerance)
                else:
                    apart = np.abs(ours[name].astype("i8") - theirs.astype("i8")).max(initial=0)
                    self.assertLessEqual(apart, off_by)
