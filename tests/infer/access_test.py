"""Who may do what and how often: stock tritonclient over HTTP and gRPC with tokens in its headers, users of the Unix socket, the
clients of this repository, and rules that are read again.

    access_test.py SKERRY_INFER SKERRY_CACHE SOURCE_DIR
"""

import hashlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

import infer_server
from infer_server import SOURCE, Server, null_package

sys.path.insert(0, str(SOURCE / "python"))
from skerry import Inference, InferenceError  # noqa: E402

DEADLINE_S = 30
SKERRY = pathlib.Path(infer_server.PROGRAM).parent / "skerry"
STRANGER = 54_321  # a user that is not the server's
X = np.array([[1, 2]], np.float32)


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def inputs(module):
    each = module.InferInput("x", [1, 2], "FP32")
    each.set_data_from_numpy(X)
    return [each]

# As a user who can read neither this checkout nor its Python.
ASK = """
import http.client, socket, sys
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sys.argv[1])
tensors = '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}'
for path, body in [("models/vad/infer", tensors), ("models/other/infer", tensors), ("repository/models/vad/unload", "{}"),
                   ("repository/index", "{}")]:
    connection.request("POST", "/v2/" + path, body)
    answer = connection.getresponse()
    answer.read()
    print(answer.status, *filter(None, [answer.getheader("Skerry-Error")]))
"""


class Access(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-access-")
        cls.addClassCleanup(scratch.cleanup)
        cls.directory = pathlib.Path(scratch.name)
        cls.directory.chmod(0o755)
        cls.file = cls.directory / "access.json"
        made = subprocess.run([infer_server.PROGRAM, "token", "--json"], capture_output=True, text=True, check=True)
        cls.line = json.loads(made.stdout)
        assert cls.line["token_sha256"] == digest(cls.line["token"])
        cls.rules = {
            "format": 1,
            "clients": [
                {"name": "line-3", "token_sha256": cls.line["token_sha256"], "allow": ["infer", "read"], "models": ["vad"]},
                {"name": "operator", "token_sha256": digest("operator's"), "allow": ["read", "infer", "repository"]},
                {"name": "loader", "token_sha256": digest("loader's"), "allow": ["repository"]},
                {"name": "scraper", "token_sha256": digest("scraper's"), "allow": ["metrics"]},
                {"name": "slow", "token_sha256": digest("slow's"), "allow": ["infer"], "requests_per_s": 0.001, "burst": 2},
                {"name": "slower", "token_sha256": digest("slower's"), "allow": ["infer"], "requests_per_s": 0.001, "burst": 2},
                {"name": "bulk", "token_sha256": digest("bulk's"), "allow": ["infer", "read"], "requests_per_s": 2, "burst": 1},
                {"name": "first", "token_sha256": digest("first's"), "allow": ["infer", "read"]},
                {"name": "camera", "user": STRANGER, "allow": ["infer"], "models": ["vad"]},
            ],
        }
        cls.file.write_text(json.dumps(cls.rules))
        cls.server = Server(cls.directory, "--access", str(cls.file), "--socket-mode", "0666")
        cls.addClassCleanup(cls.server.stop)
        for name in ("vad", "other"):
            done = cls.server.load(name, null_package(cls.directory / name, name, "FP32", [-1, 2]))
            assert done.returncode == 0, done.stderr

    def refused(self, status, call, *arguments, **named):
        with self.assertRaises(InferenceServerException) as error:
            call(*arguments, **named)
        self.assertEqual(error.exception.status(), status, error.exception.message())
        return error.exception.message()

    def ask(self, method, path, headers):
        connection = http.client.HTTPConnection(self.server.url)
        self.addCleanup(connection.close)
        connection.request(method, path, b"{}" if method == "POST" else None, headers)
        response = connection.getresponse()
        return response, response.read().decode()

    def test_http(self):
        with triton_http.InferenceServerClient(self.server.url) as client:
            token = bearer(self.line["token"])
            self.assertTrue(client.is_server_live() and client.is_server_ready())
            result = client.infer("vad", inputs(triton_http), headers=token)
            np.testing.assert_array_equal(result.as_numpy("y"), X)
            self.assertIn("needs a token", self.refused("401", client.infer, "vad", inputs(triton_http)))
            self.refused("401", client.infer, "vad", inputs(triton_http), headers=bearer("another"))
            self.assertIn("'line-3' may not use model 'other'",
                          self.refused("403", client.infer, "other", inputs(triton_http), headers=token))
            self.refused("403", client.unload_model, "vad", headers=token)
            self.assertEqual([each["name"] for each in client.get_model_repository_index(headers=token)], ["vad"])
            everything = client.get_model_repository_index(headers=bearer("operator's"))
            self.assertEqual({each["name"] for each in everything}, {"vad", "other"})
            self.assertEqual([each["name"] for each in client.get_inference_statistics(headers=token)["model_stats"]], ["vad"])
            client.unload_model("other", headers=bearer("operator's"))
            client.load_model("other", headers=bearer("operator's"))
            self.assertTrue(client.is_model_ready("other", headers=bearer("operator's")))

    def test_answers_say_what_to_do(self):
        response, _ = self.ask("GET", "/v2/models/vad", {})
        self.assertEqual((response.status, response.getheader("WWW-Authenticate")), (401, "Bearer"))
        response, _ = self.ask("GET", "/v2/models/vad", bearer("another"))
        self.assertEqual(response.getheader("WWW-Authenticate"), 'Bearer error="invalid_token"')
        _, before = self.ask("GET", "/metrics", bearer("scraper's"))
        response, text = self.ask("GET", "/v2/models/vad", bearer("scraper's"))
        self.assertEqual((response.status, response.getheader("Skerry-Error")), (403, "permission_denied"))
        self.assertIn("needs 'read'", text)
        _, after = self.ask("GET", "/metrics", bearer("scraper's"))
        count = [int(line.split()[1]) for text in (before, after) for line in text.splitlines()
                 if line.startswith('skerry_refused_requests_total{cause="denied"}')]
        self.assertEqual(count[1] - count[0], 1)

    def test_too_many_requests(self):
        with triton_http.InferenceServerClient(self.server.url) as client:
            for _ in range(2):
                client.infer("vad", inputs(triton_http), headers=bearer("slow's"))
            self.assertIn("try again in", self.refused("429", client.infer, "vad", inputs(triton_http), headers=bearer("slow's")))
            # Others do not notice.
            client.infer("vad", inputs(triton_http), headers=bearer("operator's"))
        response, _ = self.ask("POST", "/v2/models/vad/infer", bearer("slow's"))
        self.assertEqual(response.status, 429)
        self.assertGreater(int(response.getheader("Retry-After")), 900)
        gateway = self.gateway()
        with triton_grpc.InferenceServerClient(gateway) as client:
            message = self.refused("StatusCode.RESOURCE_EXHAUSTED", client.infer, "vad", inputs(triton_grpc), headers=bearer("slow's"))
            self.assertIn("'slow' asks more than it may", message)

    def gateway(self):
        program = pathlib.Path(infer_server.PROGRAM).with_name("skerry-infer-grpc")
        if not program.exists():
            self.skipTest("skerry-infer-grpc is not built: gRPC is not installed")
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", program, "--port", "0", "--json", "--socket", self.server.socket],
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait, DEADLINE_S)
        self.addCleanup(process.terminate)
        self.addCleanup(process.stdout.close)
        return f"127.0.0.1:{json.loads(process.stdout.readline())['grpc_port']}"

    def test_grpc(self):
        """The gateway is root's or the server's own user, who may do everything: its callers may not."""
        with triton_grpc.InferenceServerClient(self.gateway()) as client:
            token = bearer(self.line["token"])
            self.assertTrue(client.is_server_ready())
            np.testing.assert_array_equal(client.infer("vad", inputs(triton_grpc), headers=token).as_numpy("y"), X)
            self.refused("StatusCode.UNAUTHENTICATED", client.infer, "vad", inputs(triton_grpc))
            self.refused("StatusCode.UNAUTHENTICATED", client.unload_model, "vad")
            self.refused("StatusCode.UNAUTHENTICATED", client.get_model_metadata, "vad", headers=bearer("another"))
            self.refused("StatusCode.PERMISSION_DENIED", client.infer, "other", inputs(triton_grpc), headers=token)
            self.refused("StatusCode.PERMISSION_DENIED", client.unload_model, "vad", headers=token)
            index = client.get_model_repository_index(headers=token).models
            self.assertEqual([each.name for each in index], ["vad"])

    @unittest.skipUnless(os.geteuid() == 0, "becoming another user needs root")
    def test_users_of_the_socket(self):
        done = subprocess.run(["/usr/bin/python3", "-c", ASK, self.server.socket], user=STRANGER, group=STRANGER, extra_groups=[],
                              cwd="/", env={}, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        self.assertEqual(done.stdout.splitlines(), ["200", "403 permission_denied", "403 permission_denied", "403 permission_denied"],
                         done.stderr)

    def test_the_python_client(self):
        with Inference(self.server.url, token=self.line["token"]) as infer:
            np.testing.assert_array_equal(infer("vad", {"x": X})["y"], X)
            with self.assertRaises(InferenceError) as error:
                infer("other", {"x": X})
            self.assertEqual((error.exception.status, error.exception.retryable), (403, False))
        with unittest.mock.patch.dict(os.environ, SKERRY_INFER_TOKEN=self.line["token"]), Inference(self.server.url) as infer:
            np.testing.assert_array_equal(infer("vad", {"x": X})["y"], X)
        with Inference(self.server.url, token="slower's") as infer:
            with self.assertRaises(InferenceError) as error:
                for _ in range(3):
                    infer("vad", {"x": X})
            self.assertEqual((error.exception.status, error.exception.retryable), (429, True))

    def run_client(self, *command, token=None, **more):
        environment = {**os.environ, **({} if token is None else {"SKERRY_INFER_TOKEN": token})}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S, env=environment, **more)

    def token_file(self, text):
        path = self.directory / "token"
        path.write_text(text + "\n")
        path.chmod(0o600)
        return path

    def test_skerry_infer_bulk(self):
        rows, out = self.directory / "rows.npy", self.directory / "out.jsonl"
        np.save(rows, np.ones((8, 2), np.float32))

        def bulk(model, *options, **more):
            return self.run_client(SKERRY, "infer", "bulk", model, "--in", rows, "--out", out, "--server", f"http://{self.server.url}",
                                   "--wait", "1", *options, **more)

        refused = bulk("vad")
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("needs a token", refused.stderr)
        self.assertIn("--token-file FILE or in the variable SKERRY_INFER_TOKEN", refused.stderr)
        self.assertIn("is not one of this server's", bulk("vad", token="another").stderr)
        self.assertIn("'line-3' may not use model 'other'", bulk("other", token=self.line["token"]).stderr)
        self.assertFalse(out.exists())
        done = bulk("vad", "--token-file", self.token_file(self.line["token"]), token="another")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(out.read_text().splitlines()), 8)
        wrong = bulk("vad", "--token-file", self.token_file("two words"))
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("holds no token", wrong.stderr)

    def test_a_bulk_job_waits_where_it_is_limited_and_ends_where_it_is_shut_out(self):
        def bulk(wait_s, name):
            return self.run_client(SKERRY, "infer", "bulk", "vad", "--in", rows, "--out", self.directory / name, "--rows", "1",
                                   "--connections", "1", "--wait", str(wait_s), "--server", f"http://{self.server.url}", token="bulk's")

        rows = self.directory / "few.npy"
        np.save(rows, np.ones((4, 2), np.float32))
        done = bulk(30, "limited.jsonl")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("error", (self.directory / "limited.jsonl").read_text())
        shut = bulk(0, "shut.jsonl")
        self.assertEqual(shut.returncode, 3, shut.stderr)
        self.assertIn("'bulk' asks more than it may: try again in 1 s", shut.stderr)

    def test_skerry_top(self):
        def top(*options, **more):
            return self.run_client(SKERRY, "--json", "top", "--once", "--interval", "0.1", "--socket", self.server.socket, *options, **more)

        own = top()  # the server's own user needs no token
        self.assertEqual({each["model"] for each in json.loads(own.stdout)["models"]}, {"vad", "other"})
        cut = top("--token-file", self.token_file(self.line["token"]))
        self.assertEqual([each["model"] for each in json.loads(cut.stdout)["models"]], ["vad"])
        refused = top(token="scraper's")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("'scraper' may not do what needs 'read'", refused.stderr)

    def test_skerry_infer_list_and_load(self):
        refused = self.run_client(infer_server.PROGRAM, "load", "--socket", self.server.socket, "vad", self.directory / "vad",
                                  token=self.line["token"])
        self.assertEqual(refused.returncode, 1)
        self.assertIn("'line-3' may not do what needs 'repository'", refused.stderr)
        listed = self.run_client(infer_server.PROGRAM, "list", "--json", "--socket", self.server.socket,
                                 "--token-file", self.token_file(self.line["token"]))
        self.assertEqual([each["name"] for each in json.loads(listed.stdout)], ["vad"], listed.stderr)

    def test_who_may_load_and_not_look_has_loaded(self):
        loaded = self.run_client(infer_server.PROGRAM, "load", "--watch", "--socket", self.server.socket, "vad", self.directory / "vad",
                                 token="loader's")
        self.assertEqual((loaded.returncode, loaded.stdout), (0, "vad version 1 is served, version 1 before\n"), loaded.stderr)
        self.assertIn("nobody watches this model", loaded.stderr)
        self.assertIn("'loader' may not do what needs 'read'", loaded.stderr)

    def stream(self, pipe, *options, token=None):
        config = self.directory / "stream.json"
        config.write_text(json.dumps({
            "source": {"pipe": str(pipe), "samples": "FP32", "rate": 8000}, "window": {"samples": 2, "rate": 8000}, "model": "vad",
            "input": "x", "sinks": [{"file": str(self.directory / "windows.jsonl")}]}))
        environment = {**os.environ, **({} if token is None else {"SKERRY_INFER_TOKEN": token})}
        process = subprocess.Popen([infer_server.PROGRAM, "stream", "--server", f"http://{self.server.url}", "--config", config, *options],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        self.addCleanup(process.wait, DEADLINE_S)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        return process

    def test_a_stream(self):
        samples = self.directory / "samples"
        samples.write_bytes(np.ones(20, np.float32).tobytes())
        shut_out = self.stream(samples)
        self.assertEqual(shut_out.wait(DEADLINE_S), 1)
        self.assertIn("needs a token", shut_out.stderr.read())
        wrong = self.stream(samples, token=self.line["token"] + "x")
        self.assertEqual(wrong.wait(DEADLINE_S), 1)
        self.assertIn("is not one of this server's", wrong.stderr.read())
        output, errors = self.stream(samples, "--token-file", self.token_file(self.line["token"])).communicate(timeout=DEADLINE_S)
        report = json.loads(output.splitlines()[-1])
        self.assertEqual((report["inferred"], report["failed"]), (10, 0), errors)

    def test_a_stream_whose_token_ends(self):
        """It takes a token that was replaced, and ends with the reason where it has none any more."""
        pipe = self.directory / "pipe"
        os.mkfifo(pipe)
        stream = self.stream(pipe, "--token-file", self.token_file("first's"))
        lines = self.directory / "windows.jsonl"
        before = len(lines.read_text().splitlines()) if lines.exists() else 0

        def told(windows):
            return lines.exists() and len(lines.read_text().splitlines()) - before >= windows

        def wait_for(what):
            deadline = time.monotonic() + DEADLINE_S
            while not what():
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)

        def set_rules(*extra):
            self.file.write_text(json.dumps(self.rules | {"clients": [*(each for each in self.rules["clients"] if each["name"] != "first"),
                                                                      *extra]}))
            self.server.process.send_signal(signal.SIGHUP)

        def status(token):
            return self.ask("GET", "/v2/models/vad", bearer(token))[0].status

        self.addCleanup(lambda: (self.file.write_text(json.dumps(self.rules)), self.server.process.send_signal(signal.SIGHUP),
                                 wait_for(lambda: status("first's") == 200)))
        with pipe.open("wb", buffering=0) as to:
            to.write(np.ones(2, np.float32).tobytes())
            wait_for(lambda: told(1))
            set_rules({"name": "first", "token_sha256": digest("second's"), "allow": ["infer", "read"]})
            wait_for(lambda: status("second's") == 200)
            self.token_file("second's")
            to.write(np.ones(2, np.float32).tobytes())
            wait_for(lambda: told(2))
            set_rules()
            wait_for(lambda: status("second's") == 401)
            to.write(np.ones(2, np.float32).tobytes())
            self.assertEqual(stream.wait(DEADLINE_S), 1)
        self.assertIn("is not one of this server's", stream.stderr.read())

    def test_rules_are_read_again(self):
        def status(token):
            return self.ask("GET", "/v2/models/vad", bearer(token))[0].status

        def wait_for(token, wanted):
            deadline = time.monotonic() + DEADLINE_S
            while status(token) != wanted:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)

        self.addCleanup(self.file.write_text, json.dumps(self.rules))
        more = {"name": "new", "token_sha256": digest("new one's"), "allow": ["read"]}
        self.file.write_text(json.dumps(self.rules | {"clients": [*self.rules["clients"], more]}))
        self.assertEqual(status("new one's"), 401)
        self.server.process.send_signal(signal.SIGHUP)
        wait_for("new one's", 200)
        # What is wrong changes nothing.
        self.file.write_text('{"format": 1, "clients": 7}')
        self.server.process.send_signal(signal.SIGHUP)
        self.file.write_text(json.dumps(self.rules))
        self.assertEqual(status(self.line["token"]), 200)
        self.server.process.send_signal(signal.SIGHUP)
        wait_for("new one's", 401)

    def test_a_wrong_file_is_no_start(self):
        wrong = self.directory / "wrong.json"
        wrong.write_text('{"format": 1, "clients": [{"name": "a", "user": 1, "allow": ["everything"]}]}')
        done = subprocess.run([infer_server.PROGRAM, "serve", "--http-port", "0", "--runtime", "null", "--access", wrong],
                              capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 2)
        self.assertIn("clients[0].allow[0]", done.stderr)


if __name__ == "__main__":
    unittest.main()
