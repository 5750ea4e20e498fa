"""What is written as TFLite, run by stock LiteRT.

    tflite_export_test.py BIN_DIRECTORY CACHE_DIRECTORY
"""

import subprocess
import unittest

import numpy as np
import onnxruntime
from stock_litert import TINY, StockLiteRt, litert
from commands import BIN
import make_models as onnx  # writes ONNX byte by byte

onnxruntime.set_default_logger_severity(4)


class TfliteExport(StockLiteRt):
    def test_float_networks_of_onnx_are_written_as_litert_runs_them(self):
        """Every float operator that is exported, with pads of all kinds."""
        weights = lambda *shape: self.random.normal(size=shape).astype("f4").ravel().tolist()
        parts = []

        def constant(name, *shape):
            parts.append(onnx.floats(name, list(shape), weights(*shape)))
            return name

        def add(op, inputs, *attributes):
            parts.append(onnx.node(op, inputs, [f"v{len(parts)}"], *attributes))
            return f"v{len(parts) - 1}"

        ints = lambda name, values: onnx.message(5, onnx.message(1, name.encode()), *(onnx.number(8, v) for v in values), onnx.number(20, 7))
        one = lambda name, value: onnx.message(5, onnx.message(1, name.encode()), onnx.number(3, value), onnx.number(20, 2))
        x = add("Conv", ["x", constant("w1", 8, 3, 3, 3), constant("b1", 8)], ints("pads", [1, 1, 1, 1]), ints("strides", [2, 2]))
        x = add("Relu", [x])
        y = add("Conv", [x, constant("w2", 8, 1, 3, 3), constant("b2", 8)], ints("pads", [1, 1, 1, 1]), one("group", 8))
        y = add("HardSwish", [y])
        x = add("Add", [x, y])
        x = add("MaxPool", [x], ints("kernel_shape", [2, 2]), ints("strides", [2, 2]))
        x = add("Sub", [x, constant("mean", 1, 8, 1, 1)])
        x = add("Mul", [x, constant("scale", 1, 8, 1, 1)])
        y = add("Sigmoid", [x])
        x = add("Concat", [x, add("Tanh", [y])], one("axis", 1))
        x = add("AveragePool", [x], ints("kernel_shape", [2, 2]), ints("strides", [1, 1]))
        x = add("GlobalAveragePool", [x])
        x = add("Flatten", [x])
        x = add("Gemm", [x, constant("w3", 16, 6), constant("b3", 6)])
        x = add("Softmax", [add("MatMul", [x, constant("w4", 6, 5)])])
        model = onnx.model(*parts, onnx.value(11, "x", onnx.FLOAT, [1, 3, 16, 16]), onnx.value(12, x, onnx.FLOAT, [1, 5]), opset=14)
        source, copy = self.directory / "net.onnx", self.directory / "net.tflite"
        source.write_bytes(model)
        subprocess.run([BIN / "skerry", "model", "convert", source, copy], check=True, capture_output=True)
        image = self.random.normal(size=(1, 3, 16, 16)).astype("f4")
        session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(self.theirs(copy.read_bytes(), [image])[0], session.run(None, {"x": image})[0], atol=1e-5)
        self.compare(copy.read_bytes(), tolerance=1e-5)
        signatures = litert.Interpreter(model_content=copy.read_bytes()).get_signature_list()
        self.assertEqual(signatures, {"serving_default": {"inputs": ["x"], "outputs": [x]}})

    def test_weights_that_are_stored_small_stay_small(self):
        """Batch normalisation goes into weights; bytes by channel or with one scale and zero point, and halves."""
        small = lambda name, values: onnx.message(5, *(onnx.number(1, d) for d in values.shape), onnx.number(
            2, onnx.TYPES[{"int8": "int8", "uint8": "uint8", "float16": "fp16"}[values.dtype.name]]), onnx.message(8, name), onnx.message(
                9, values.tobytes()))
        floats = lambda name, values: onnx.floats(name, values.shape, values.ravel().tolist())
        number = lambda name, value: onnx.message(5, onnx.message(1, name), onnx.number(3, value), onnx.number(20, 2))
        pads = onnx.message(5, onnx.message(1, "pads"), *(onnx.number(8, 1) for _ in range(4)), onnx.number(20, 7))
        integers = lambda *shape: self.random.integers(-127, 128, shape, "int8")
        scales = lambda count: (self.random.random(count) / 200 + 0.001).astype("f4")
        normal = lambda *shape: self.random.normal(size=shape).astype("f4")
        model = onnx.model(
            onnx.node("Conv", ["x", "w0"], ["c0"], pads),
            onnx.node("BatchNormalization", ["c0", "gamma", "beta", "mean", "variance"], ["c1"]),
            onnx.node("DequantizeLinear", ["w1", "s1"], ["d1"], number("axis", 0)),
            onnx.node("Conv", ["c1", "d1", "b1"], ["c2"], pads, number("group", 32)),
            onnx.node("DequantizeLinear", ["w2", "s2"], ["d2"], number("axis", 0)),
            onnx.node("Conv", ["c2", "d2"], ["c3"]),
            onnx.node("GlobalAveragePool", ["c3"], ["p"]), onnx.node("Flatten", ["p"], ["f"]),
            onnx.node("Cast", ["w3"], ["d3"], number("to", 1)),
            onnx.node("Gemm", ["f", "d3", "b3"], ["g"], number("transB", 1)),
            onnx.node("DequantizeLinear", ["w4", "s4", "z4"], ["d4"]), onnx.node("MatMul", ["g", "d4"], ["m"]),
            onnx.node("DequantizeLinear", ["w5", "s5"], ["d5"], number("axis", 1)), onnx.node("MatMul", ["m", "d5"], ["y"]),
            floats("w0", normal(32, 3, 3, 3) / 5), floats("gamma", normal(32)), floats("beta", normal(32)), floats("mean", normal(32)),
            floats("variance", self.random.random(32).astype("f4") + 0.5),
            small("w1", integers(32, 1, 3, 3)), floats("s1", scales(32)), floats("b1", normal(32)),
            small("w2", integers(64, 32, 1, 1)), floats("s2", scales(64)),
            small("w3", normal(96, 64).astype("f2")), floats("b3", normal(96)),
            small("w4", self.random.integers(0, 256, (96, 48), "uint8")), floats("s4", scales(1)[0].reshape(())),
            small("z4", np.array(120, "uint8")), small("w5", integers(48, 10)), floats("s5", scales(10)),
            onnx.value(11, "x", onnx.FLOAT, [1, 3, 9, 9]), onnx.value(12, "y", onnx.FLOAT, [1, 10]), opset=14)
        source, copy, again = (self.directory / name for name in ("net.onnx", "net.tflite", "again.onnx"))
        source.write_bytes(model)
        for one, other in ((source, copy), (copy, again)):
            subprocess.run([BIN / "skerry", "model", "convert", one, other], check=True, capture_output=True)
        self.assertLess(copy.stat().st_size, 32 * 27 * 4 + 32 * 9 + 64 * 32 + 96 * 64 * 2 + 96 * 48 + 480 + 8000)
        image = self.random.normal(size=(1, 3, 9, 9)).astype("f4")
        # With its passes on, ONNX Runtime quantises what such a product reads.
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        wanted, through = (onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, {"x": image})[0]
                           for path in (source, again))
        atol = np.abs(wanted).max() * 1e-5
        np.testing.assert_allclose(through, wanted, atol=atol)
        np.testing.assert_allclose(self.theirs(copy.read_bytes(), [image])[0], wanted, atol=atol)
        usual = litert.Interpreter(model_content=copy.read_bytes())  # with XNNPACK
        usual.allocate_tensors()
        for _ in range(2):
            usual.set_tensor(usual.get_input_details()[0]["index"], image)
            usual.invoke()
            np.testing.assert_allclose(usual.get_tensor(usual.get_output_details()[0]["index"]), wanted, atol=atol)
        self.compare(copy.read_bytes(), tolerance=1e-3)

    def test_tensors_of_what_is_written_have_names_of_their_own(self):
        """Other tools tell tensors by them."""
        copy = self.directory / "copy.tflite"
        subprocess.run([BIN / "skerry", "model", "convert", TINY["pretrainedResnet"], copy], check=True, capture_output=True)
        interpreter = litert.Interpreter(model_content=copy.read_bytes())
        names = [detail["name"] for detail in interpreter.get_tensor_details() if detail["name"]]
        self.assertGreater(len(names), 30)
        self.assertEqual(len(set(names)), len(names))

    def test_int8_models_are_written_again_as_litert_runs_them(self):
        for name in ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "str_ww_ref_model"):
            with self.subTest(name):
                copy = self.directory / "copy.tflite"
                onnx = self.directory / "copy.onnx"
                for source, target in ((TINY[name], copy), (TINY[name], onnx), (onnx, self.directory / "again.tflite")):
                    subprocess.run([BIN / "skerry", "model", "convert", source, target], check=True, capture_output=True)
                _, inputs = self.made_up(TINY[name].read_bytes())
                theirs = self.theirs(TINY[name].read_bytes(), inputs)
                for path in (copy, self.directory / "again.tflite"):
                    np.testing.assert_array_equal(self.theirs(path.read_bytes(), inputs)[0], theirs[0])
                self.compare(copy.read_bytes())

    def test_what_has_no_counterpart_in_tflite_is_named(self):
        model = self.directory / "erf.onnx"
        model.write_bytes(onnx.model(onnx.node("Erf", ["x"], ["y"]), onnx.value(11, "x", onnx.FLOAT, [2]),
                                     onnx.value(12, "y", onnx.FLOAT, [2])))
        done = subprocess.run([BIN / "skerry", "model", "convert", model, self.directory / "x.tflite"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Erf '", done.stderr)


if __name__ == "__main__":
    unittest.main()
