"""Runtimes of others: given when the service starts, or brought by a component later, against the real skerry-infer.

    runtimes_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import json
import pathlib
import shutil
import signal
import subprocess
import unittest
import urllib.request

import hostile_test
from hostile_test import AFFINE
from infer_server import CACHE, DEADLINE_S, PROGRAM, affine_package, tensor, write_package


class Runtimes(hostile_test.HostileTest):
    def test_a_runtime_of_ones_own(self):
        self.server.stop()
        library = pathlib.Path(PROGRAM).parent / "libcopy_runtime.so"
        self.server = self.start("--runtime", f"copy={library}")
        self.load("copy", write_package(self.dir / "copy", "copy", "1", "copy", b"x y 10 -1\nend\n",
                                        [tensor("x", "FP32", [-1])], [tensor("y", "FP32", [-1])]))
        status, answer = self.infer("copy", {"inputs": [tensor("x", "FP32", [2]) | {"data": [1, 2.5]}]})
        self.assertEqual((status, answer["outputs"][0]["data"]), (200, [1, 2.5]))
        config = self.call("GET", "/v2/models/copy/config")[1]
        self.assertEqual(config["parameters"]["thread_safe"], {"string_value": "true"})

    def copy_package(self, name, **more):
        return write_package(self.dir / name, name, "1", "copy", b"x y 10 -1\nend\n",
                             [tensor("x", "FP32", [-1])], [tensor("y", "FP32", [-1])], **more)

    def own_library(self, name="libcopy_runtime.so", source="libcopy_runtime.so"):
        library = self.dir / name
        shutil.copy(pathlib.Path(PROGRAM).parent / source, library)
        library.chmod(0o644)
        return library

    def runtime(self, *arguments):
        return self.server.command("runtime", *arguments)

    def test_a_runtime_that_comes_later_is_known_after_a_restart(self):
        state = ("--state", str(self.dir / "models.json"))
        self.server.stop()
        self.server = self.start(*state)
        package = self.copy_package("copy", runtime_component="com.example.CopyRuntime")
        refused = self.server.load("copy", package)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("deploy com.example.CopyRuntime, which brings it", refused.stderr)

        library = self.own_library()
        added = self.runtime("add", "copy", library, "--component", "com.example.CopyRuntime")
        self.assertEqual(added.returncode, 0, added.stderr)
        self.assertEqual(added.stdout, "copy 1.0.0 is registered\n")
        self.load("copy", package)
        request = {"inputs": [tensor("x", "FP32", [2]) | {"data": [1, 2.5]}]}
        self.assertEqual(self.infer("copy", request)[1]["outputs"][0]["data"], [1, 2.5])

        self.server.stop(signal.SIGKILL)
        self.server = self.start(*state)
        self.assertEqual(self.infer("copy", request)[1]["outputs"][0]["data"], [1, 2.5])
        [row] = [row for row in json.loads(self.runtime("list", "--json").stdout) if row["name"] == "copy"]
        self.assertEqual((row["version"], row["component"], row["models"], row["registered"], row["reason"]),
                         ("1.0.0", "com.example.CopyRuntime", ["copy"], True, ""))

        # What it holds is said by the runtime, and measured.
        [stats] = self.call("GET", "/v2/models/copy/stats")[1]["model_stats"]
        self.assertGreater(stats["counted_memory_bytes"], 0)
        with urllib.request.urlopen(f"http://{self.server.url}/metrics", timeout=DEADLINE_S) as page:
            metrics = page.read().decode()
        self.assertIn('skerry_model_counted_memory_bytes{model="copy",version="1"}', metrics)
        self.assertIn('skerry_runtime_memory_bytes{runtime="copy",version="1.0.0"}', metrics)

        # Gone: what is served stays, what comes is refused, and says what to do.
        library.unlink()
        refused = self.server.load("again", self.copy_package("again"))
        self.assertIn("deploy com.example.CopyRuntime", refused.stderr)
        self.assertEqual(self.runtime("remove", "copy").returncode, 0)
        self.assertEqual(self.infer("copy", request)[0], 200)
        self.assertEqual(self.runtime("remove", "copy").returncode, 1)

    def test_no_other_code_comes_in(self):
        library = self.own_library()
        cases = [(("copy", self.dir), "not a regular file"), (("copy", "/dev/zero"), "not a regular file"),
                 (("copy", self.dir / "absent.so"), "No such file"), (("null", library), "built in"),
                 (("onnxruntime", library), "given by skerry-infer's option"), (("a b", library), "no name of a runtime"),
                 (("another", library), "brings runtime 'copy', not 'another'"),
                 (("copy", library, "--component", "../x"), "component name")]
        (self.dir / "text.so").write_text("no library")
        (self.dir / "text.so").chmod(0o644)
        cases.append((("copy", self.dir / "text.so"), "cannot load the runtime"))
        source = self.dir / "dies.c"
        source.write_text("__attribute__((constructor)) static void die(void) { __builtin_trap(); }")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.dir / "dies.so", source], check=True)
        (self.dir / "dies.so").chmod(0o755)
        cases.append((("copy", self.dir / "dies.so"), "took down the process that tried it"))
        for arguments, said in cases:
            with self.subTest(said):
                done = self.runtime("add", *arguments)
                self.assertEqual(done.returncode, 1)
                self.assertIn(said, done.stderr)
        library.chmod(0o666)
        self.assertIn("can be written by others", self.runtime("add", "copy", library).stderr)
        # Code is not for who can only send requests.
        for method, path in (("GET", "/v2/repository/runtimes"), ("POST", "/v2/repository/runtimes/copy/add"),
                             ("POST", "/v2/repository/runtimes/copy/remove")):
            self.assertEqual(self.call(method, path, "{}" if method == "POST" else None)[0], 403)
        self.assertEqual(self.call("GET", "/v2/health/live")[0], 200)

    def test_a_library_that_never_opens_is_given_up_at_the_end(self):
        source = self.dir / "hangs.c"
        source.write_text("__attribute__((constructor)) static void hang(void) { for (;;) __asm__ volatile(\"\"); }")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.dir / "hangs.so", source], check=True)
        (self.dir / "hangs.so").chmod(0o755)
        waiting = subprocess.Popen([PROGRAM, "runtime", "add", "--socket", self.server.socket, "copy",
                                    self.dir / "hangs.so"], stderr=subprocess.DEVNULL)
        self.addCleanup(waiting.wait)
        self.addCleanup(waiting.kill)
        self.load("affine", affine_package(self.dir / "affine", "1", "double.onnx"))
        self.assertEqual(self.infer("affine", AFFINE)[0], 200)
        self.server.process.send_signal(signal.SIGTERM)
        self.server.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.process.wait(DEADLINE_S), 0)

    def test_the_list_says_what_each_can_do(self):
        library = f"onnxruntime={CACHE}/onnxruntime/lib/libonnxruntime.so"
        done = subprocess.run([PROGRAM, "runtimes", "--json", "--runtime", library], capture_output=True, text=True,
                              timeout=DEADLINE_S, check=True)
        rows = {row["name"]: row for row in json.loads(done.stdout)}
        self.assertEqual(rows["onnxruntime"]["formats"], ".onnx")
        self.assertEqual(rows["onnxruntime"]["component"], "skerry.runtime.OnnxRuntime")
        self.assertIs(rows["onnxruntime"]["capabilities"]["thread_safe"], True)
        self.assertIn("FP16", rows["onnxruntime"]["capabilities"]["types"])
        done = subprocess.run([PROGRAM, "runtimes"], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
        self.assertIn("thread_safe", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
