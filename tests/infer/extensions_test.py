"""The protocol's extensions with the unmodified PyPI tritonclient, blocking and asyncio: system shared memory,
classification, compressed and chunked bodies, trace and log settings; and docs/openapi.yaml against all of it.

    extensions_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import asyncio
import gzip
import http.client
import json
import os
import pathlib
import re
import socket
import tempfile
import unittest
import zlib

import numpy
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
import tritonclient.utils.shared_memory as shm
import yaml
from tritonclient.utils import InferenceServerException

from infer_server import DEADLINE_S, SOURCE, Server, affine_package, null_package, tensor
from openapi import Description


class ExtensionTest(unittest.TestCase):
    options = ("--repository-over-tcp",)

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-infer-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.server = Server(self.dir, *self.options)
        self.addCleanup(self.server.stop)
        self.client = triton.InferenceServerClient(self.server.url, network_timeout=DEADLINE_S)
        self.addCleanup(self.client.close)

    def load(self, name, package):
        result = self.server.load(name, package)
        self.assertEqual(result.returncode, 0, result.stderr)

    def region(self, name, size):
        """A region of shared memory that the client makes with its own tools."""
        handle = shm.create_shared_memory_region(name, f"/skerry-{os.getpid()}-{name}", size, create_only=True)
        self.addCleanup(shm.destroy_shared_memory_region, handle)
        return handle

    @staticmethod
    def key(handle):
        return handle._shm_key


class SharedMemory(ExtensionTest):
    def setUp(self):
        super().setUp()
        self.load("affine", affine_package(self.dir / "p", "1", "double.onnx"))

    def infer(self, region_in="in", region_out="out", out_size=32, in_size=32):
        x = triton.InferInput("x", [4, 2], "FP32")
        x.set_shared_memory(region_in, in_size)
        y = triton.InferRequestedOutput("y")
        y.set_shared_memory(region_out, out_size, offset=8)
        return self.client.infer("affine", [x], outputs=[y])

    def test_inputs_and_outputs(self):
        given, taken = self.region("in", 32), self.region("out", 64)
        values = numpy.arange(8, dtype=numpy.float32).reshape(4, 2)
        shm.set_shared_memory_region(given, [values])
        self.client.register_system_shared_memory("in", self.key(given), 32)
        self.client.register_system_shared_memory("out", self.key(taken), 56, offset=8)
        rows = self.client.get_system_shared_memory_status()
        self.assertEqual({row["name"]: (row["key"], row["offset"], row["byte_size"]) for row in rows},
                         {"in": (self.key(given), 0, 32), "out": (self.key(taken), 8, 56)})
        result = self.infer()
        self.assertNotIn("data", result.get_output("y"))
        self.assertEqual(result.get_output("y")["parameters"],
                         {"binary_data_size": 0, "shared_memory_region": "out", "shared_memory_byte_size": 32, "shared_memory_offset": 8})
        numpy.testing.assert_array_equal(shm.get_contents_as_numpy(taken, numpy.float32, [4, 2], offset=16),
                                         values * 2 + 1)
        self.client.unregister_system_shared_memory("in")
        with self.assertRaisesRegex(InferenceServerException, "region 'in' is not registered"):
            self.infer()
        self.client.unregister_system_shared_memory()
        self.assertEqual(self.client.get_system_shared_memory_status(), [])

    def test_strings(self):
        self.load("text", null_package(self.dir / "text", "text", "BYTES", [-1]))
        words = numpy.array([b"one", b"", "drei".encode()], numpy.object_)
        given = triton.InferInput("x", [3], "BYTES")
        given.set_data_from_numpy(words)
        raw = given._get_binary_data()
        region = self.region("words", 256)
        shm.set_shared_memory_region(region, [numpy.frombuffer(raw, numpy.uint8)])
        self.client.register_system_shared_memory("words", self.key(region), 256)
        x = triton.InferInput("x", [3], "BYTES")
        x.set_shared_memory("words", len(raw))
        y = triton.InferRequestedOutput("y")
        y.set_shared_memory("words", 128, offset=128)
        result = self.client.infer("text", [x], outputs=[y])
        self.assertEqual(result.get_output("y")["parameters"]["shared_memory_byte_size"], len(raw))
        self.assertEqual(list(shm.get_contents_as_numpy(region, numpy.object_, [3], offset=128)), list(words))

    def test_hostile_sizes_are_refused(self):
        region = self.region("in", 4096)
        key = self.key(region)
        for offset, size in ((0, 4097), (4096, 1), (2**64 - 1, 1), (1, 2**64 - 1), (0, 0), (2**63, 2**63)):
            with self.assertRaises(InferenceServerException, msg=(offset, size)):
                self.client.register_system_shared_memory("in", key, size, offset=offset)
        for bad in ("/nothing-of-that-name", "../../etc/passwd", "", "/"):
            with self.assertRaises(InferenceServerException, msg=bad):
                self.client.register_system_shared_memory("in", bad, 8)
        self.client.register_system_shared_memory("in", key, 32)
        with self.assertRaisesRegex(InferenceServerException, "is registered already"):
            self.client.register_system_shared_memory("in", key, 32)
        self.client.register_system_shared_memory("out", key, 4096)
        for sizes in ({"in_size": 2**40}, {"in_size": 31}, {"in_size": 33}, {"out_size": 2**63}, {"out_size": 31}):
            with self.assertRaises(InferenceServerException, msg=sizes):
                self.infer(**sizes)
        self.infer()

    def test_an_object_that_shrinks_is_an_error_of_its_client(self):
        region = self.region("in", 4096)
        self.client.register_system_shared_memory("in", self.key(region), 32)
        self.client.register_system_shared_memory("out", self.key(region), 64)
        os.truncate("/dev/shm" + self.key(region), 8)
        for _ in range(3):
            with self.assertRaisesRegex(InferenceServerException, "has become shorter"):
                self.infer()
        os.truncate("/dev/shm" + self.key(region), 32)
        with self.assertRaisesRegex(InferenceServerException, "region 'out' has become shorter"):
            self.infer()
        os.truncate("/dev/shm" + self.key(region), 4096)
        self.infer()

    def test_an_object_may_go_before_its_region(self):
        region = self.region("in", 64)
        self.client.register_system_shared_memory("in", self.key(region), 64)
        self.client.register_system_shared_memory("out", self.key(region), 64)
        os.unlink("/dev/shm" + self.key(region))
        self.addCleanup(lambda: pathlib.Path("/dev/shm" + self.key(region)).touch())  # for the client's own unlink
        self.infer()

    def test_large_tensors(self):
        count = 4_000_000
        self.load("wide", null_package(self.dir / "wide", "wide", "FP32", [-1]))
        given, taken = self.region("in", 4 * count), self.region("out", 4 * count)
        values = numpy.arange(count, dtype=numpy.float32)
        shm.set_shared_memory_region(given, [values])
        self.client.register_system_shared_memory("in", self.key(given), 4 * count)
        self.client.register_system_shared_memory("out", self.key(taken), 4 * count)
        x = triton.InferInput("x", [count], "FP32")
        x.set_shared_memory("in", 4 * count)
        y = triton.InferRequestedOutput("y")
        y.set_shared_memory("out", 4 * count)
        self.client.infer("wide", [x], outputs=[y])
        numpy.testing.assert_array_equal(shm.get_contents_as_numpy(taken, numpy.float32, [count]), values)

    def test_no_gpu(self):
        self.assertEqual(self.client.get_cuda_shared_memory_status(), [])
        self.client.unregister_cuda_shared_memory()


class Requests(ExtensionTest):
    def setUp(self):
        super().setUp()
        self.load("echo", null_package(self.dir / "echo", "echo", "FP32", [-1, 3]))
        self.values = numpy.array([[0.25, 0.5, 0.125], [3, 2, 1]], numpy.float32)

    def inputs(self, values=None, binary=True):
        values = self.values if values is None else values
        x = triton.InferInput("x", list(values.shape), "FP32")
        x.set_data_from_numpy(values, binary_data=binary)
        return [x]

    def test_classification(self):
        for binary in (True, False):
            y = triton.InferRequestedOutput("y", binary_data=binary, class_count=2)
            best = self.client.infer("echo", self.inputs(), outputs=[y]).as_numpy("y")
            self.assertEqual([[entry if isinstance(entry, str) else entry.decode() for entry in row] for row in best],
                             [["0.500000:1", "0.250000:0"], ["3.000000:0", "2.000000:1"]])

    def test_compression_both_ways(self):
        values = numpy.ones([1000, 3], numpy.float32)
        for coding in ("gzip", "deflate"):
            for binary in (True, False):
                result = self.client.infer("echo", self.inputs(values, binary), request_compression_algorithm=coding,
                                           response_compression_algorithm=coding,
                                           outputs=[triton.InferRequestedOutput("y", binary_data=binary)])
                numpy.testing.assert_array_equal(result.as_numpy("y"), values)

    def test_priority_and_timeout(self):
        for priority in (0, 1, 2**63):
            result = self.client.infer("echo", self.inputs(), priority=priority, timeout=60_000_000)
            numpy.testing.assert_array_equal(result.as_numpy("y"), self.values)

    def test_sequences_are_refused_by_name(self):
        for sequence in (7, "mine"):
            with self.assertRaisesRegex(InferenceServerException, "'sequence_id' is not supported: models keep no state"):
                self.client.infer("echo", self.inputs(), sequence_id=sequence, sequence_start=True)

    def test_parameters_of_ones_own_are_let_pass(self):
        self.client.infer("echo", self.inputs(), parameters={"mine": 1, "yours": "x"})

    def test_chunked_and_compressed_bodies_of_other_clients(self):
        body = json.dumps({"inputs": [tensor("x", "FP32", [1, 3]) | {"data": [1, 2, 3]}]}).encode()
        for coding, encode in (("gzip", gzip.compress), ("deflate", zlib.compress), (None, bytes)):
            connection = http.client.HTTPConnection(self.server.url, timeout=DEADLINE_S)
            headers = {"Content-Encoding": coding} if coding else {}
            data = encode(body)
            connection.request("POST", "/v2/models/echo/infer", iter([data[:10], data[10:]]), headers,
                               encode_chunked=True)
            answer = connection.getresponse()
            self.assertEqual((answer.status, json.loads(answer.read())["outputs"][0]["data"]), (200, [1, 2, 3]))
            connection.close()
        connection = http.client.HTTPConnection(self.server.url, timeout=DEADLINE_S)
        connection.request("POST", "/v2/models/echo/infer", body, {"Content-Encoding": "gzip"})
        self.assertEqual(connection.getresponse().status, 400)
        connection.close()

    def test_expect_continue(self):
        body = json.dumps({"inputs": [tensor("x", "FP32", [1, 3]) | {"data": [1, 2, 3]}]}).encode()
        host, port = self.server.url.split(":")
        with socket.create_connection((host, int(port)), DEADLINE_S) as connection:
            connection.sendall(b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                               b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
            answer = connection.makefile("rb")
            self.assertEqual(answer.readline(), b"HTTP/1.1 100 Continue\r\n")
            self.assertEqual(answer.readline(), b"\r\n")
            connection.sendall(body)
            self.assertEqual(answer.readline(), b"HTTP/1.1 200 OK\r\n")
            answer.read()

    def test_asyncio(self):
        async def run():
            values = numpy.ones([1000, 3], numpy.float32)
            async with triton_aio.InferenceServerClient(self.server.url) as client:
                self.assertTrue(await client.is_server_live())
                self.assertTrue(await client.is_model_ready("echo"))
                self.assertEqual((await client.get_model_config("echo"))["name"], "echo")
                x = triton_aio.InferInput("x", [1000, 3], "FP32")
                x.set_data_from_numpy(values)
                answers = await asyncio.gather(*[
                    client.infer("echo", [x], request_compression_algorithm=coding,
                                 response_compression_algorithm=coding)
                    for coding in (None, "gzip", "deflate") for _ in range(20)])
                for answer in answers:
                    numpy.testing.assert_array_equal(answer.as_numpy("y"), values)
                with self.assertRaisesRegex(InferenceServerException, "is not loaded"):
                    await client.infer("other", [x])
                self.assertEqual((await client.get_trace_settings())["trace_level"], ["OFF"])
                await client.update_log_settings({"log_verbose_level": 0})
        asyncio.run(asyncio.wait_for(run(), DEADLINE_S))


class Versions(ExtensionTest):
    def call(self, version="", values=((5, 7),)):
        values = numpy.array(values, numpy.float32)
        x = triton.InferInput("x", list(values.shape), "FP32")
        x.set_data_from_numpy(values)
        result = self.client.infer("affine", [x], model_version=version)
        return result.get_response()["model_version"], result.as_numpy("y").tolist()

    def policy(self, *options):
        result = self.server.command("policy", "affine", "--json", *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_a_canary_beside_the_stable_version(self):
        self.load("affine", affine_package(self.dir / "2", "2", "double.onnx"))
        loaded = self.server.command("load", "affine", self.dir / "3", "--label", "canary")
        self.assertEqual(loaded.returncode, 1)  # there is no such folder yet
        affine_package(self.dir / "3", "3", "triple.onnx")
        loaded = self.server.command("load", "affine", self.dir / "3", "--label", "canary")
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        self.assertEqual(self.client.get_model_metadata("affine")["versions"], ["2", "3"])
        self.assertEqual(self.client.get_model_metadata("affine", "3")["versions"], ["3"])
        self.assertEqual({self.call()[0] for _ in range(20)}, {"2"})
        for version, expected in (("2", [[11, 15]]), ("3", [[16, 22]]), ("canary", [[16, 22]]), ("stable", [[11, 15]])):
            self.assertEqual(self.call(version)[1], expected)
        self.assertEqual(self.policy("--canary", "20")["canary_percent"], 20)
        answers = [self.call() for _ in range(50)]
        self.assertEqual(sum(version == "3" for version, _ in answers), 10)
        self.assertTrue(all(value == ([[16, 22]] if version == "3" else [[11, 15]]) for version, value in answers))
        counts = {row["version"]: row["inference_count"]
                  for row in self.client.get_inference_statistics()["model_stats"]}
        self.assertEqual(counts, {"2": 62, "3": 12})
        self.assertEqual(self.policy("--label", "stable=3", "--label", "canary=")["labels"], {"stable": "3"})
        self.assertEqual(self.call()[0], "3")
        with self.assertRaisesRegex(InferenceServerException, "serves version 3, not 2"):
            self.call("2")

    def test_requests_that_run_together(self):
        package = affine_package(self.dir / "p", "1", "double.onnx")
        manifest = json.loads((package / "model.json").read_text())
        (package / "model.json").write_text(json.dumps(manifest | {"batching": {"max_rows": 4, "max_delay_ms": 50}}))
        self.load("affine", package)
        config = self.client.get_model_config("affine")
        self.assertEqual((config["max_batch_size"], config["input"][0]["dims"]), (4, [2]))
        self.assertEqual(config["dynamic_batching"]["max_queue_delay_microseconds"], 50000)
        self.assertEqual(self.client.get_model_metadata("affine")["inputs"][0]["shape"], [-1, 2])

        async def run():
            async with triton_aio.InferenceServerClient(self.server.url) as client:
                async def one(value):
                    x = triton_aio.InferInput("x", [1, 2], "FP32")
                    x.set_data_from_numpy(numpy.array([[value, -value]], numpy.float32))
                    answer = await client.infer("affine", [x])
                    return answer.as_numpy("y").tolist()
                return await asyncio.gather(*[one(i) for i in range(40)])
        answers = asyncio.run(asyncio.wait_for(run(), DEADLINE_S))
        self.assertEqual(answers, [[[2 * i + 1, 1 - 2 * i]] for i in range(40)])
        (stats,) = self.client.get_inference_statistics("affine")["model_stats"]
        self.assertEqual(stats["inference_count"], 40)
        self.assertLess(stats["execution_count"], 40)
        self.assertEqual(sum(row["batch_size"] * row["compute_infer"]["count"] for row in stats["batch_stats"])
                         + stats["execution_count"] - sum(row["compute_infer"]["count"] for row in stats["batch_stats"]),
                         40)


class Settings(ExtensionTest):
    def test_trace_settings(self):
        self.load("echo", null_package(self.dir / "echo", "echo", "FP32", [1]))
        everybody = self.client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"], "trace_rate": "1"})
        self.assertEqual((everybody["trace_level"], everybody["trace_rate"]), (["TIMESTAMPS"], "1"))
        one = self.client.update_trace_settings("echo", {"trace_count": "3"})
        self.assertEqual((one["trace_rate"], one["trace_count"]), ("1", "3"))
        self.assertEqual(self.client.get_trace_settings()["trace_count"], "-1")
        self.assertEqual(self.client.update_trace_settings("echo", {"trace_count": None})["trace_count"], "-1")
        with self.assertRaisesRegex(InferenceServerException, "traces go to the log"):
            self.client.update_trace_settings(settings={"trace_file": "/tmp/x"})

    def test_log_settings(self):
        self.assertTrue(self.client.get_log_settings()["log_info"])
        changed = self.client.update_log_settings({"log_info": False})
        self.assertEqual((changed["log_info"], changed["log_warning"]), (False, True))
        with self.assertRaisesRegex(InferenceServerException, "log_file"):
            self.client.update_log_settings({"log_file": "/tmp/x"})


class Closed(ExtensionTest):
    options = ()

    def test_settings_are_for_those_who_can_open_the_socket(self):
        for change in (lambda: self.client.update_log_settings({"log_info": False}),
                       lambda: self.client.update_trace_settings(settings={"trace_rate": "1"}),
                       lambda: self.client.load_model("x"), lambda: self.client.unload_model("x")):
            with self.assertRaisesRegex(InferenceServerException, "through the Unix socket"):
                change()


class OpenApi(ExtensionTest):
    """docs/openapi.yaml says what the server does: every request of it is sent, every answer held to it."""

    def setUp(self):
        super().setUp()
        self.load("echo", null_package(self.dir / "echo", "echo", "FP32", [-1]))
        self.description = Description(yaml.safe_load((SOURCE / "docs/openapi.yaml").read_text()))
        self.object = self.region("object", 64)

    def send(self, method, path, body):
        connection = http.client.HTTPConnection(self.server.url, timeout=DEADLINE_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type"), answer.read()
        finally:
            connection.close()

    def test_every_operation(self):
        values = {"model": "echo", "version": "1", "region": "object", "runtime": "copy"}
        request = {"inputs": [tensor("x", "FP32", [2]) | {"data": [1, 2]}]}
        bodies = {"infer": request, "inferVersion": request,
                  "registerSystemSharedMemory": {"key": self.key(self.object), "byte_size": 64}}
        last = ["unregister", "unload"]  # what others need stays until the end
        operations = sorted(self.description.operations(),
                            key=lambda each: max((1 + i for i, word in enumerate(last) if word in each.name), default=0))
        self.assertGreater(len(operations), 25)
        for operation in operations:
            if operation.name == "systemSharedMemoryRegionStatus":
                self.send("POST", "/v2/systemsharedmemory/region/object/register", bodies["registerSystemSharedMemory"])
            if operation.name == "registerSystemSharedMemory":
                self.send("POST", "/v2/systemsharedmemory/unregister", None)
            body = bodies.get(operation.name, {} if operation.has_body else None)
            with self.subTest(operation.name):
                status, kind, text = self.send(operation.method, operation.path(values), body)
                self.assertEqual(operation.problems(status, kind, text), [])
                self.assertEqual(status, 403 if "untime" in operation.name or operation.name == "openRing"  # for the Unix socket alone
                                 else 404 if "rift" in operation.name  # its package brings no reference
                                 else 400 if "CudaSharedMemoryRegion" in operation.name
                                 or operation.name == "registerCudaSharedMemory" else 200, text)

    def test_errors_look_as_described(self):
        values = {"model": "none", "version": "9", "region": "none", "runtime": "none"}
        for operation in self.description.operations():
            with self.subTest(operation.name):
                body = [] if operation.has_body else None
                status, kind, text = self.send(operation.method, operation.path(values), body)
                self.assertEqual(operation.problems(status, kind, text), [])

    def test_nothing_is_served_that_is_not_described(self):
        described = {(each.method, each.template.strip("/")) for each in self.description.operations()}
        source = (SOURCE / "src/serve/http_api.cc").read_text()
        served = set()
        for method, path in re.findall(r'\{"([A-Z]+)",\s+"([^"]+)",\s+Right::', source):
            kind = next((kind for kind in ("sharedmemory", "runtimes") if kind in path), "model")
            kind = {"sharedmemory": "region", "runtimes": "runtime"}.get(kind, kind)
            served.add((method, path.replace("*", "{%s}" % kind).replace("+", "{version}")))
        self.assertGreater(len(served), 25)
        self.assertEqual(served, described)


if __name__ == "__main__":
    unittest.main(verbosity=2)
