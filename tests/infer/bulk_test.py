"""skerry infer bulk against the real skerry-infer: every item once, in order, whatever is killed meanwhile.

    bulk_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import numpy

from infer_server import DEADLINE_S, PROGRAM, Server, affine_package, null_package, tensor

SKERRY = pathlib.Path(PROGRAM).parent / "skerry"


class BulkTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-infer-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.out = self.dir / "out.jsonl"
        self.server = self.start()

    def start(self):
        server = Server(self.dir, "--state", self.dir / "state.json")
        self.addCleanup(server.stop, signal.SIGKILL)
        return server

    def load(self, name, package):
        result = self.server.load(name, package)
        self.assertEqual(result.returncode, 0, result.stderr)

    def command(self, model, source, *options, out=None):
        return [SKERRY, "infer", "bulk", model, "--in", source, "--out", out or self.out, "--socket", self.server.socket,
                *options]

    def bulk(self, model, source, *options, code=0, **more):
        result = subprocess.run(self.command(model, source, "--json", *options, **more), capture_output=True, text=True,
                                timeout=2 * DEADLINE_S, check=False)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return json.loads(result.stdout) if result.stdout.strip() else result.stderr

    def lines(self):
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def values(self, output="y"):
        return [next(each["data"] for each in line["outputs"] if each["name"] == output) for line in self.lines()]

    def rows(self, count):
        rows = numpy.arange(2 * count, dtype=numpy.float32).reshape(count, 2)
        numpy.save(self.dir / "rows.npy", rows)
        return self.dir / "rows.npy", (rows * 2 + 1).tolist()

    def affine(self):
        self.load("affine", affine_package(self.dir / "affine", "1", "double.onnx"))


class Inputs(BulkTest):
    def test_rows_of_an_array(self):
        self.affine()
        source, expected = self.rows(1000)
        for rows in ("1", "7", "5000"):
            self.out.unlink(missing_ok=True)
            summary = self.bulk("affine", source, "--rows", rows)
            self.assertEqual((summary["items"], summary["resumed"], summary["failed"]), (1000, 0, 0))
            self.assertEqual(self.values(), expected)
            self.assertEqual([line["item"] for line in self.lines()], [str(i) for i in range(1000)])
        self.assertEqual(self.lines()[3], {"item": "3", "model": "affine", "version": "1",
                                           "outputs": [tensor("y", "FP32", [1, 2]) | {"data": [13, 15]}]})

    def test_lines_of_json_and_numbers(self):
        self.affine()
        (self.dir / "in.jsonl").write_text('{"x": [[1, 2]]}\n\n[3, 4]\n{"x": [5, 6]}')
        self.bulk("affine", self.dir / "in.jsonl")
        self.assertEqual(self.values(), [[3, 5], [7, 9], [11, 13]])
        self.out.unlink()
        (self.dir / "in.csv").write_text("left,right\r\n1,2\r\n3,4\r\n")
        self.bulk("affine", self.dir / "in.csv")
        self.assertEqual(self.values(), [[3, 5], [7, 9]])

    def test_files_of_a_folder(self):
        self.affine()
        folder = self.dir / "in"
        folder.mkdir()
        numpy.save(folder / "b.npy", numpy.array([[1, 2], [3, 4]], numpy.float32))
        numpy.save(folder / "a.npy", numpy.array([5, 6], numpy.float32))
        (folder / "c.json").write_text('{"x": [[7, 8]]}')
        (folder / ".hidden").write_text("")
        self.bulk("affine", folder)
        self.assertEqual([(line["item"], value) for line, value in zip(self.lines(), self.values())],
                         [("a.npy", [11, 13]), ("b.npy", [3, 5, 7, 9]), ("c.json", [15, 17])])

    def test_strings_and_a_fixed_batch(self):
        self.load("text", null_package(self.dir / "text", "text", "BYTES", [-1]))
        (self.dir / "in.jsonl").write_text('["one", "zwölf"]\n{"x": []}\n')
        self.bulk("text", self.dir / "in.jsonl")
        self.assertEqual(self.values(), [["one", "zwölf"], []])
        self.out.unlink()
        self.load("one", null_package(self.dir / "one", "one", "FP32", [1, 2]))
        source, _ = self.rows(5)
        self.bulk("one", source)
        self.assertEqual(self.values(), [[2 * i, 2 * i + 1] for i in range(5)])

    def test_nothing(self):
        self.affine()
        (self.dir / "in.jsonl").write_text("")
        self.assertEqual(self.bulk("affine", self.dir / "in.jsonl")["items"], 0)
        self.assertEqual(self.lines(), [])

    def test_items_that_fail_have_their_reason(self):
        self.affine()
        (self.dir / "in.jsonl").write_text('[1, 2]\n[1, 2, 3]\n{"z": 1}\n[[1], [2, 3]]\nno json\n[3, 4]\n')
        summary = self.bulk("affine", self.dir / "in.jsonl", code=1)
        self.assertEqual((summary["items"], summary["failed"]), (6, 4))
        lines = self.lines()
        self.assertEqual(["error" in line for line in lines], [False, True, True, True, True, False])
        self.assertIn("expected FP32[-1,2]", lines[1]["error"])
        self.assertIn("no input 'z'", lines[2]["error"])
        self.assertIn("different lengths", lines[3]["error"])
        # It is done: the second run changes nothing, and says the same.
        text = self.out.read_text()
        self.assertEqual(self.bulk("affine", self.dir / "in.jsonl", code=1)["resumed"], 6)
        self.assertEqual(self.out.read_text(), text)


class Interruptions(BulkTest):
    def test_a_killed_job_goes_on(self):
        self.affine()
        source, expected = self.rows(3000)
        kills = 0
        while True:
            before = self.out.stat().st_size if self.out.exists() else 0
            job = subprocess.Popen(self.command("affine", source, "--rows", "3"), stdout=subprocess.DEVNULL)
            deadline = time.monotonic() + DEADLINE_S
            while job.poll() is None and (not self.out.exists() or self.out.stat().st_size < before + 40_000):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.001)
            if job.poll() is not None:
                break
            job.kill()
            job.wait()
            kills += 1
            if kills % 2:  # a line that was being written
                with self.out.open("ab") as out:
                    out.write(b'{"item":"1","mod')
        self.assertEqual(job.returncode, 0)
        self.assertGreater(kills, 3)
        self.assertEqual([line["item"] for line in self.lines()], [str(i) for i in range(3000)])
        self.assertEqual(self.values(), expected)

    def test_a_killed_server_is_waited_for(self):
        self.affine()
        source, expected = self.rows(3000)
        job = subprocess.Popen(self.command("affine", source, "--rows", "1"), stdout=subprocess.DEVNULL)
        self.addCleanup(job.wait)
        self.addCleanup(job.kill)
        deadline = time.monotonic() + DEADLINE_S
        while not self.out.exists() or self.out.stat().st_size < 10_000:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.001)
        self.server.stop(signal.SIGKILL)
        self.assertIsNone(job.poll())
        self.server = self.start()
        self.assertEqual(job.wait(2 * DEADLINE_S), 0)
        self.assertEqual(self.values(), expected)

    def test_a_full_queue_is_waited_for(self):
        self.server.stop()
        self.server = Server(self.dir, "--max-queue", "0", "--threads", "1")
        self.addCleanup(self.server.stop, signal.SIGKILL)
        slow = null_package(self.dir / "slow", "slow", "FP32", [-1, 2])
        self.load("slow", slow)
        source, _ = self.rows(60)
        self.bulk("slow", source, "--rows", "1", "--connections", "8")
        self.assertEqual(self.values(), [[2 * i, 2 * i + 1] for i in range(60)])

    def test_only_one_job_writes_and_only_its_own_lines(self):
        self.affine()
        self.load("text", null_package(self.dir / "text", "text", "FP32", [-1, 2]))
        source, _ = self.rows(10)
        self.bulk("affine", source)
        self.assertIn("is of another model", self.bulk("text", source, code=1))
        other = self.dir / "in.jsonl"
        other.write_text("[1, 2]\n")
        self.assertIn("that the input does not have", self.bulk("affine", other, code=1))
        foreign = self.dir / "notes.txt"
        foreign.write_text("my notes\n")
        self.assertIn("none of this command's", self.bulk("affine", source, code=1, out=foreign))
        self.assertEqual(foreign.read_text(), "my notes\n")
        os.remove(self.out)
        with self.out.open("ab") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assertIn("another job is writing it", self.bulk("affine", source, code=1))

    def test_what_is_not_there_is_said_at_once(self):
        source, _ = self.rows(1)
        self.assertIn("model 'none' is not loaded", self.bulk("none", source, code=1))
        self.affine()
        self.bulk("affine", self.dir / "none.npy", code=1)
        (self.dir / "in.txt").write_text("")
        self.assertIn("neither .npy", self.bulk("affine", self.dir / "in.txt", code=1))
        self.server.stop()
        self.bulk("affine", source, "--wait", "0", code=3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
