"""skerry model inspect|run|diff|convert on whole models; stock ONNX Runtime says what they compute.

    graph_test.py BIN_DIRECTORY CACHE_DIRECTORY
"""

import functools
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import onnxruntime

import commands
from commands import BIN, CACHE, ROOT
import make_models as onnx  # writes ONNX byte by byte

skerry = functools.partial(commands.skerry, "model")
SILERO = CACHE / "silero-vad"
VECTORS = pathlib.Path("/usr/share/libonnx-testdata/data")
onnxruntime.set_default_logger_severity(4)  # it says much of models that are odd on purpose


def attribute(name, value):
    """Of a node: int, float, str, or a list of them."""
    head = onnx.message(1, name)
    if isinstance(value, int):
        return onnx.message(5, head, onnx.number(3, value), onnx.number(20, 2))
    if isinstance(value, float):
        return onnx.message(5, head, onnx.varint(2 << 3 | 5) + struct.pack("<f", value), onnx.number(20, 1))
    if isinstance(value, str):
        return onnx.message(5, head, onnx.message(4, value), onnx.number(20, 3))
    if isinstance(value[0], float):
        return onnx.message(5, head, onnx.message(7, struct.pack(f"<{len(value)}f", *value)), onnx.number(20, 6))
    if isinstance(value[0], int):
        return onnx.message(5, head, *(onnx.number(8, v & 2**64 - 1) for v in value), onnx.number(20, 7))
    return onnx.message(5, head, *(onnx.message(9, v) for v in value), onnx.number(20, 8))


def ml_node(op, inputs, outputs, **attributes):
    parts = [*(onnx.message(1, i) for i in inputs), *(onnx.message(2, o) for o in outputs), onnx.message(4, op),
             *(attribute(name, value) for name, value in attributes.items()), onnx.message(7, "ai.onnx.ml")]
    return onnx.message(1, *parts)


def ml_model(*graph):
    return onnx.model(*graph) + onnx.message(8, onnx.message(1, "ai.onnx.ml"), onnx.number(2, 3))


class Models(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="skerry-graph-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.random = np.random.default_rng(7)

    def write(self, content, name="model.onnx"):
        path = self.directory / name
        path.write_bytes(content)
        return path

    def ours(self, model, inputs):
        """The outputs of `skerry model run`."""
        data, out = self.directory / "in", self.directory / "out"
        for folder in (data, out):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for name, value in inputs.items():
            np.save(data / f"{name}.npy", value)
        skerry("run", model, "--data", data, "--out", out)
        return {path.stem: np.load(path) if path.suffix == ".npy" else np.array(path.read_text().splitlines(), object)
                for path in out.iterdir()}

    def compare(self, model, inputs, tolerance=1e-5):
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        ours = self.ours(model, inputs)
        for name, theirs in zip(names, session.run(names, inputs)):
            self.assertEqual(ours[name.replace("/", "_")].shape, theirs.shape)
            if np.issubdtype(theirs.dtype, np.floating):
                np.testing.assert_allclose(ours[name.replace("/", "_")], theirs, rtol=tolerance, atol=tolerance)
            else:
                np.testing.assert_array_equal(ours[name.replace("/", "_")], theirs)

    def test_silero_vad_is_what_onnx_runtime_says(self):
        for rate, window in ((16000, 576), (8000, 288)):
            for _ in range(5):
                inputs = {"input": self.random.normal(size=(2, window)).astype("f4") * 0.1,
                          "state": self.random.normal(size=(2, 2, 128)).astype("f4"), "sr": np.array(rate, "i8")}
                self.compare(SILERO / "silero_vad.onnx", inputs)

    def test_classic_models_are_what_onnx_runtime_says(self):
        x = self.random.normal(size=(40, 3)).astype("f4")
        trees = dict(nodes_treeids=[0, 0, 0, 1, 1, 1], nodes_nodeids=[0, 1, 2, 0, 1, 2],
                     nodes_featureids=[0, 0, 0, 2, 0, 0], nodes_values=[0.1, 0.0, 0.0, -0.2, 0.0, 0.0],
                     nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_GT", "LEAF", "LEAF"],
                     nodes_truenodeids=[1, 0, 0, 1, 0, 0], nodes_falsenodeids=[2, 0, 0, 2, 0, 0])
        ends = (onnx.value(11, "x", onnx.FLOAT, ["n", 3]), onnx.value(12, "y", onnx.FLOAT, ["n", 1]))
        classes = (ends[0], onnx.value(12, "label", onnx.INT64, ["n"]), onnx.value(12, "scores", onnx.FLOAT, ["n", 2]))
        leaves = dict(treeids=[0, 0, 1, 1], nodeids=[1, 2, 1, 2])
        models = {
            "tree regressor": ml_model(ml_node(
                "TreeEnsembleRegressor", ["x"], ["y"], **trees, target_ids=[0] * 4, target_weights=[1.0, -2.0, 0.5, 3.0],
                n_targets=1, base_values=[0.25], **{f"target_{k}": v for k, v in leaves.items()}), *ends),
            "binary trees": ml_model(ml_node(
                "TreeEnsembleClassifier", ["x"], ["label", "scores"], **trees, class_ids=[1] * 4,
                class_weights=[1.0, -2.0, 0.5, 1.5], classlabels_int64s=[3, 9], post_transform="LOGISTIC",
                **{f"class_{k}": v for k, v in leaves.items()}), *classes),
            "binary trees of the first class": ml_model(ml_node(
                "TreeEnsembleClassifier", ["x"], ["label", "scores"], **trees, class_ids=[0] * 4,
                class_weights=[1.0, -2.0, 0.5, 1.5], classlabels_int64s=[3, 9], post_transform="LOGISTIC",
                **{f"class_{k}": v for k, v in leaves.items()}), *classes),
            "binary trees of probabilities": ml_model(ml_node(
                "TreeEnsembleClassifier", ["x"], ["label", "scores"], **trees, class_ids=[0] * 4,
                class_weights=[0.1, 0.2, 0.5, 0.25], classlabels_int64s=[3, 9],
                **{f"class_{k}": v for k, v in leaves.items()}), *classes),
            "trees of three classes": ml_model(ml_node(
                "TreeEnsembleClassifier", ["x"], ["label", "scores"], **trees, class_ids=[0, 1, 2, 0],
                class_weights=[1.0, 2.0, 0.5, 1.5], classlabels_int64s=[3, 9, 4], post_transform="SOFTMAX",
                **{f"class_{k}": v for k, v in leaves.items()}), ends[0],
                onnx.value(12, "label", onnx.INT64, ["n"]), onnx.value(12, "scores", onnx.FLOAT, ["n", 3])),
            "scaled linear classifier": ml_model(
                ml_node("Scaler", ["x"], ["s"], offset=[0.5, -0.5, 0.0], scale=[2.0, 1.0, 0.25]),
                ml_node("LinearClassifier", ["s"], ["label", "scores"], coefficients=[1.0, 2.0, 3.0, -1.0, 0.5, 0.0],
                        intercepts=[0.5, -0.25], classlabels_ints=[4, 5], post_transform="SOFTMAX"), *classes),
            "linear regressor": ml_model(
                ml_node("Normalizer", ["x"], ["s"], norm="L2"),
                ml_node("LinearRegressor", ["s"], ["y"], coefficients=[1.0, 2.0, 3.0], intercepts=[0.5]), *ends),
        }
        for name, content in models.items():
            with self.subTest(name):
                self.compare(self.write(content), {"x": x})

    def test_pipelines_of_scikit_learn_are_what_onnx_runtime_says(self):
        models = sorted((ROOT / "src/graph/testdata/sklearn").glob("*.onnx"))
        self.assertGreaterEqual(len(models), 12)
        for model in models:
            with self.subTest(model.stem):
                rows = np.load(model.with_suffix(".npy"))
                tolerance = 5e-3 if model.stem == "clusters" else 1e-5  # distances that are differences of squares
                session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
                theirs = session.run(None, {"X": rows})
                ours = list(self.ours(model, {"X": rows}).values())
                for expected in theirs:
                    if isinstance(expected, list):  # of maps, which are a tensor here
                        expected = np.array([list(row.values()) for row in expected], "f4")
                    same = [value.shape == expected.shape and (
                        np.array_equal(value, expected) if object in (value.dtype, expected.dtype)
                        else np.allclose(value, expected, rtol=1e-4, atol=tolerance)) for value in ours]
                    self.assertIn(True, same)
                self.compare_copies_of(model, rows)

    def compare_copies_of(self, model, rows):
        copy = onnxruntime.InferenceSession(str(self.converted(model)), providers=["CPUExecutionProvider"])
        names = [output.name for output in copy.get_outputs()]
        ours = self.ours(model, {"X": rows})
        for name, value in zip(names, copy.run(names, {"X": rows})):
            if value.dtype != object:
                np.testing.assert_allclose(ours[name], value, rtol=1e-3, atol=5e-3)

    def converted(self, model, *options):
        """Written as ONNX again; stock ONNX Runtime gives what it gave for the original."""
        copy = self.directory / "copy.onnx"
        skerry("convert", model, copy, *options)
        return copy

    @staticmethod
    def made_up(session, random):
        inputs = {}
        for spec in session.get_inputs():
            shape = [size if isinstance(size, int) else 1 for size in spec.shape]
            kind = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(float16)": "f2", "tensor(int64)": "i8",
                    "tensor(int32)": "i4", "tensor(int8)": "i1", "tensor(uint8)": "u1", "tensor(bool)": "?"}[spec.type]
            whole = np.dtype(kind).kind != "f"
            inputs[spec.name] = (random.integers(0, 2, shape) if whole else random.normal(size=shape)).astype(kind)
        return inputs

    def compare_copies(self, model, inputs=None, options=()):
        copy = self.converted(model, *options)
        sessions = [onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (model, copy)]
        inputs = inputs or self.made_up(sessions[0], self.random)
        for theirs, ours in zip(*(session.run(None, inputs) for session in sessions)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)

    def test_what_is_exported_runs_in_onnx_runtime_as_before(self):
        state = self.random.normal(size=(2, 1, 128)).astype("f4")
        sound = self.random.normal(size=(1, 576)).astype("f4") * 0.1
        inputs = {"input": sound, "state": state, "sr": np.array(16000, "i8")}
        self.compare_copies(SILERO / "silero_vad.onnx", inputs)
        self.compare_copies(SILERO / "silero_vad.onnx", inputs, ["--external-data", "--opset", "22"])
        self.assertTrue((self.directory / "copy.onnx.data").exists())
        # In text and back.
        skerry("convert", SILERO / "silero_vad.onnx", self.directory / "vad.graph")
        self.compare_copies(SILERO / "silero_vad.onnx", inputs)
        copy = self.converted(self.directory / "vad.graph")
        self.compare(copy, inputs)

    def test_converted_vectors_run_in_onnx_runtime_as_before(self):
        if not VECTORS.exists():
            self.skipTest("libonnx-testdata is not installed: run ./dev setup")
        ran = 0
        every = 1 if "SKERRY_EVERY_VECTOR" in os.environ else 12
        models = sorted([*VECTORS.glob("node/*/model.onnx"), *VECTORS.glob("simple/*/model.onnx"),
                         *VECTORS.glob("pytorch-*/*/model.onnx")])
        for model in models[::every]:
            with self.subTest(model.parent.name):
                copy = self.directory / "copy.onnx"
                copy.unlink(missing_ok=True)
                done = subprocess.run([BIN / "skerry", "model", "convert", model, copy], capture_output=True, check=False)
                try:
                    sessions = [onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])]
                    inputs = self.made_up(sessions[0], self.random)
                    theirs = sessions[0].run(None, inputs)
                except Exception:  # what stock ONNX Runtime itself does not run
                    continue
                if done.returncode != 0:
                    continue  # not imported: src/graph/testdata/onnx_vectors.txt says why
                session = onnxruntime.InferenceSession(str(copy), providers=["CPUExecutionProvider"])
                for a, b in zip(theirs, session.run(None, inputs)):
                    if np.issubdtype(np.asarray(a).dtype, np.number):
                        np.testing.assert_allclose(b, a, rtol=2e-3, atol=1e-4)
                    else:
                        np.testing.assert_array_equal(b, a)
                ran += 1
        self.assertGreaterEqual(ran, 600 // every)

    def test_operators_of_onnx_runtimes_quantiser_are_at_most_one_step_off(self):
        scales = "const %s = FP32[] {{0.05}} const %z = {0}[] {{3}} const %t = FP32[] {{0.07}} const %u = {0}[] {{{1}}}"
        image, row = "[2,4,5,6]", "[3,8]"
        cases = {
            "QLinearAdd": (image, "QLinearAdd(%x, %s, %z, %x, %t, %u, %t, %z)"),
            "QLinearMul": (image, "QLinearMul(%x, %s, %z, %x, %t, %u, %t, %z)"),
            "QLinearAveragePool": (image, "QLinearAveragePool(%x, %s, %z, %t, %u) {kernel_shape=[2, 3], strides=[1, 2]}"),
            "QLinearGlobalAveragePool": (image, "QLinearGlobalAveragePool(%x, %s, %z, %t, %u)"),
            "QLinearSigmoid": (image, "QLinearSigmoid(%x, %s, %z, %t, %u)"),
            "QLinearLeakyRelu": (image, "QLinearLeakyRelu(%x, %s, %z, %t, %u) {alpha=0.25f}"),
            "QLinearSoftmax": (row, "QLinearSoftmax(%x, %s, %z, %t, %u) {axis=-1, opset=13}"),
            "QGemm": (row, "QGemm(%x, %s, %z, %w, %t, %u, %b, %s, %z) {transB=1}"),
        }
        for kind, dtype, zero in (("INT8", "i1", -5), ("UINT8", "u1", 131)):
            for name, (shape, call) in cases.items():
                with self.subTest(name, kind=kind):
                    numbers = ", ".join(str(n) for n in self.random.integers(0, 120, 16))
                    text = (f'graph "one" {{ input %x: {kind}{shape} {scales.format(kind, zero)} '
                            f"const %w = {kind}[2,8] {{{numbers}}} const %b = INT32[2] {{-7, 900}} %y = {call} return %y }}")
                    model = self.directory / "one.onnx"
                    skerry("convert", self.write(text.encode(), "one.graph"), model)
                    x = self.random.integers(*((-128, 128) if kind == "INT8" else (0, 256)), json.loads(shape), dtype)
                    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
                    theirs = session.run(None, {"x": x})[0]
                    ours = self.ours(model, {"x": x})["y"]
                    self.assertEqual(ours.dtype, theirs.dtype)
                    self.assertLessEqual(np.abs(ours.astype("i4") - theirs.astype("i4")).max(), 1)

    def test_attention_is_what_onnx_runtime_says_and_so_are_its_parts(self):
        apart = "input %q: FP32[2,4,3,8] input %k: FP32[2,4,5,8] input %v: FP32[2,4,5,6] "
        shared = "input %q: FP32[2,4,3,8] input %k: FP32[2,2,5,8] input %v: FP32[2,2,5,8] "
        beside = "input %q: FP32[2,3,32] input %k: FP32[2,5,16] input %v: FP32[2,5,12] "
        square = "input %q: FP32[2,4,3,8] input %k: FP32[2,4,3,8] input %v: FP32[2,4,3,8] "
        past = "input %pk: FP32[2,2,2,8] input %pv: FP32[2,2,2,8] "
        one, all_four = "%y = Attention", "%y, %keys, %values, %scores = Attention"
        cases = {
            "plain": (apart, one, "(%q, %k, %v)"),
            "scale and mask": (apart + "input %m: FP32[3,5]", one, "(%q, %k, %v, %m) {scale=0.3f}"),
            "mask of heads": (apart + "input %m: FP32[4,3,5]", one, "(%q, %k, %v, %m)"),
            "choosing mask": (apart + "input %m: BOOL[2,1,3,5]", one, "(%q, %k, %v, %m)"),
            "constant mask": (square + "const %m = BOOL[3,3] {1, 0, 1, 0, 0, 0, 1, 1, 1}", one,
                              "(%q, %k, %v, %m)"),
            "causal": (apart, one, "(%q, %k, %v) {is_causal=1}"),
            "causal and mask": (apart + "input %m: FP32[2,4,3,5]", one, "(%q, %k, %v, %m) {is_causal=1}"),
            "capped": (apart + "input %m: FP32[3,5]", one, "(%q, %k, %v, %m) {softcap=0.7f}"),
            "shared heads": (shared, one, "(%q, %k, %v)"),
            "beside": (beside, one, "(%q, %k, %v) {q_num_heads=4, kv_num_heads=2}"),
            "one head": ("input %q: FP32[2,3,8] input %k: FP32[2,5,8] input %v: FP32[2,5,8]", one,
                         "(%q, %k, %v) {q_num_heads=1, kv_num_heads=1}"),
            **{f"past, stage {stage}": (shared + past + "input %m: FP32[3,7]", all_four,
                                        f"(%q, %k, %v, %m, %pk, %pv) {{is_causal=1, softcap=2f, qk_matmul_output_mode={stage}}}")
               for stage in range(4)},
            "beside, past": (beside.replace("12", "16") + past, all_four,
                             "(%q, %k, %v, _, %pk, %pv) {q_num_heads=4, kv_num_heads=2, is_causal=1}"),
        }
        for name, (ends, call, rest) in cases.items():
            with self.subTest(name):
                text = self.write(f'graph "one" {{ {ends} {call}{rest} return {call.split(" = ")[0]} }}'.encode(), "one.graph")
                new, old = self.directory / "new.onnx", self.directory / "old.onnx"
                skerry("convert", text, new)
                skerry("convert", text, old, "--opset", "21")
                self.assertIn("Attention", skerry("inspect", new, "--json").stdout)
                self.assertNotIn("Attention", skerry("inspect", old, "--json").stdout)
                sessions = [onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (new, old)]
                inputs = self.made_up(sessions[0], self.random)
                if name == "choosing mask":
                    inputs["m"][1, 0, 1] = False  # a query that may look at nothing
                names = [output.name for output in sessions[0].get_outputs()]
                theirs, parts = (session.run(names, inputs) for session in sessions)
                ours = self.ours(new, inputs)
                for output, wanted, old_value in zip(names, theirs, parts):
                    if output == "scores":  # of keys that are masked ONNX Runtime shows the lowest number
                        wanted = np.where(wanted <= np.finfo("f4").min, -np.inf, wanted)
                    np.testing.assert_allclose(ours[output], wanted, rtol=1e-4, atol=1e-5)
                    np.testing.assert_allclose(old_value, wanted, rtol=1e-4, atol=1e-5)

    def test_inspect_counts(self):
        if not VECTORS.exists():
            self.skipTest("libonnx-testdata is not installed: run ./dev setup")
        model = VECTORS / "pytorch-operator/test_operator_conv/model.onnx"
        answer = json.loads(skerry("inspect", model, "--json").stdout)
        self.assertEqual(answer["operators"], {"Conv": 1})
        self.assertEqual(answer["macs"], 20 * 13 * 48 * 38 * 16 * 9)
        self.assertEqual(answer["parameters"], 13 * 16 * 9)
        picture = self.directory / "conv.svg"
        self.assertIn("Conv", skerry("inspect", model, "--svg", picture).stdout)
        self.assertTrue(picture.read_text().startswith("<svg"))
        self.assertIn("%2: FP32[20,13,48,38] = Conv(%0, %1)", skerry("inspect", model, "--text").stdout)

    def test_operators_that_are_not_supported_are_named(self):
        graph = onnx.node("Nothing", ["x"], ["a"]) + onnx.node("Relu", ["a"], ["b"]) + onnx.node("Never", ["b"], ["y"])
        model = self.write(onnx.model(graph, onnx.value(11, "x", onnx.FLOAT, [2]), onnx.value(12, "y", onnx.FLOAT, [2])))
        said = skerry("inspect", model, code=1).stderr
        self.assertIn("Nothing 'a'", said)
        self.assertIn("Never 'y'", said)
        self.assertNotIn("Relu", said)

    def test_diff_names_the_first_layer_that_differs(self):
        a = self.write(onnx.affine(2.0), "a.onnx")
        b = self.write(onnx.affine(2.5), "b.onnx")
        skerry("diff", a, a, "--random")
        done = skerry("diff", a, b, "--random", "--json", code=1)
        self.assertEqual(json.loads(done.stdout)["firstDivergent"], "scaled")
        self.assertIn("'scaled' (Mul)", done.stderr)
        skerry("diff", a, b, "--random", "--tolerance", "0.5")

    def test_inputs_that_do_not_fit_are_refused(self):
        model = self.write(onnx.affine(2.0))
        np.save(self.directory / "x.npy", np.zeros((1, 3), "f4"))
        self.assertIn("expected FP32[-1,2]", skerry("run", model, "--input", self.directory / "x.npy", code=1).stderr)
        self.assertIn("--random", skerry("run", model, code=1).stderr)
        (self.directory / "x.npy").write_bytes(b"not an array")
        self.assertIn("no .npy file", skerry("run", model, "--input", self.directory / "x.npy", code=1).stderr)

    @unittest.skipIf("SKERRY_SANITIZED" in os.environ, "sanitizers take memory for themselves")
    def test_a_model_of_25_mb_takes_less_than_three_times_its_size(self):
        rows = self.random.normal(size=(1024, 6400)).astype("f4")
        weights = onnx.message(5, onnx.number(1, 1024), onnx.number(1, 6400), onnx.number(2, onnx.FLOAT),
                               onnx.message(8, "w"), onnx.varint(9 << 3 | 2) + onnx.varint(rows.nbytes) + rows.tobytes())
        model = self.write(onnx.model(onnx.node("MatMul", ["x", "w"], ["y"]), weights,
                                      onnx.value(11, "x", onnx.FLOAT, [1, 1024]),
                                      onnx.value(12, "y", onnx.FLOAT, [1, 6400])))
        small = self.peak_kb(self.write(onnx.affine(1.0), "small.onnx"))
        size_kb = model.stat().st_size // 1024
        self.assertLess(self.peak_kb(model) - small, 3 * size_kb)

    @staticmethod
    def peak_kb(model):
        pid = os.posix_spawn(BIN / "skerry", ["skerry", "model", "inspect", str(model)], os.environ,
                             file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
        _, status, usage = os.wait4(pid, 0)
        assert status == 0
        return usage.ru_maxrss


if __name__ == "__main__":
    unittest.main()
