"""Models that never end, packages that are no packages, clients that leave, against the real skerry-infer.

    hostile_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import contextlib
import http.client
import json
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from infer_server import CACHE, DEADLINE_S, MAKE, ONNX_MODELS, PROGRAM, Server, affine_package, null_package, tensor, write_package

ENDLESS = 2**63 - 1


def counting_package(directory, name="count"):
    return write_package(directory, name, "1", "onnxruntime", ONNX_MODELS["hang.onnx"],
                         [tensor("n", "INT64", [])], [tensor("sum", "FP32", [])])


def count_request(n):
    return {"inputs": [tensor("n", "INT64", []) | {"data": [n]}]}


AFFINE = {"inputs": [tensor("x", "FP32", [1, 2]) | {"data": [1, 2]}]}


class HostileTest(unittest.TestCase):
    options = ()

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-infer-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.server = self.start()

    def start(self, *options, **process):
        server = Server(self.dir, *(options or self.options), **process)
        self.addCleanup(server.stop, signal.SIGKILL)
        return server

    def load(self, name, package):
        result = self.server.load(name, package)
        self.assertEqual(result.returncode, 0, result.stderr)

    def call(self, method, path, body=None, headers=None):
        """The status, and the body as JSON where there is one."""
        connection = http.client.HTTPConnection(self.server.url, timeout=DEADLINE_S)
        try:
            content = json.dumps(body) if isinstance(body, dict) else body
            connection.request(method, path, content, headers or {})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def infer(self, model, request):
        return self.call("POST", f"/v2/models/{model}/infer", request)

    def begin(self, model, request):
        """A client that waits for its answer on a thread of the test."""
        def run():
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.infer(model, request)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def connect(self):
        host, port = self.server.url.split(":")
        return socket.create_connection((host, int(port)), DEADLINE_S)

    def send(self, model, request):
        """A client whose connection the test holds."""
        body = json.dumps(request).encode()
        connection = self.connect()
        connection.sendall(f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: x\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return connection

    def busy(self):
        """CPU seconds that the server has used."""
        fields = pathlib.Path(f"/proc/{self.server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_for(self, condition):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, "it never happened")
            time.sleep(0.02)


class Endless(HostileTest):
    options = ("--inference-timeout", "1", "--drain-timeout", "1", "--threads", "1")

    def test_an_endless_model_costs_its_own_callers_only(self):
        self.load("count", counting_package(self.dir / "count"))
        self.load("affine", affine_package(self.dir / "affine", "1", "double.onnx"))
        for n in range(5):  # short ones first: no history makes it safe
            self.assertEqual(self.infer("count", count_request(n))[0], 200)
        waiting = [self.begin("count", count_request(ENDLESS)) for _ in range(3)]
        for _ in range(20):
            self.assertEqual(self.call("GET", "/v2/health/live")[0], 200)
            self.assertEqual(self.infer("affine", AFFINE)[0], 200)
        self.load("affine", affine_package(self.dir / "affine2", "2", "double.onnx"))
        status, answer = self.infer("count", count_request(ENDLESS))
        self.assertEqual(status, 503)
        self.assertIn("did not end within 1 s", answer["error"])
        for thread in waiting:
            thread.join(DEADLINE_S)
        self.assertEqual(self.infer("count", count_request(3)), (200, {
            "model_name": "count", "model_version": "1",
            "outputs": [tensor("sum", "FP32", []) | {"data": [4]}]}))

    def test_sigterm_ends_within_the_drain_timeout(self):
        self.load("count", counting_package(self.dir / "count"))
        for _ in range(4):
            self.begin("count", count_request(ENDLESS))
        self.wait_for(lambda: self.busy() > 0.3)
        self.server.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.process.wait(DEADLINE_S), 0)

    def test_the_second_signal_ends_it_at_once(self):
        self.server.stop()
        self.server = self.start("--inference-timeout", "3600", "--drain-timeout", "3600")
        self.load("count", counting_package(self.dir / "count"))
        self.begin("count", count_request(ENDLESS))
        self.wait_for(lambda: self.busy() > 0.3)
        self.server.process.send_signal(signal.SIGTERM)
        # Refused, or reset where it was in the queue of the listener that closed.
        with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
            while True:
                self.connect().close()
        self.server.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.process.wait(DEADLINE_S), 0)

    def test_a_load_that_never_ends_is_given_up_and_holds_nobody_up(self):
        self.server.stop()
        self.server = self.start("--load-timeout", "4")
        package = counting_package(self.dir / "hangs", "hangs")
        manifest = json.loads((package / "model.json").read_text()) | {"warmup": {"n": 1e18}}
        (package / "model.json").write_text(json.dumps(manifest))
        loads = [subprocess.Popen([PROGRAM, "load", "--socket", self.server.socket, "hangs", package],
                                  stderr=subprocess.PIPE, text=True) for _ in range(3)]
        self.load("affine", affine_package(self.dir / "affine", "1", "double.onnx"))
        self.assertEqual(self.call("GET", "/v2/health/ready")[0], 200)
        self.assertEqual(self.infer("affine", AFFINE)[0], 200)
        self.assertEqual(self.server.command("unload", "affine").returncode, 0)
        for load in loads:
            error = load.communicate(timeout=DEADLINE_S)[1]
            self.assertEqual(load.returncode, 1)
            self.assertIn("did not end within 4 s", error)


class Clients(HostileTest):
    options = ("--threads", "1")

    def test_jobs_of_clients_that_are_gone_are_dropped(self):
        self.load("count", counting_package(self.dir / "count"))
        for connection in [self.send("count", count_request(ENDLESS)) for _ in range(5)]:
            connection.close()
        self.assertEqual(self.infer("count", count_request(1))[0], 200)

    def test_errors_are_json_whatever_the_request_holds(self):
        status, answer = self.call("GET", "/v2/models/caf%E9%22%00")
        self.assertEqual(status, 404)
        self.assertIn("caf\ufffd", answer["error"])

    def test_a_thousand_refused_names_block_nobody(self):
        body = json.dumps({"parameters": {"path": "/nowhere"}})
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.server.socket))
            for i in range(1100):
                client.sendall(f"POST /v2/repository/models/ghost{i}/load HTTP/1.1\r\nHost: x\r\n"
                               f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
                answer = http.client.HTTPResponse(client)
                answer.begin()
                self.assertEqual(answer.status, 404)
                answer.read()
        self.load("affine", affine_package(self.dir / "affine", "1", "double.onnx"))

    def test_what_clients_do_does_not_fill_the_log(self):
        self.server.stop()
        with tempfile.TemporaryFile("w+") as log:
            self.server = self.start("--log-level", "debug", stderr=log)
            package = null_package(self.dir / "echo", "echo", "FP32", [1])
            for _ in range(3):
                self.load("echo", package)
            body = json.dumps({"parameters": {"path": str(package)}})
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.server.socket))
                for action, content in (("load", body), ("unload", "{}")) * 200:
                    client.sendall(f"POST /v2/repository/models/echo/{action} HTTP/1.1\r\nHost: x\r\n"
                                   f"Content-Length: {len(content)}\r\n\r\n{content}".encode())
                    answer = http.client.HTTPResponse(client)
                    answer.begin()
                    self.assertEqual(answer.status, 200, answer.read())
                    answer.read()
            for garbage in (b"\0" * 100, b"GET", b"POST /v2/models/echo/infer HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
                for _ in range(100):
                    connection = self.connect()
                    connection.sendall(garbage)
                    connection.close()
            self.assertEqual(self.call("GET", "/v2/health/live")[0], 200)
            log.seek(0)
            self.assertLess(len(log.read().splitlines()), 50)

    def test_metrics_of_a_version_with_quotes(self):
        self.load("quoted", null_package(self.dir / "quoted", "quoted", "FP32", [1]))
        manifest = json.loads((self.dir / "quoted/model.json").read_text()) | {"version": 'a"b\\c'}
        (self.dir / "quoted/model.json").write_text(json.dumps(manifest))
        self.load("quoted", self.dir / "quoted")
        connection = http.client.HTTPConnection(self.server.url, timeout=DEADLINE_S)
        connection.request("GET", "/metrics")
        self.assertIn('version="a\\"b\\\\c"', connection.getresponse().read().decode())
        connection.close()


class Packages(HostileTest):
    def refusal(self, package):
        result = self.server.load("affine", package)
        self.assertEqual(result.returncode, 1)
        return result.stderr

    def test_only_regular_files_of_the_package_are_read(self):
        package = affine_package(self.dir / "affine", "1", "double.onnx")
        for target in ("/dev/zero", "/proc/self/mem", "/etc/passwd"):
            (package / "model.bin").unlink()
            (package / "model.bin").symlink_to(target)
            self.assertIn("symbolic link", self.refusal(package))
        (package / "model.bin").unlink()
        os.mkfifo(package / "model.bin")
        self.assertIn("no regular file", self.refusal(package))
        self.assertEqual(self.call("GET", "/v2/health/live")[0], 200)


class Crashes(HostileTest):
    """Models and libraries that take a process down: bad input, not a crash of the service."""

    def setUp(self):
        super().setUp()
        self.load("affine", affine_package(self.dir / "affine", "1", "double.onnx"))

    def refusal(self, name, package):
        result = self.server.load(name, package)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertEqual(self.infer("affine", AFFINE)[0], 200)
        self.assertIsNone(self.server.process.poll())
        return result.stderr

    def test_a_model_that_crashes_when_it_is_loaded(self):
        error = self.refusal("bad", null_package(self.dir / "bad", "bad", "FP32", [1], "crash_load"))
        self.assertIn("took down the process that tried it: killed by signal 11 (Segmentation fault)", error)

    def test_a_model_that_crashes_when_it_runs(self):
        error = self.refusal("bad", null_package(self.dir / "bad", "bad", "FP32", [1], "crash", warmup={"x": 1}))
        self.assertIn("killed by signal 11", error)

    def test_a_model_that_takes_all_memory(self):
        error = self.refusal("bad", null_package(self.dir / "bad", "bad", "FP32", [1], "grow"))
        self.assertIn("there is not enough memory", error)
        self.assertIn("--trial-memory-mb", error)
        package = write_package(self.dir / "bomb", "bomb", "1", "onnxruntime", ONNX_MODELS["resize.onnx"],
                                [tensor("x", "FP32", [1, 3, -1, -1]), tensor("sizes", "INT64", [4])],
                                [tensor("y", "FP32", [1, 3, -1, -1])], warmup={"sizes": [1, 3, 20000, 20000]})
        self.assertTrue(self.refusal("bomb", package))

    def test_a_library_that_crashes_when_it_is_loaded(self):
        self.server.stop()
        (self.dir / "bad.c").write_text("__attribute__((constructor)) static void boom(void) { *(volatile int*)0 = 1; }")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.dir / "bad.so", self.dir / "bad.c"], check=True)
        self.server = Server(self.dir, onnxruntime=self.dir / "bad.so")
        self.addCleanup(self.server.stop, signal.SIGKILL)
        result = self.server.load("affine", self.dir / "affine")
        self.assertEqual(result.returncode, 1)
        self.assertIn("the library of runtime 'onnxruntime', took down the process that tried it", result.stderr)
        self.load("echo", null_package(self.dir / "echo", "echo", "FP32", [1]))

    def test_a_library_that_is_not_there_names_its_component(self):
        self.server.stop()
        self.server = Server(self.dir, onnxruntime="/nowhere/libonnxruntime.so")
        self.addCleanup(self.server.stop, signal.SIGKILL)
        result = self.server.load("affine", self.dir / "affine")
        self.assertIn("deploy skerry.runtime.OnnxRuntime", result.stderr)
        self.load("echo", null_package(self.dir / "echo", "echo", "FP32", [1]))

    def test_damaged_onnx_files_are_refused(self):
        whole = ONNX_MODELS["double.onnx"]
        bad = {"wild length": bytes([*whole[:3], 0xFF, 0xFF, 0xFF, 0x7F, *whole[7:]]),
               "short weights": ONNX_MODELS["double.onnx"][:-9]}
        for step in range(0, len(whole), 7):
            bad[f"byte {step}"] = whole[:step] + bytes([whole[step] ^ 0xFF]) + whole[step + 1:]
        for i, (what, model) in enumerate(bad.items()):
            package = write_package(self.dir / f"damaged{i}", "damaged", "1", "onnxruntime", model,
                                    [tensor("x", "FP32", [-1, 2])], [tensor("y", "FP32", [-1, 2])])
            with self.subTest(what):
                result = self.server.load("damaged", package)
                self.assertIn(result.returncode, (0, 1))
                self.assertEqual(bool(result.returncode), bool(result.stderr))
        self.assertEqual(self.infer("affine", AFFINE)[0], 200)

    def children(self):
        pid = self.server.process.pid
        return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                for child in (task / "children").read_text().split()]

    def endless_load(self):
        """The process id of the trial of a model that never ends."""
        package = counting_package(self.dir / "hangs", "hangs")
        manifest = json.loads((package / "model.json").read_text()) | {"warmup": {"n": 1e18}}
        (package / "model.json").write_text(json.dumps(manifest))
        load = subprocess.Popen([PROGRAM, "load", "--socket", self.server.socket, "hangs", package],
                                stderr=subprocess.DEVNULL)
        self.addCleanup(load.wait, DEADLINE_S)
        self.wait_for(self.children)
        return self.children()[0]

    def test_a_trial_has_no_network_and_ends_with_the_service(self):
        trial = self.endless_load()
        status = pathlib.Path(f"/proc/{trial}/status")
        self.wait_for(lambda: "Seccomp:\t2" in status.read_text())
        self.assertIn("NoNewPrivs:\t1", status.read_text())
        self.server.process.kill()
        self.wait_for(lambda: not status.exists())

    def test_an_endless_trial_is_killed_at_the_deadline(self):
        self.server.stop()
        self.server = self.start("--load-timeout", "2")
        trial = self.endless_load()
        self.wait_for(lambda: not pathlib.Path(f"/proc/{trial}").exists())
        self.load("affine", self.dir / "affine")


class Restarts(HostileTest):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-infer-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.state = self.dir / "models.json"
        self.options = ("--state", self.state)
        self.server = self.start()
        self.load("affine", affine_package(self.dir / "affine", "1", "double.onnx"))

    def trials(self):
        rows = json.loads(pathlib.Path(f"{self.state}.trials").read_text())["trials"]
        return {row["model"]: row for row in rows}

    def crash(self):
        """The service dies of the model "bad"; whoever runs it starts it again."""
        self.begin("bad", {"inputs": [tensor("x", "FP32", [1]) | {"data": [1]}]})
        self.assertEqual(self.server.process.wait(DEADLINE_S), -signal.SIGSEGV)
        self.server = self.start()
        self.assertEqual(self.infer("affine", AFFINE)[0], 200)

    def test_a_model_that_the_service_dies_of_is_not_loaded_for_ever(self):
        package = null_package(self.dir / "bad", "bad", "FP32", [1], "crash")
        self.load("bad", package)
        for _ in range(3):
            self.assertEqual(self.call("GET", "/v2/models/bad/ready")[0], 200)
            self.crash()
        self.assertEqual(self.call("GET", "/v2/models/bad/ready")[0], 404)
        self.assertEqual((self.trials()["bad"]["crashes"], self.trials()["affine"]["crashes"]), (3, 0))
        index = {row["name"]: row for row in self.call("POST", "/v2/repository/index", {})[1] or []} or {
            row["name"]: row for row in json.loads(self.server.command("list", "--json").stdout)}
        self.assertIn("has died 3 times of model 'bad'", index["bad"]["reason"])
        refused = self.server.load("bad", package)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("skerry-infer load --retry", refused.stderr)
        retried = self.server.command("load", "--retry", "bad", package)
        self.assertEqual(retried.returncode, 0, retried.stderr)
        self.crash()
        self.assertEqual(self.trials()["bad"]["crashes"], 1)

    def test_a_restart_tries_nothing_that_is_proved(self):
        self.assertTrue(self.trials()["affine"]["proved"])
        self.server.process.kill()
        self.server.process.wait()
        with tempfile.TemporaryFile("w+") as log:
            self.server = self.start("--state", self.state, stderr=log)
            self.assertEqual(self.infer("affine", AFFINE)[0], 200)
            log.seek(0)
            self.assertNotIn("a trial has proved a model", log.read())

    def test_killed_during_a_load_everything_else_serves_again(self):
        self.load("echo", null_package(self.dir / "echo", "echo", "FP32", [1]))
        package = counting_package(self.dir / "hangs", "hangs")
        manifest = json.loads((package / "model.json").read_text()) | {"warmup": {"n": 1e18}}
        (package / "model.json").write_text(json.dumps(manifest))
        load = subprocess.Popen([PROGRAM, "load", "--socket", self.server.socket, "hangs", package],
                                stderr=subprocess.DEVNULL)
        self.wait_for(lambda: "LOADING" in self.server.command("list").stdout)
        self.server.process.kill()
        load.wait(DEADLINE_S)
        self.server = self.start()
        self.assertEqual(self.infer("affine", AFFINE)[0], 200)
        self.assertEqual(self.call("GET", "/v2/models/echo/ready")[0], 200)
        self.assertEqual(self.call("GET", "/v2/models/hangs/ready")[0], 404)


class Memory(HostileTest):
    def peak_mb(self):
        for line in pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def test_a_large_json_request_takes_a_small_multiple_of_its_size(self):
        self.load("echo", null_package(self.dir / "echo", "echo", "FP32", [-1]))
        count = 4_000_000
        body = ('{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","datatype":"FP32","shape":[%d],"data":['
                % count + ",".join(["0.12345678"] * count) + "]}]}")
        before = self.peak_mb()
        status = 0
        connection = http.client.HTTPConnection(self.server.url, timeout=DEADLINE_S)
        connection.request("POST", "/v2/models/echo/infer", body)
        answer = connection.getresponse()
        status, content = answer.status, answer.read()
        connection.close()
        self.assertEqual(status, 200, content[:200])
        self.assertEqual(content[-4:], struct.pack("<f", 0.12345678))
        size_mb = len(body) / 2**20
        # The body (which grows by doubling), the tensor, its copy as output, the answer.
        self.assertLess(self.peak_mb() - before, 5 * size_mb)

    def test_a_swap_takes_little_more_than_the_two_models(self):
        side, layers = 3072, 5
        message, number = MAKE["message"], MAKE["number"]

        def package(version):
            names = ["x", *(f"h{i}" for i in range(1, layers)), "y"]
            nodes = [MAKE["node"]("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(layers)]
            # Finite or not: nobody looks at the sums.
            weights = [message(5, number(1, side), number(1, side), number(2, 1), message(8, f"w{i}"),
                               message(9, os.urandom(side * side * 2) * 2)) for i in range(layers)]
            onnx = MAKE["model"](*nodes, *weights, MAKE["value"](11, "x", 1, ["n", side]),
                                 MAKE["value"](12, "y", 1, ["n", side]))
            return write_package(self.dir / version, "big", version, "onnxruntime", onnx,
                                 [tensor("x", "FP32", [-1, side])], [tensor("y", "FP32", [-1, side])])
        packages = [package("1"), package("2")]
        before = self.peak_mb()
        for directory in packages:
            self.load("big", directory)
        self.assertLess(self.peak_mb() - before, 1.3 * 2 * layers * side * side * 4 / 2**20)

    def test_memory_that_is_not_there_is_an_answer(self):
        self.server.stop()
        limit = 2**30
        self.server = self.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        package = write_package(self.dir / "grow", "grow", "1", "onnxruntime", ONNX_MODELS["resize.onnx"],
                                [tensor("x", "FP32", [1, 3, -1, -1]), tensor("sizes", "INT64", [4])],
                                [tensor("y", "FP32", [1, 3, -1, -1])], warmup={"sizes": [1, 3, 4, 4]})
        self.load("grow", package)
        request = {"inputs": [tensor("x", "FP32", [1, 3, 1, 1]) | {"data": [1, 2, 3]},
                              tensor("sizes", "INT64", [4]) | {"data": [1, 3, 20000, 20000]}]}
        status, answer = self.infer("grow", request)
        self.assertIn(status, (500, 503))
        self.assertTrue(answer["error"])
        self.assertEqual(self.call("GET", "/v2/health/live")[0], 200)


class CommandLine(unittest.TestCase):
    def test_what_makes_no_sense_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            for options in (["--max-queue", "-1"], ["--log-level", "loud"], ["--state", folder],
                            ["--state", f"{folder}/absent/state.json"], ["--http-port", "70000"],
                            ["--threads", "0"], ["--runtime", "onnxruntime"], ["--runtime", "null=/lib"],
                            ["--runtime", "tpu=/lib"], ["--trial-memory-mb", "0"], ["--runtime", "null", "--runtime", "null"],
                            ["--inference-timeout", "0"], ["--socket-mode", "999"]):
                with self.subTest(options=options):
                    done = subprocess.run([PROGRAM, "serve", "--socket", f"{folder}/s", *options],
                                          capture_output=True, text=True, timeout=DEADLINE_S, check=False)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertTrue(done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
