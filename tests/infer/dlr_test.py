"""Models compiled by SageMaker Neo behind the real skerry-infer: the vendor's own Python package as oracle, and
folders that mean no good.

    dlr_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import hashlib
import json
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import numpy
import onnxruntime
import tritonclient.http as triton

from infer_server import CACHE, DEADLINE_S, PROGRAM, SOURCE, Server, tensor

LIBRARY = CACHE / "dlr/dlr/libdlr.so"
KERNELS = pathlib.Path(PROGRAM).parent / "dlr_testdata/kernels.so"
MAKE = runpy.run_path(str(SOURCE / "src/runtime/testdata/make_dlr.py"))
sys.path.append(str(CACHE / "dlr"))
import dlr  # noqa: E402

sys.path.insert(0, str(SOURCE / "bench/models"))
import make_networks  # noqa: E402

INPUTS, OUTPUTS = [tensor("data", "FP32", [1, 16])], [tensor("logits", "FP32", [1, 4])]


def neo_folder(directory, seed=1, kernels=KERNELS, device="cpu"):
    """A classifier of two dense layers, as Neo leaves it: weights apart from the code."""
    random = numpy.random.default_rng(seed)
    shapes = {"p0": [8, 16], "p1": [8], "p2": [4, 8], "p3": [4]}
    weights = {name: (shape, random.standard_normal(shape).astype("f4").ravel().tolist())
               for name, shape in shapes.items()}
    argument, call = MAKE["argument"], MAKE["call"]
    nodes = [argument("data"), argument("p0"), argument("p1"), call("hidden", "fused_dense_relu", 0, 1, 2),
             argument("p2"), argument("p3"), call("dense", "fused_dense", 3, 4, 5)]
    graph = MAKE["graph"](nodes, ["float32"] * 7, [[1, 16], [8, 16], [8], [1, 8], [4, 8], [4], [1, 4]], [6])
    directory.mkdir(parents=True)
    (directory / "compiled_model.json").write_text(json.dumps(graph))
    (directory / "compiled.params").write_bytes(MAKE["params"](weights))
    (directory / "compiled.meta").write_text(json.dumps(MAKE["meta"](["logits"], device)))
    shutil.copy(kernels, directory / "compiled.so")
    return directory


class Dlr(unittest.TestCase):
    def start(self, library=LIBRARY, *options):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-infer-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.server = Server(self.dir, "--runtime", f"dlr={library}", *options)
        self.addCleanup(self.server.stop, signal.SIGKILL)
        client = triton.InferenceServerClient(self.server.url, network_timeout=DEADLINE_S)
        self.addCleanup(client.close)
        return client

    def load(self, name, folder, version="1", inputs=INPUTS, outputs=OUTPUTS):
        """Loads a folder of Neo, of which a model.json makes a package."""
        digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()
                   if file.name != "model.json"}
        manifest = {"format": 1, "name": name, "version": version, "runtime": "dlr", "file": "compiled_model.json",
                    "sha256": digests.pop("compiled_model.json"), "files": digests, "inputs": inputs,
                    "outputs": outputs}
        (folder / "model.json").write_text(json.dumps(manifest))
        return self.server.load(name, folder)

    def infer(self, client, model, x):
        data = triton.InferInput("data", [1, 16], "FP32")
        data.set_data_from_numpy(x)
        return client.infer(model, [data]).as_numpy("logits")

    def assert_as_the_vendor(self, client, model, folder):
        # Its package takes the one .json of a folder; ours stands in another one.
        alone = self.dir / f"oracle-{folder.name}"
        shutil.copytree(folder, alone, ignore=shutil.ignore_patterns("model.json"))
        oracle = dlr.DLRModel(str(alone), "cpu", 0)
        self.assertEqual(oracle.get_output_names(), ["logits"])
        random = numpy.random.default_rng(7)
        winners = set()
        for _ in range(50):
            x = random.standard_normal((1, 16)).astype("f4")
            got = self.infer(client, model, x)
            numpy.testing.assert_array_equal(got, oracle.run({"data": x})[0])
            winners.add(int(got.argmax()))
        self.assertGreater(len(winners), 1)  # the inputs tell something apart

    def test_same_numbers_as_the_vendors_package(self):
        client = self.start()
        folder = neo_folder(self.dir / "first")
        loaded = self.load("classifier", folder)
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        self.assert_as_the_vendor(client, "classifier", folder)

    def test_what_skerry_compiles_has_the_numbers_of_onnx_runtime(self):
        """From the command line to a stock client: compiled for DLR, loaded by its library, asked over HTTP."""
        client = self.start()
        network = make_networks.Network(5, quantised=False)
        model, folder = self.dir / "net.onnx", self.dir / "net-neo"
        model.write_bytes(make_networks.autoencoder(network))
        subprocess.run([pathlib.Path(PROGRAM).parent / "skerry", "model", "compile", model, "--format", "dlr", "-o", folder],
                       check=True, timeout=300, stdout=subprocess.DEVNULL)
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        [given], [made] = session.get_inputs(), session.get_outputs()
        loaded = self.load("net", folder, inputs=[tensor(given.name, "FP32", given.shape)],
                           outputs=[tensor(made.name, "FP32", made.shape)])
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        random = numpy.random.default_rng(11)
        for _ in range(20):
            x = random.standard_normal(given.shape).astype("f4")
            data = triton.InferInput(given.name, given.shape, "FP32")
            data.set_data_from_numpy(x)
            got = client.infer("net", [data]).as_numpy(made.name)
            want = session.run(None, {given.name: x})[0]
            self.assertGreater(want.std(), 0.01)
            numpy.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * abs(want).max())

    def test_a_new_version_computes_otherwise(self):
        client = self.start()
        for seed in (1, 2, 3):
            folder = neo_folder(self.dir / f"v{seed}", seed)
            loaded = self.load("classifier", folder, str(seed))
            self.assertEqual(loaded.returncode, 0, loaded.stderr)
            self.assert_as_the_vendor(client, "classifier", folder)

    def test_a_library_that_is_not_there_names_its_component(self):
        self.start("/nowhere/libdlr.so")
        refused = self.load("classifier", neo_folder(self.dir / "first"))
        self.assertEqual(refused.returncode, 1)
        self.assertIn("deploy skerry.runtime.Dlr, which brings it", refused.stderr)

    def own_kernels(self, text):
        source, library = self.dir / "own.c", self.dir / "own.so"
        source.write_text(text)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        return library

    def test_what_means_no_good_is_refused_and_nobody_else_notices(self):
        client = self.start()
        good = neo_folder(self.dir / "good")
        self.assertEqual(self.load("good", good).returncode, 0)
        dies = self.own_kernels("__attribute__((constructor)) static void die(void) { __builtin_trap(); }")
        refused = self.load("dies", neo_folder(self.dir / "dies", kernels=dies))
        self.assertIn("took down the process that tried it", refused.stderr)
        wild = self.own_kernels("int fused_dense() { return *(volatile int*)8; } int fused_dense_relu() { return 0; }")
        refused = self.load("wild", neo_folder(self.dir / "wild", kernels=wild))
        self.assertIn("took down the process that tried it", refused.stderr)
        refused = self.load("gpu", neo_folder(self.dir / "gpu", device="gpu"))
        self.assertIn("compiled for 'gpu'", refused.stderr)
        for file in ("compiled.params", "compiled.so", "compiled_model.json"):
            for size in (0, 1, 60, 300):
                with self.subTest(file=file, cut_to=size):
                    folder = neo_folder(self.dir / f"{file}{size}")
                    (folder / file).write_bytes((folder / file).read_bytes()[:size])
                    refused = self.load("cut", folder)
                    self.assertEqual(refused.returncode, 1)
                    self.assertNotIn("took down", refused.stderr)
        folder = neo_folder(self.dir / "changed")
        self.assertEqual(self.load("changed", folder).returncode, 0)
        shutil.copy(wild, folder / "compiled.so")
        refused = self.server.load("changed", folder)
        self.assertIn("has SHA-256", refused.stderr)
        self.assert_as_the_vendor(client, "good", good)


if __name__ == "__main__":
    unittest.main(verbosity=2)
