"""PyPI's tritonclient over gRPC, blocking and asyncio, against `skerry-infer-grpc` before a real `skerry-infer`: every method,
streams, typed and raw contents, shared memory, the codes of errors, and the standard health protocol.

    grpc_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import asyncio
import json
import pathlib
import queue
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import grpc
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, shared_memory

import infer_server
from infer_server import ONNX_MODELS, Server, affine_package, null_package, tensor, write_package

DEADLINE_S = 30


def put(name, array):
    each = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    each.set_data_from_numpy(array)
    return each


class Gateway:
    def __init__(self, *options):
        self.process = subprocess.Popen([pathlib.Path(infer_server.PROGRAM).with_name("skerry-infer-grpc"), "--port", "0",
                                         "--json", *options], stdout=subprocess.PIPE, text=True)
        self.url = f"127.0.0.1:{json.loads(self.process.stdout.readline())['grpc_port']}"

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.stdout.close()
        return self.process.wait(DEADLINE_S)


class Grpc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-grpc-")
        cls.addClassCleanup(scratch.cleanup)
        cls.directory = pathlib.Path(scratch.name)
        cls.server = Server(cls.directory, "--repository-over-tcp")
        cls.addClassCleanup(cls.server.stop)
        for name, package in {"affine": affine_package(cls.directory / "affine", "1", "double.onnx"),
                              "text": null_package(cls.directory / "text", "text", "BYTES", [-1]),
                              "fail": null_package(cls.directory / "fail", "fail", "FP32", [1], "fail", trial_run="optional")}.items():
            done = cls.server.load(name, package)
            assert done.returncode == 0, done.stderr
        for kind in ("INT8", "UINT16", "INT64", "FP16", "FP64", "BOOL"):
            done = cls.server.load(kind, null_package(cls.directory / kind, kind, kind, [-1]))
            assert done.returncode == 0, done.stderr
        cls.gateway = Gateway("--socket", str(cls.server.socket))
        cls.addClassCleanup(cls.gateway.stop)
        cls.client = triton.InferenceServerClient(cls.gateway.url)
        cls.addClassCleanup(cls.client.close)

    def refusal(self, call, *arguments, **named):
        with self.assertRaises(InferenceServerException) as refused:
            call(*arguments, **named)
        return refused.exception.status(), refused.exception.message()

    def test_a_call_that_is_cancelled_is_ended_at_the_service(self):
        """The model runs one request at a time: the next one has its turn when the first is gone."""
        scratch = tempfile.TemporaryDirectory(prefix="skerry-grpc-")
        self.addCleanup(scratch.cleanup)
        directory = pathlib.Path(scratch.name)
        server = Server(directory, "--threads", "1")
        self.addCleanup(server.stop, signal.SIGKILL)
        count = write_package(directory / "count", "count", "1", "onnxruntime", ONNX_MODELS["hang.onnx"],
                              [tensor("n", "INT64", [])], [tensor("sum", "FP32", [])])
        done = server.load("count", count)
        self.assertEqual(done.returncode, 0, done.stderr)
        gateway = Gateway("--socket", str(server.socket))
        self.addCleanup(gateway.stop)
        with grpc.insecure_channel(gateway.url) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

            def request(n):
                message = service_pb2.ModelInferRequest(model_name="count", raw_input_contents=[n.to_bytes(8, "little")])
                message.inputs.add(name="n", datatype="INT64")
                return message

            def is_taken():
                try:
                    stub.ModelInfer(request(1), timeout=1)
                    return False
                except grpc.RpcError as error:
                    self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
                    return True

            def wait_until(taken):
                deadline = time.monotonic() + DEADLINE_S
                while is_taken() != taken:
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.05)

            endless = stub.ModelInfer.future(request(2**62))
            wait_until(taken=True)
            endless.cancel()
            wait_until(taken=False)
            # The same in a stream, whose caller goes away as a whole.
            stream = stub.ModelStreamInfer(iter([request(2**62)]))
            wait_until(taken=True)
            stream.cancel()
            wait_until(taken=False)

    def test_the_server_and_its_models_are_described(self):
        client = self.client
        self.assertTrue(client.is_server_live() and client.is_server_ready() and client.is_model_ready("affine"))
        self.assertFalse(client.is_model_ready("nothing"))
        self.assertIn("statistics", client.get_server_metadata().extensions)
        metadata = client.get_model_metadata("affine")
        self.assertEqual((metadata.platform, metadata.inputs[0].datatype, list(metadata.inputs[0].shape)),
                         ("onnxruntime_onnx", "FP32", [-1, 2]))
        config = client.get_model_config("affine").config
        self.assertEqual((config.name, config.input[0].name, config.input[0].data_type), ("affine", "x", 11))
        index = {model.name: model.state for model in client.get_model_repository_index().models}
        self.assertEqual(index["affine"], "READY")

    def test_inference_in_every_type(self):
        x = np.array([[1, 2], [3, 4]], np.float32)
        result = self.client.infer("affine", [put("x", x)], request_id="r-1", model_version="1")
        np.testing.assert_allclose(result.as_numpy("y"), 2 * x + 1)
        self.assertEqual((result.get_response().id, result.get_response().model_version), ("r-1", "1"))
        for kind, values in {"INT8": np.array([-128, 127], np.int8), "UINT16": np.array([0, 65535], np.uint16),
                             "INT64": np.array([-2**63, 2**63 - 1]), "FP16": np.array([0.5, -2], np.float16),
                             "FP64": np.array([1e300, -0.0]), "BOOL": np.array([True, False])}.items():
            np.testing.assert_array_equal(self.client.infer(kind, [put("x", values)]).as_numpy("y"), values)
        texts = np.array([b"first", b"", "mehr \u4e2d".encode()], np.object_)
        self.assertEqual(list(self.client.infer("text", [put("x", texts)]).as_numpy("y")), list(texts))
        empty = self.client.infer("INT64", [put("x", np.zeros(0, np.int64))]).as_numpy("y")
        self.assertEqual(empty.shape, (0,))

    def test_typed_contents(self):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(self.gateway.url))
        def ask(model, datatype, shape, **contents):
            request = service_pb2.ModelInferRequest(model_name=model)
            tensor = request.inputs.add(name="x", datatype=datatype, shape=shape)
            tensor.contents.CopyFrom(service_pb2.InferTensorContents(**contents))
            return stub.ModelInfer(request).raw_output_contents[0]
        self.assertEqual(np.frombuffer(ask("affine", "FP32", [1, 2], fp32_contents=[1, 2]), np.float32).tolist(), [3, 5])
        self.assertEqual(np.frombuffer(ask("INT8", "INT8", [2], int_contents=[-3, 3]), np.int8).tolist(), [-3, 3])
        self.assertEqual(ask("text", "BYTES", [1], bytes_contents=[b"ab"]), b"\2\0\0\0ab")
        for contents, message in [({"fp32_contents": [1]}, "4 bytes"), ({"int_contents": [1, 2]}, "0 bytes")]:
            with self.assertRaises(grpc.RpcError) as refused:
                ask("affine", "FP32", [1, 2], **contents)
            self.assertEqual(refused.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
            self.assertIn(message, refused.exception.details())
        request = service_pb2.ModelInferRequest(model_name="affine", raw_input_contents=[b"12345678", b""])
        request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        with self.assertRaises(grpc.RpcError) as refused:
            stub.ModelInfer(request)
        self.assertIn("2 raw_input_contents for 1 inputs", refused.exception.details())

    def test_errors_have_the_code_of_their_cause(self):
        x = put("x", np.ones((1, 2), np.float32))
        self.assertEqual(self.refusal(self.client.infer, "nothing", [x])[0], "StatusCode.NOT_FOUND")
        self.assertEqual(self.refusal(self.client.get_model_metadata, "nothing")[0], "StatusCode.NOT_FOUND")
        self.assertEqual(self.refusal(self.client.infer, "affine", [put("z", np.ones((1, 2), np.float32))])[0],
                         "StatusCode.INVALID_ARGUMENT")
        self.assertEqual(self.refusal(self.client.infer, "affine", [put("x", np.ones((1, 3), np.float32))])[0],
                         "StatusCode.INVALID_ARGUMENT")
        self.assertEqual(self.refusal(self.client.infer, "fail", [put("x", np.ones(1, np.float32))])[0], "StatusCode.INTERNAL")
        self.assertEqual(self.refusal(self.client.register_cuda_shared_memory, "r", b"", 0, 4)[0].split(".")[0], "StatusCode")

    def test_a_stream_answers_in_order_and_survives_an_error(self):
        answers = queue.Queue()
        self.client.start_stream(lambda result, error: answers.put((result, error)))
        for i in range(200):
            model = "nothing" if i == 100 else "affine"
            self.client.async_stream_infer(model, [put("x", np.full((1, 2), i, np.float32))], request_id=str(i))
        for i in range(200):
            result, error = answers.get(timeout=DEADLINE_S)
            if i == 100:
                self.assertIn("'nothing' is not loaded", str(error))
            else:
                self.assertIsNone(error)
                self.assertEqual(result.get_response().id, str(i))
                np.testing.assert_allclose(result.as_numpy("y"), np.full((1, 2), 2 * i + 1))
        self.client.stop_stream()

    def test_shared_memory_in_and_out(self):
        x = np.array([[5, 6]], np.float32)
        region = shared_memory.create_shared_memory_region("both", "/skerry_grpc_test", 16)
        self.addCleanup(shared_memory.destroy_shared_memory_region, region)
        shared_memory.set_shared_memory_region(region, [x])
        self.client.register_system_shared_memory("both", "/skerry_grpc_test", 16)
        self.assertEqual(self.client.get_system_shared_memory_status().regions["both"].byte_size, 16)
        tensor = triton.InferInput("x", [1, 2], "FP32")
        tensor.set_shared_memory("both", 8)
        output = triton.InferRequestedOutput("y")
        output.set_shared_memory("both", 8, 8)
        result = self.client.infer("affine", [tensor], outputs=[output])
        self.assertEqual(result.get_response().raw_output_contents[0], b"")
        np.testing.assert_allclose(shared_memory.get_contents_as_numpy(region, np.float32, [1, 2], 8), 2 * x + 1)
        self.client.unregister_system_shared_memory("both")
        self.assertEqual(len(self.client.get_system_shared_memory_status().regions), 0)

    def test_classification(self):
        output = triton.InferRequestedOutput("y", class_count=1)
        result = self.client.infer("affine", [put("x", np.array([[5, 1]], np.float32))], outputs=[output])
        self.assertEqual(result.as_numpy("y").reshape(-1)[0].split(b":")[1], b"0")

    def test_statistics_and_settings(self):
        before = self.client.get_inference_statistics("affine").model_stats[0].inference_stats.success.count
        self.client.infer("affine", [put("x", np.ones((1, 2), np.float32))])
        after = self.client.get_inference_statistics("affine").model_stats[0]
        self.assertEqual(after.inference_stats.success.count, before + 1)
        self.assertGreater(after.inference_stats.compute_infer.ns, 0)
        self.assertEqual(self.client.update_log_settings({"log_verbose_level": 0}).settings["log_verbose_level"].uint32_param, 0)
        self.assertIn("trace_level", self.client.get_trace_settings().settings)

    def test_models_are_unloaded_and_loaded(self):
        self.client.unload_model("FP64")
        self.assertFalse(self.client.is_model_ready("FP64"))
        self.client.load_model("FP64")
        self.assertTrue(self.client.is_model_ready("FP64"))
        self.assertEqual(self.refusal(self.client.load_model, "never")[0], "StatusCode.INVALID_ARGUMENT")

    def test_callers_change_nothing_unless_that_is_said(self):
        directory = self.directory / "closed"
        directory.mkdir()
        server = Server(directory)
        self.addCleanup(server.stop)
        for option in (["--service", f"http://{server.url}"], ["--socket", str(server.socket)]):
            gateway = Gateway(*option)
            self.addCleanup(gateway.stop)
            client = triton.InferenceServerClient(gateway.url)
            self.addCleanup(client.close)
            self.assertTrue(client.is_server_ready())
            self.assertEqual(self.refusal(client.unload_model, "affine")[0], "StatusCode.PERMISSION_DENIED")

    def test_many_callers_at_once(self):
        wrong = []

        def call(number):
            client = triton.InferenceServerClient(self.gateway.url)
            for i in range(50):
                value = np.full((1, 2), 1000 * number + i, np.float32)
                if not np.allclose(client.infer("affine", [put("x", value)]).as_numpy("y"), 2 * value + 1):
                    wrong.append((number, i))
            client.close()

        threads = [threading.Thread(target=call, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_asyncio(self):
        async def run():
            async with triton_aio.InferenceServerClient(self.gateway.url) as client:
                values = [np.full((1, 2), i, np.float32) for i in range(20)]
                results = await asyncio.gather(*(client.infer("affine", [put("x", value)]) for value in values))
                for value, result in zip(values, results):
                    np.testing.assert_allclose(result.as_numpy("y"), 2 * value + 1)
        asyncio.run(run())

    def test_health_protocol(self):
        """grpc.health.v1, by hand: HealthCheckResponse is one enum, 1 is SERVING and 2 NOT_SERVING."""
        directory = self.directory / "health"
        directory.mkdir()
        server = Server(directory)
        gateway = Gateway("--socket", str(server.socket))
        self.addCleanup(gateway.stop)
        check = grpc.insecure_channel(gateway.url).unary_unary("/grpc.health.v1.Health/Check")
        wait_for(lambda: check(b"", timeout=DEADLINE_S) == b"\x08\x01")
        server.stop()
        wait_for(lambda: check(b"", timeout=DEADLINE_S) == b"\x08\x02")
        client = triton.InferenceServerClient(gateway.url)
        self.assertFalse(client.is_server_ready())
        self.assertEqual(self.refusal(client.get_server_metadata)[0], "StatusCode.UNAVAILABLE")
        client.close()
        with self.assertRaises(grpc.RpcError) as refused:
            check(b"\x0a\x03foo", timeout=DEADLINE_S)
        self.assertEqual(refused.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(gateway.stop(), 0)


def wait_for(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.1)


if __name__ == "__main__":
    unittest.main()
