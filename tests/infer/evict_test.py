"""More models than fit into --memory-mb: with --evict all of them answer, and memory stays within it.

    evict_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import pathlib
import tempfile
import threading
import unittest

import numpy as np
import tritonclient.http as triton

from infer_server import CACHE, Server, tensor, write_package

MODEL = (CACHE / "silero-vad/silero_vad.onnx").read_bytes()
NAMES = ["vad-a", "vad-b", "vad-c", "vad-d"]


class Evict(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-evict-")
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)

    def start(self, *options):
        self.server = Server(self.directory, "--state", str(self.directory / "state.json"), *options)
        self.addCleanup(self.server.stop)
        self.client = triton.InferenceServerClient(self.server.url)
        self.addCleanup(self.client.close)

    def load(self, name):
        folder = self.directory / name
        if not folder.exists():
            write_package(folder, name, "1", "onnxruntime", MODEL,
                          [tensor("input", "FP32", [-1, 576]), tensor("state", "FP32", [2, -1, 128]), tensor("sr", "INT64", [])],
                          [tensor("output", "FP32", [-1, 1])], warmup={"sr": 16000})
        return self.server.load(name, folder)

    def ask(self, name, client=None):
        inputs = []
        for key, array in {"input": np.ones((1, 576), np.float32), "state": np.zeros((2, 1, 128), np.float32),
                           "sr": np.array(16000, np.int64)}.items():
            inputs.append(triton.InferInput(key, list(array.shape), "INT64" if key == "sr" else "FP32"))
            inputs[-1].set_data_from_numpy(array)
        return float((client or self.client).infer(name, inputs).as_numpy("output")[0, 0])

    def served(self):
        return {model["name"] for model in self.client.get_model_repository_index() if model["state"] == "READY"}

    def limit_for_two(self):
        self.start()
        self.assertEqual(self.load("vad-a").returncode, 0)
        [stats] = self.client.get_inference_statistics("vad-a")["model_stats"]
        self.server.stop()
        (self.directory / "state.json").unlink()
        return str(int(2.6 * stats["memory_usage"][0]["byte_size"]) >> 20)

    def test_all_answer_within_the_memory_of_two(self):
        limit = self.limit_for_two()
        self.start("--memory-mb", limit, "--evict")
        for name in NAMES:
            self.assertEqual(self.load(name).returncode, 0)
        self.assertEqual(self.served(), {"vad-c", "vad-d"})
        [want] = {self.ask(name) for name in NAMES}
        self.assertEqual(len(self.served()), 2)
        self.assertTrue(all(self.client.is_model_ready(name) for name in NAMES))
        self.assertEqual(self.client.get_model_metadata("vad-a")["name"], "vad-a")

        wrong = []

        def call(name):
            client = triton.InferenceServerClient(self.server.url)
            for _ in range(3):
                if self.ask(name, client) != want:
                    wrong.append(name)
            client.close()

        threads = [threading.Thread(target=call, args=[name]) for name in NAMES[:2] for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertLessEqual(len(self.served()), 2)

        # After a restart the state file still has all of them.
        self.server.stop()
        self.start("--memory-mb", limit, "--evict")
        self.assertEqual({self.ask(name) for name in NAMES}, {want})

    def test_without_the_option_it_is_refused(self):
        limit = self.limit_for_two()
        self.start("--memory-mb", limit)
        codes = [self.load(name).returncode for name in NAMES[:3]]
        self.assertEqual(codes, [0, 0, 1])


if __name__ == "__main__":
    unittest.main()
