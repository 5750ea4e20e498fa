"""skerry model compile for other processors: whole networks under emulators, and the choice that a model for several
targets makes. Needs what `./dev setup cross` brings, and is skipped without.

    compile_cross_test.py BIN_DIRECTORY CACHE_DIRECTORY
"""

import functools
import json
import pathlib
import runpy
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import commands
from commands import CACHE, ROOT

sys.path.insert(0, str(ROOT / "bench/models"))
import make_networks  # noqa: E402

MACHINES = {"cortex-a53": "aarch64", "cortex-a76": "aarch64", "riscv64": "riscv64"}  # one for each kind of kernels
SPARSE = runpy.run_path(str(ROOT / "bench/sparse/run"))
skerry = functools.partial(commands.skerry, "model")
EXAMPLE = ROOT / "examples/compiled_model/self_check.c"
TOOLS = ("aarch64-linux-gnu-g++", "riscv64-linux-gnu-g++", "qemu-aarch64", "qemu-riscv64", "qemu-x86_64")
SKIPPED = 77


class Cross(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="skerry-cross-test-", dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.networks = list(make_networks.write_all(cls.directory))

    def test_networks_compute_what_they_should_on_every_target(self):
        emulators = {"cortex-a53": "qemu-aarch64", "cortex-a72": "qemu-aarch64", "cortex-a76": "qemu-aarch64",
                     "neoverse-n1": "qemu-aarch64", "riscv64": "qemu-riscv64"}
        for path in self.networks:
            for target, emulator in emulators.items():
                with self.subTest(path.stem, target=target):
                    out = self.directory / "out.so"
                    report = json.loads(skerry("compile", path, "--target", target, "-o", out, "--json").stdout)
                    self.assertEqual(report["checked"], f"equal to the reference executor's results, under {emulator}")

    def test_a_stream_on_other_processors(self):
        """A recurrent net over windows, its state kept by the artifact, through the example in C++: near what an artifact of
        this machine computes."""
        silero = CACHE / "silero-vad/silero_vad_16k_op15.onnx"
        interface = ["--shape", "input=1,576", "--value", "sr=16000", "--state", "state=stateN"]
        windows = np.random.default_rng(3).normal(size=(6, 576), scale=0.1).astype("f4")
        given = b"".join(window.tobytes() + np.int64(16000).tobytes() for window in windows)

        def probabilities(target, compiler, emulator):
            artifact, program = self.directory / f"{target}.so", self.directory / f"{target}-run"
            skerry("compile", silero, *interface, "--target", target, "-o", artifact)
            subprocess.run([compiler, "-std=c++20", f"-I{ROOT}/include", ROOT / "examples/compiled_model/run.cc", artifact,
                            "-o", program], check=True, timeout=120)
            done = subprocess.run([*emulator, program], input=given, check=True, capture_output=True, timeout=120)
            return np.frombuffer(done.stdout, "f4")

        here = probabilities("x86-64-v2", "g++", [])
        self.assertEqual(here.shape, (6,))
        for target, machine in MACHINES.items():
            with self.subTest(target):
                emulator = [f"qemu-{machine}", "-L", f"/usr/{machine}-linux-gnu"]
                there = probabilities(target, f"{machine}-linux-gnu-g++", emulator)
                np.testing.assert_allclose(there, here, atol=1e-5)

    def test_sparse_products_on_other_processors(self):
        for precision in ("fp32", "int8"):
            model = self.directory / f"sparse-{precision}.onnx"
            model.write_bytes(SPARSE["pointwise"](SPARSE["Sparse"](1, SPARSE["blocks"](0.95, 1, 4), precision == "int8")))
            for target, machine in MACHINES.items():
                with self.subTest(precision, target=target):
                    report = json.loads(skerry("compile", model, "--target", target, "-o", self.directory / "out.so",
                                               "--json").stdout)
                    self.assertEqual(report["checked"], f"equal to the reference executor's results, under qemu-{machine}")
                    self.assertTrue(any(step["kernel"].startswith("sparse") for step in report["steps"]))

    def test_a_model_for_several_targets_takes_the_best_that_runs(self):
        arm = ["-L", "/usr/aarch64-linux-gnu"]
        cases = {"cortex-a72,cortex-a76": ("aarch64-linux-gnu-gcc", ["qemu-aarch64", *arm], {
            "cortex-a53": "cortex-a72", "cortex-a76": "cortex-a76", "max": "cortex-a76"}),
                 "x86-64-v2,x86-64-v3": ("gcc", ["qemu-x86_64"], {"Nehalem": "x86-64-v2", "max": "x86-64-v3"})}
        model = next(path for path in self.networks if path.stem == "ds_cnn_int8")
        for targets, (compiler, emulator, chosen) in cases.items():
            artifact, program = self.directory / "fat.so", self.directory / "program"
            skerry("compile", model, "--target", targets, "-o", artifact)
            subprocess.run([compiler, f"-I{ROOT}/include", EXAMPLE, artifact, "-o", program], check=True, timeout=60)
            for processor, target in chosen.items():
                with self.subTest(processor):
                    done = subprocess.run([emulator[0], "-cpu", processor, *emulator[1:], program], check=False,
                                          capture_output=True, text=True, timeout=60)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertIn(f"for {target} by", done.stdout)
                    self.assertIn("right", done.stdout)


if __name__ == "__main__":
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print(f"no {', '.join(missing)}: ./dev setup cross")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
