"""TFLite models in the reference executor, with stock LiteRT's reference kernels as the oracle.

    tflite_test.py BIN_DIRECTORY CACHE_DIRECTORY
"""

import copy
import itertools
import subprocess
import unittest

import numpy as np
import onnxruntime
import tflite_models
from stock_litert import TINY, StockLiteRt, litert
from commands import BIN, ROOT

onnxruntime.set_default_logger_severity(4)


class TfliteModels(StockLiteRt):
    # --- Whole models -------------------------------------------------------------------------------
    def test_int8_models_are_bit_by_bit_what_litert_says(self):
        for name in ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "str_ww_ref_model"):
            with self.subTest(name):
                self.compare(TINY[name].read_bytes(), runs=3)

    def test_float_models_are_what_litert_says(self):
        self.compare(TINY["pretrainedResnet"].read_bytes(), tolerance=1e-5)
        # Its int8 weights meet activations that LiteRT quantises on the way and we do not.
        self.compare(TINY["kws_ref_model_float32"].read_bytes(), tolerance=0.03)

    def test_they_run_in_onnx_runtime_once_converted(self):
        for name in ("kws_ref_model", "pretrainedResnet_quant", "pretrainedResnet", "ad01_int8", "str_ww_ref_model"):
            with self.subTest(name):
                model = TINY[name]
                copy = self.directory / "copy.onnx"
                subprocess.run([BIN / "skerry", "model", "convert", model, copy], check=True, capture_output=True)
                names, inputs = self.made_up(model.read_bytes())
                theirs = self.theirs(model.read_bytes(), inputs)
                session = onnxruntime.InferenceSession(str(copy), providers=["CPUExecutionProvider"])
                ours = session.run(None, dict(zip(names, inputs)))
                step = 1e-4 if theirs[0].dtype == np.float32 else 12  # ONNX rounds otherwise, layer by layer
                self.assertLessEqual(np.abs(ours[0].astype("f8") - theirs[0]).max(), step)
                # What is exported is what was imported.
                again = self.ours(copy, names, inputs)
                straight = self.ours(model, names, inputs)
                for output, value in straight.items():
                    np.testing.assert_array_equal(again[output], value)

    def test_windows_that_are_smaller_than_their_step_run_in_onnx_runtime(self):
        """As Keras's ResNetV2 has them; ONNX Runtime takes them with pads in numbers only."""
        for operator in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
            for width in (7, 8, 9):
                with self.subTest(operator, width=width):
                    model = self.directory / "pool.tflite"
                    model.write_bytes(self.one(
                        operator, (1, 8, width, 3), (1, 3, (width + 2) // 3, 3), "Pool2DOptions", kind="float32", padding=0,
                        strideW=3, strideH=3, filterWidth=2, filterHeight=1))
                    copy = self.directory / "pool.onnx"
                    subprocess.run([BIN / "skerry", "model", "convert", model, copy], check=True, capture_output=True)
                    names, inputs = self.made_up(model.read_bytes())
                    session = onnxruntime.InferenceSession(str(copy), providers=["CPUExecutionProvider"])
                    np.testing.assert_allclose(session.run(None, dict(zip(names, inputs)))[0],
                                               self.theirs(model.read_bytes(), inputs)[0], atol=1e-6)

    # --- One operator each --------------------------------------------------------------------------
    def quantised(self, low=-128, high=128):
        return {"scale": float(self.random.uniform(0.01, 0.2)), "zero": int(self.random.integers(low, high))}

    def int8(self, *shape):
        return self.random.integers(-127, 128, shape, "i1")

    def conv(self, depthwise, kind="int8", activation=0, per_channel=True, stride=1, dilation=1, padding=0):
        model = tflite_models.Model()
        symmetric = kind == "int16"
        x_q = {"scale": 0.02, "zero": 0} if symmetric else self.quantised()
        y_q = {"scale": 0.31, "zero": 0} if symmetric else {**self.quantised(), "scale": 0.4}
        channels, out = 3, 6
        x = model.tensor("x", kind, (1, 9, 7, channels), **x_q)
        scales = self.random.uniform(0.001, 0.02, out if per_channel else 1)
        shape = (1, 3, 2, out) if depthwise else (out, 3, 2, channels)
        w = model.constant("w", self.int8(*shape), scale=scales, axis=3 if depthwise else 0)
        bias = self.random.integers(-1000, 1000, out, "i8" if symmetric else "i4")
        b = model.constant("b", bias, scale=scales * x_q["scale"])
        rows, columns = ((9 + stride - 1) // stride, (7 + stride - 1) // stride) if padding == 0 else (
            (9 - 2 * dilation + stride - 1) // stride, (7 - dilation + stride - 1) // stride)
        y = model.tensor("y", kind, (1, rows, columns, out), **y_q)
        common = {"padding": padding, "strideW": stride, "strideH": stride, "dilationWFactor": dilation,
                  "dilationHFactor": dilation, "fusedActivationFunction": activation}
        if depthwise:
            model.add("DEPTHWISE_CONV_2D", [x, w, b], [y], "DepthwiseConv2DOptions", 3, depthMultiplier=2, **common)
        else:
            model.add("CONV_2D", [x, w, b], [y], "Conv2DOptions", 3, **common)
        return model.content([x], [y])

    def test_int8_convolutions_are_bit_by_bit(self):
        for depthwise in (False, True):
            for activation in (0, 1, 3):
                for options in ({}, {"stride": 2}, {"dilation": 2}, {"padding": 1}, {"per_channel": False}):
                    with self.subTest(depthwise=depthwise, activation=activation, **options):
                        self.compare(self.conv(depthwise, activation=activation, **options))

    def test_int16_convolutions_are_bit_by_bit(self):
        for depthwise in (False, True):
            with self.subTest(depthwise=depthwise):
                self.compare(self.conv(depthwise, kind="int16"))

    def test_int16_networks_run_in_onnx_runtime_when_converted(self):
        """Which has their operators of 8 bits only: at most one step off what LiteRT says; four of 2^-15 of its Softmax, which
        has a table of exponentials."""
        models = [self.conv(depthwise, kind="int16", activation=activation) for depthwise in (False, True) for activation in (0, 1, 3)]
        for operator, options in (("ADD", "AddOptions"), ("MUL", "MulOptions"), ("MAX_POOL_2D", "Pool2DOptions"),
                                  ("AVERAGE_POOL_2D", "Pool2DOptions"), ("LOGISTIC", None), ("SOFTMAX", "SoftmaxOptions")):
            model = tflite_models.Model()
            pools, shape = "POOL" in operator, (1, 4, 6, 3)
            ranged = {"scale": 1 / 4000, "zero": 0}
            x = [model.tensor(name, "int16", shape, **ranged) for name in ("ab" if options in ("AddOptions", "MulOptions") else "a")]
            made = {"LOGISTIC": 1 / 32768, "SOFTMAX": 1 / 32768, "ADD": 1 / 2000, "MUL": 1 / 500}.get(operator, 1 / 4000)
            y = model.tensor("y", "int16", (1, 2, 3, 3) if pools else shape, scale=made, zero=0)
            fields = {"padding": 0, "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2} if pools else {}
            fields |= {"beta": 1.0} if operator == "SOFTMAX" else {}
            fields |= {"potScaleInt16": False} if operator == "ADD" else {}
            model.add(operator, x, [y], options, 3, **fields)
            models.append(model.content(x, [y]))
        for content in models:
            path, converted = self.directory / "model.tflite", self.directory / "model.onnx"
            path.write_bytes(content)
            done = subprocess.run([BIN / "skerry", "model", "convert", path, converted], capture_output=True, text=True, check=False)
            self.assertEqual(0, done.returncode, done.stderr)
            session = onnxruntime.InferenceSession(str(converted), providers=["CPUExecutionProvider"])
            names, inputs = self.made_up(content)
            [ours] = session.run(None, dict(zip(names, inputs)))
            [theirs] = self.theirs(content, inputs)
            self.assertEqual(np.int16, ours.dtype)
            softmax = content is models[-1]
            self.assertLessEqual(np.abs(ours.astype(int) - theirs).max(), 4 if softmax else 1)
            self.assertGreater(theirs.std(), 3)

    def test_int8_arithmetic_is_bit_by_bit(self):
        for operator, options in (("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions")):
            for shape in ((1, 4, 5, 3), (3,), (1, 1, 1, 3)):
                with self.subTest(operator, shape=shape):
                    model = tflite_models.Model()
                    a = model.tensor("a", "int8", (1, 4, 5, 3), **self.quantised())
                    b = model.tensor("b", "int8", shape, **self.quantised())
                    y = model.tensor("y", "int8", (1, 4, 5, 3), **self.quantised())
                    model.add(operator, [a, b], [y], options, 2, fusedActivationFunction=1)
                    self.compare(model.content([a, b], [y]), runs=2)

    def test_int8_fully_connected_is_bit_by_bit(self):
        for activation in (0, 1, 2):
            model = tflite_models.Model()
            x = model.tensor("x", "int8", (3, 20), **self.quantised())
            w = model.constant("w", self.int8(7, 20), scale=0.01)
            b = model.constant("b", self.random.integers(-500, 500, 7, "i4"), scale=0.001)
            y = model.tensor("y", "int8", (3, 7), **self.quantised())
            model.add("FULLY_CONNECTED", [x, w, b], [y], "FullyConnectedOptions", 4, fusedActivationFunction=activation)
            self.compare(model.content([x], [y]))

    def one(self, operator, shape, out, options=None, version=2, x_q=None, y_q=None, extra=(), kind="int8", **fields):
        model = tflite_models.Model()
        real = kind == "float32"
        x_q = {} if real else x_q or self.quantised()
        x = model.tensor("x", kind, shape, **x_q)
        constants = [model.constant(f"c{i}", np.array(value, "i4")) for i, value in enumerate(extra)]
        y = model.tensor("y", kind, out, **({} if real else y_q or x_q))
        model.add(operator, [x, *constants], [y], options, version, **fields)
        return model.content([x], [y])

    def test_int8_pools_and_softmax_are_bit_by_bit(self):
        window = {"padding": 0, "strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 2}
        for operator in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
            with self.subTest(operator):
                self.compare(self.one(operator, (2, 7, 9, 3), (2, 4, 5, 3), "Pool2DOptions", fusedActivationFunction=1,
                                      **window))
        unit = {"scale": 1 / 256, "zero": -128}
        for scale in (0.004, 0.1447, 0.9):
            with self.subTest("SOFTMAX", scale=scale):
                self.compare(self.one("SOFTMAX", (50, 12), (50, 12), "SoftmaxOptions", beta=1.0, y_q=unit,
                                      x_q={"scale": scale, "zero": 14}), runs=2)

    def test_int8_tables_are_at_most_one_step_off(self):
        unit = {"scale": 1 / 256, "zero": -128}
        self.compare(self.one("LOGISTIC", (500,), (500,), version=1, y_q=unit), off_by=1)
        self.compare(self.one("TANH", (500,), (500,), version=1, y_q={"scale": 1 / 128, "zero": 0}), off_by=1)
        self.compare(self.one("MEAN", (1, 6, 5, 4), (1, 4), "ReducerOptions", extra=([1, 2],), keepDims=False,
                              y_q=self.quantised()), off_by=1)

    def test_what_only_moves_is_exact(self):
        shape = (1, 4, 6, 8)
        cases = {
            "PAD": self.one("PAD", shape, (1, 7, 7, 8), "PadOptions", extra=([[0, 0], [1, 2], [0, 1], [0, 0]],)),
            "TRANSPOSE": self.one("TRANSPOSE", shape, (1, 8, 4, 6), "TransposeOptions", extra=([0, 3, 1, 2],)),
            "STRIDED_SLICE": self.one("STRIDED_SLICE", shape, (1, 2, 8), "StridedSliceOptions", 2,
                                      extra=([0, 1, 0, 0], [1, 2, 6, 8], [1, 1, 3, 1]), shrinkAxisMask=2),
            "SLICE": self.one("SLICE", shape, (1, 2, 3, 8), "SliceOptions", extra=([0, 1, 2, 0], [1, 2, 3, -1])),
            "RESHAPE": self.one("RESHAPE", shape, (4, 48), "ReshapeOptions", 1, extra=([4, -1],), newShape=[4, -1]),
            "SPACE_TO_DEPTH": self.one("SPACE_TO_DEPTH", shape, (1, 2, 3, 32), "SpaceToDepthOptions", 1, blockSize=2),
            "DEPTH_TO_SPACE": self.one("DEPTH_TO_SPACE", shape, (1, 8, 12, 2), "DepthToSpaceOptions", 1, blockSize=2),
            "RESIZE_NEAREST_NEIGHBOR": self.one("RESIZE_NEAREST_NEIGHBOR", shape, (1, 9, 5, 8),
                                                "ResizeNearestNeighborOptions", extra=([9, 5],)),
        }
        for name, model in cases.items():
            with self.subTest(name):
                self.compare(model)

    def test_float_operators_are_what_litert_says(self):
        shape = (2, 4, 6, 8)
        for name in ("LOGISTIC", "TANH", "RELU6", "RELU", "ABS", "COS", "SIN", "NEG", "HARD_SWISH", "SQUARE", "FLOOR",
                     "EXP"):
            with self.subTest(name):
                self.compare(self.one(name, shape, shape, version=1, kind="float32"), tolerance=1e-5)
        cases = {
            "MEAN": self.one("MEAN", shape, (2, 1, 1, 8), "ReducerOptions", 1, extra=([1, 2],), keepDims=True,
                             kind="float32"),
            "SUM": self.one("SUM", shape, (2, 4, 8), "ReducerOptions", 1, extra=([2],), keepDims=False, kind="float32"),
            "SOFTMAX": self.one("SOFTMAX", (4, 9), (4, 9), "SoftmaxOptions", 1, beta=0.5, kind="float32"),
            "RESIZE_BILINEAR": self.one("RESIZE_BILINEAR", shape, (2, 9, 5, 8), "ResizeBilinearOptions", 1,
                                        extra=([9, 5],), halfPixelCenters=True, kind="float32"),
            "RESIZE_BILINEAR align": self.one("RESIZE_BILINEAR", shape, (2, 9, 5, 8), "ResizeBilinearOptions", 1,
                                              extra=([9, 5],), alignCorners=True, kind="float32"),
        }
        for name, model in cases.items():
            with self.subTest(name):
                self.compare(model, tolerance=1e-5)

    def test_sparse_weights_are_what_litert_says(self):
        self.compare((ROOT / "fuzz/corpus/tflite_import/sparse").read_bytes(), tolerance=1e-6)

    def test_what_a_streaming_model_keeps_is_an_input_and_an_output(self):
        schema = tflite_models.schema
        model = tflite_models.Model()
        x = model.tensor("x", "float32", (1, 3))
        handle, before, after = (model.tensor(name, "float32", shape) for name, shape in
                                 (("handle", ()), ("before", (1, 3)), ("after", (1, 3))))
        model.graph.tensors[handle].type = schema.TensorType.RESOURCE
        model.add("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1)
        model.add("VAR_HANDLE", [], [handle], "VarHandleOptions", sharedName="sum")
        model.add("READ_VARIABLE", [handle], [before], "ReadVariableOptions")
        model.add("ADD", [before, x], [after], "AddOptions")
        model.add("ASSIGN_VARIABLE", [handle, after], [], "AssignVariableOptions")
        first, main = schema.SubGraphT(), model.graph
        first.name, first.tensors, first.operators, first.inputs, first.outputs = "first", [], [], [], []
        model.graph = first
        begin_handle = model.tensor("handle", "float32", ())
        first.tensors[begin_handle].type = schema.TensorType.RESOURCE
        zeros = model.constant("zeros", np.zeros((1, 3), "f4"))
        model.add("VAR_HANDLE", [], [begin_handle], "VarHandleOptions", sharedName="sum")
        model.add("ASSIGN_VARIABLE", [begin_handle, zeros], [], "AssignVariableOptions")
        model.made.subgraphs.append(first)
        model.graph = main
        content = model.content([x], [after])
        path = self.directory / "model.tflite"
        path.write_bytes(content)
        interpreter = litert.Interpreter(model_content=content,
                                         experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
        interpreter.allocate_tensors()
        state = np.zeros((1, 3), "f4")
        for _ in range(3):
            value = self.random.normal(size=(1, 3)).astype("f4")
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
            interpreter.invoke()
            theirs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
            ours = self.ours(path, ["x", "sum"], [value, state])
            np.testing.assert_array_equal(ours["after"], theirs)
            state = ours["sum_next"]

    def compare_runs(self, content, shape, states, tolerance=1e-5):
        """Three runs, of which each sees what the one before has kept."""
        path = self.directory / "model.tflite"
        path.write_bytes(content)
        interpreter = litert.Interpreter(model_content=content,
                                         experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
        interpreter.allocate_tensors()
        kept = {name: np.zeros(size, "f4") for name, size in states.items()}
        for _ in range(3):
            value = self.random.normal(size=shape).astype("f4")
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
            interpreter.invoke()
            theirs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
            ours = self.ours(path, ["x", *kept], [value, *kept.values()])
            np.testing.assert_allclose(ours["y"], theirs, rtol=1e-5, atol=tolerance)
            kept = {name: ours[f"{name}_next"] for name in kept}

    def test_recurrent_layers_are_what_litert_says_run_after_run(self):
        batch, steps, inner, units = 2, 5, 3, 4

        def weights(model, name, *shape):
            return model.constant(name, (self.random.normal(size=shape) * 0.7).astype("f4"))

        for coupled, peepholes, projected, norms in itertools.product((False, True), repeat=4):
            with self.subTest("LSTM", coupled=coupled, peepholes=peepholes, projected=projected, norms=norms):
                model = tflite_models.Model()
                shown = 3 if projected else units
                x, y = model.tensor("x", "float32", (batch, steps, inner)), model.tensor("y", "float32", (batch, steps, shown))
                of_gates = lambda name, *shape: [-1 if coupled and i == 0 else weights(model, f"{name}{i}", *shape) for i in range(4)]
                inputs = [x, *of_gates("w", units, inner), *of_gates("r", units, shown)]
                inputs += [weights(model, f"p{i}", units) if peepholes and not (coupled and i == 0) else -1 for i in range(3)]
                inputs += of_gates("b", units)
                inputs += [weights(model, "projection", shown, units), weights(model, "projection_bias", shown)] if projected else [-1, -1]
                inputs += [model.variable("hidden", (batch, shown)), model.variable("cell", (batch, units))]
                inputs += of_gates("n", units) if norms else [-1] * 4
                model.add("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [y], "UnidirectionalSequenceLSTMOptions", fusedActivationFunction=4,
                          cellClip=0.9, projClip=0.5 if projected else 0.0)
                self.compare_runs(model.content([x], [y]), (batch, steps, inner), {"hidden": (batch, shown), "cell": (batch, units)})
        for time_major in (False, True):
            ends = [(steps, batch, size) if time_major else (batch, steps, size) for size in (inner, units)]
            for clip in (0.0, 0.4):
                with self.subTest("LSTM", time_major=time_major, clip=clip):
                    model = tflite_models.Model()
                    x, y = model.tensor("x", "float32", ends[0]), model.tensor("y", "float32", ends[1])
                    gates = [weights(model, f"w{i}", units, inner) for i in range(4)]
                    gates += [weights(model, f"r{i}", units, units) for i in range(4)]
                    gates += [-1] * 3 + [weights(model, f"b{i}", units) for i in range(4)] + [-1] * 2
                    state = [model.variable(name, (batch, units)) for name in ("hidden", "cell")]
                    model.add("UNIDIRECTIONAL_SEQUENCE_LSTM", [x, *gates, *state, *[-1] * 4], [y],
                              "UnidirectionalSequenceLSTMOptions", fusedActivationFunction=4, cellClip=clip, timeMajor=time_major)
                    self.compare_runs(model.content([x], [y]), ends[0], {"hidden": (batch, units), "cell": (batch, units)})
            with self.subTest("RNN", time_major=time_major):
                model = tflite_models.Model()
                x, y = model.tensor("x", "float32", ends[0]), model.tensor("y", "float32", ends[1])
                parts = [weights(model, "w", units, inner), weights(model, "r", units, units), weights(model, "b", units)]
                model.add("UNIDIRECTIONAL_SEQUENCE_RNN", [x, *parts, model.variable("hidden", (batch, units))], [y],
                          "SequenceRNNOptions", fusedActivationFunction=4, timeMajor=time_major)
                self.compare_runs(model.content([x], [y]), ends[0], {"hidden": (batch, units)})
        with self.subTest("LSTM whose weights are of 8 bits"):  # LiteRT rounds what goes in and what it keeps, too
            model = tflite_models.Model()
            x, y = model.tensor("x", "float32", (batch, steps, inner)), model.tensor("y", "float32", (batch, steps, units))
            gates = [model.constant(f"w{i}", self.random.integers(-127, 128, (units, inner if i < 4 else units)).astype("i1"), scale=0.01)
                     for i in range(8)]
            gates += [-1] * 3 + [weights(model, f"b{i}", units) for i in range(4)] + [-1] * 2
            state = [model.variable(name, (batch, units)) for name in ("hidden", "cell")]
            model.add("UNIDIRECTIONAL_SEQUENCE_LSTM", [x, *gates, *state, *[-1] * 4], [y], "UnidirectionalSequenceLSTMOptions",
                      fusedActivationFunction=4)
            self.compare_runs(model.content([x], [y]), (batch, steps, inner), {"hidden": (batch, units), "cell": (batch, units)}, 0.03)
        with self.subTest("SVDF"):
            rank, memory = 2, 6
            model = tflite_models.Model()
            x, y = model.tensor("x", "float32", (batch, inner)), model.tensor("y", "float32", (batch, units))
            parts = [weights(model, "w", units * rank, inner), weights(model, "t", units * rank, memory), weights(model, "b", units)]
            kept = (batch, units * rank * memory)
            model.add("SVDF", [x, *parts, model.variable("state", kept)], [y], "SVDFOptions", rank=rank, fusedActivationFunction=1)
            self.compare_runs(model.content([x], [y]), (batch, inner), {"state": kept})

    def integer_lstm(self, coupled, peepholes, projected, norms, sizes=(2, 5, 3, 4), kind="int8"):
        """As converters write one with 8-bit weights and activations and a 16-bit cell."""
        batch, steps, inner, units = sizes
        # LiteRT (lstm_eval.cc) takes as many peepholes as there are results, whatever the number of cells.
        shown = 3 if projected and not peepholes else units
        model = tflite_models.Model()
        seen = {"scale": 1 / 32, "zero": 3}
        result = {"scale": 1 / 128, "zero": -5}
        if kind == "int16":
            seen, result = {"scale": 1 / 8192}, {"scale": 1 / 32768}
        x = model.tensor("x", kind, (batch, steps, inner), **seen)
        y = model.tensor("y", kind, (batch, steps, shown), **result)
        count = itertools.count()

        def weights(*shape, scale=1 / 100, kind="int8", limit=127):
            return model.constant(f"c{next(count)}", self.random.integers(-limit, limit + 1, shape).astype(kind), scale=scale)

        def of_gates(*shape, **more):
            return [-1 if coupled and i == 0 else weights(*shape, **more) for i in range(4)]

        inputs = [x, *of_gates(units, inner), *of_gates(units, shown)]
        inputs += [weights(units, scale=2.0 ** -15, kind="int16", limit=30000) if peepholes and not (coupled and i == 0) else -1
                   for i in range(3)]
        norm_scale = 1 / 8192
        bias_scale = norm_scale / 1024 if norms else 1 / 32 / 100
        inputs += of_gates(units, scale=bias_scale, kind="int32", limit=int(0.5 / bias_scale))
        hidden = {"scale": 1 / 120, "zero": 2} if projected else result
        inputs += ([weights(shown, units), weights(shown, scale=1 / 120 / 100, kind="int32", limit=2000)] if projected else [-1, -1])
        inputs += [model.variable("hidden", (batch, shown), kind, **result),
                   model.variable("cell", (batch, units), "int16", scale=2.0 ** -11)]
        inputs += of_gates(units, scale=norm_scale, kind="int16", limit=12000) if norms else [-1] * 4
        intermediates = [model.tensor(f"i{i}", "int16", (), scale=1 / 4096) for i in range(4)]
        intermediates.append(model.tensor("i4", "int8", (), **hidden))
        model.add("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [y], "UnidirectionalSequenceLSTMOptions", intermediates=intermediates,
                  fusedActivationFunction=4, cellClip=0.0, projClip=0.0)
        return model.content([x], [y]), {"hidden": (batch, shown), "cell": (batch, units)}

    def test_integer_lstms_are_what_litert_says(self):
        """At most three steps off in any element, and one in ten off at all, over three runs of five steps. The cell has 16 bits,
        and LiteRT's activations of it are off by two steps of 2^-15."""
        path = self.directory / "model.tflite"
        apart = []
        for variant in itertools.product((False, True), repeat=4):
            content, states = self.integer_lstm(*variant)
            path.write_bytes(content)
            interpreter = litert.Interpreter(model_content=content,
                                             experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
            interpreter.allocate_tensors()
            kept = {name: np.zeros(size, "f4") for name, size in states.items()}
            for _ in range(3):
                value = self.random.integers(-128, 128, (2, 5, 3)).astype("i1")
                interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
                interpreter.invoke()
                theirs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).astype(int)
                ours = self.ours(path, ["x", *kept], [value, *kept.values()])
                steps = np.abs(ours["y"].astype(int) - theirs)
                self.assertLessEqual(steps.max(), 3, variant)
                self.assertGreater(theirs.std(), 5)
                apart.extend((steps > 0).ravel())
                kept = {name: ours[f"{name}_next"] for name in kept}
        self.assertLess(np.mean(apart), 0.1)
        # Integers of other widths have no kernel in LiteRT, so there is nothing that they would have to be.
        wide = self.integer_lstm(False, False, False, False, kind="int16")[0]
        path.write_bytes(wide)
        with self.assertRaises(RuntimeError):
            litert.Interpreter(model_content=wide).allocate_tensors()
        refused = subprocess.run([BIN / "skerry", "model", "inspect", path], capture_output=True, text=True, check=False)
        self.assertIn("its results are neither floats nor INT8", refused.stderr)

    def test_steps_of_recurrent_layers_are_limited(self):
        """A few kilobytes would become any number of operators."""
        content = self.integer_lstm(False, True, True, True, sizes=(1, 1024, 2, 2))[0]
        made = tflite_models.schema.ModelT.InitFromPackedBuf(content, 0)
        [graph] = made.subgraphs
        [first] = graph.operators
        for number in range(2):
            again = copy.copy(first)
            graph.tensors.append(copy.copy(graph.tensors[first.outputs[0]]))
            graph.tensors[-1].name = f"y{number}"
            again.outputs = [len(graph.tensors) - 1]
            graph.operators.append(again)
        graph.outputs = [operator.outputs[0] for operator in graph.operators]
        model = tflite_models.Model()
        model.made, model.graph = made, graph
        path = self.directory / "model.tflite"
        path.write_bytes(model.content(graph.inputs, graph.outputs))
        refused = subprocess.run([BIN / "skerry", "model", "inspect", path], capture_output=True, text=True, check=False)
        self.assertEqual(1, refused.returncode)
        self.assertIn("the model becomes too many operators", refused.stderr)

    def test_operators_that_are_not_supported_are_named(self):
        path = self.directory / "model.tflite"
        path.write_bytes(self.one("SEGMENT_SUM", (4,), (4,), extra=([0, 0, 1, 1],), kind="float32"))
        done = subprocess.run([BIN / "skerry", "model", "inspect", path], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("SEGMENT_SUM 'y'", done.stderr)


if __name__ == "__main__":
    unittest.main()
