"""What skerry-infer answers over HTTP beside the real Triton: status and shape of the answer to each request of triton_corpus.py, and
the outputs where there are some. Differences are those of triton_differences.md, each with its reason, no more and no fewer.
Skipped (77) where `./dev setup triton` has not been run.

    triton_test.py [--print] SKERRY_INFER SKERRY_CACHE SOURCE_DIR     --print: the table as it is now, with the reasons that there are
"""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from infer_server import CACHE, DEADLINE_S, Server, null_package
from triton_corpus import HEAD, MODELS, REQUESTS

TRITON = CACHE / "triton/pytriton/tritonserver"
if not (TRITON / "bin/tritonserver").exists():
    print("Triton is not there: run ./dev setup triton")
    raise SystemExit(77)
TABLE = pathlib.Path(__file__).with_name("triton_differences.md")
IDENTITY = """import triton_python_backend_utils as utils


class TritonPythonModel:
    def execute(self, requests):
        return [utils.InferenceResponse([utils.Tensor("y", utils.get_input_tensor_by_name(each, "x").as_numpy())]) for each in requests]
"""
# What names the server itself.
OWN = {"name", "version", "platform", "backend", "extensions", "model_name"}


class Triton:
    def __init__(self, directory):
        for name, (datatype, shape) in MODELS.items():
            folder = directory / "models" / name / "1"
            folder.mkdir(parents=True)
            (folder / "model.py").write_text(IDENTITY)
            kind = {"BYTES": "STRING"}.get(datatype, datatype)
            tensors = "\n".join(f'{what} [{{ name: "{tensor}" data_type: TYPE_{kind} dims: {shape} }}]'
                                for what, tensor in (("input", "x"), ("output", "y")))
            (folder.parent / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "python"\nmax_batch_size: 0\n{tensors}\n'
                                                        "instance_group [{ kind: KIND_CPU count: 1 }]\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"127.0.0.1:{port}"
        self.command = [TRITON / "bin/tritonserver", f"--model-repository={directory / 'models'}", f"--backend-directory={TRITON / 'backends'}",
                        f"--http-port={port}", "--http-address=127.0.0.1", "--allow-grpc=false", "--allow-metrics=false"]
        self.log = directory / "triton.log"
        self.start()

    def start(self):
        # The stub is Debian's Python, which finds NumPy where the tests have it.
        environment = os.environ | {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CACHE / "venv/lib/python3.11/site-packages")}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(self.command, env=environment, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + DEADLINE_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.log.read_text()[-3000:])
            time.sleep(0.1)

    def is_ready(self):
        try:
            return ask(self.url, REQUESTS["GET /v2/health/ready"])[0] == 200
        except OSError:
            return False

    def ask(self, request):
        """As ask(); a request that ends the process has status -1, and the process is started again."""
        answer = ask(self.url, request)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(3 if answer[0] == 0 else 0)
            self.end_stubs()
            self.start()
            return -1, {}, b""
        return answer

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE_S)
        self.end_stubs()

    def end_stubs(self):
        """The models' own processes, which go on where the server has ended otherwise than by its own will."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def ask(url, request):
    """Status, headers, body."""
    host, port = url.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=DEADLINE_S)
    try:
        connection.request(request.method, request.target, request.body or None, request.headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    except (ConnectionError, http.client.BadStatusLine):
        return 0, {}, b""  # it hangs up
    finally:
        connection.close()


def form(value, path=""):
    """The members of a document, to any depth, with the types of their values; elements of lists as their first one."""
    if isinstance(value, dict):
        return {member for key, each in value.items() for member in form(each, f"{path}.{key}" if path else key)}
    if isinstance(value, list):
        return form(value[0], path + "[]") if value else {path + "[]"}
    kind = "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
    return {f"{path}: {kind}"}


def seen(answer):
    """(what is compared, as a text of the table)"""
    status, headers, body = answer
    if status < 1:
        return (status,), "hangs up" if status == 0 else "ends"
    size = int(headers.get(HEAD) or len(body))
    try:
        document = json.loads(body[:size]) if size else None
    except ValueError:
        return (status, "no JSON"), f"{status}, no JSON"
    if isinstance(document, dict) and "outputs" in document and "inputs" not in document:
        rest = form({key: value for key, value in document.items() if key not in ("outputs", "parameters")})
        outputs = [{key: each.get(key) for key in ("datatype", "shape", "data")} for each in document["outputs"]]
        return (status, document["outputs"], body[size:], rest), f"{status}: " + json.dumps(outputs).replace('"', "")[1:-1]
    if status // 100 != 2:
        # A reason, or none: no client reads more out of it.
        return (status, "error" if isinstance(document, dict) and "error" in document else "empty"), str(status)
    members = form(document) if document is not None else set()
    members = {each for each in members if each.split(":")[0].split(".")[0].removesuffix("[]") not in OWN}
    return (status, members), str(status)


def difference(triton, skerry):
    """None, or the two cells of the table."""
    (left, left_text), (right, right_text) = seen(triton), seen(skerry)
    if left == right:
        return None
    if left_text == right_text and isinstance(left[-1], set) and isinstance(right[-1], set):
        named = lambda member: ".".join(member.split(":")[0].replace("[]", "").split(".")[-2:])
        only = lambda one, other: ", ".join(sorted({named(each) for each in one[-1] - other[-1]})) or "nothing more"
        return f"{left_text}: {only(left, right)}", f"{right_text}: {only(right, left)}"
    if left_text == right_text:
        return f"{left_text} ({left[1]})", f"{right_text} ({right[1]})"
    return left_text, right_text


def rows():
    """{request: (triton, skerry, reason)} of the table."""
    found = {}
    for line in TABLE.read_text().splitlines() if TABLE.exists() else []:
        cells = [cell.strip().replace("\\|", "|") for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] not in ("Request", "---"):
            found[cells[0]] = tuple(cells[1:])
    return found


class Wire(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-triton-")
        cls.addClassCleanup(scratch.cleanup)
        directory = pathlib.Path(scratch.name)
        cls.triton = Triton(directory)
        cls.addClassCleanup(cls.triton.stop)
        cls.skerry = Server(directory)
        cls.addClassCleanup(lambda: cls.skerry.stop())
        for name, (datatype, shape) in MODELS.items():
            done = cls.skerry.load(name, null_package(directory / name, name, datatype, shape))
            assert done.returncode == 0, done.stderr

    def differences(self):
        found = {}
        for name, request in REQUESTS.items():
            cells = difference(self.triton.ask(request), ask(self.skerry.url, request))
            if cells:
                found[name] = cells
        return found

    def test_each_request_of_the_corpus(self):
        self.assertGreaterEqual(len(REQUESTS), 100)
        found, listed = self.differences(), rows()
        if "--print" in sys.argv:
            for name, cells in found.items():
                reason = listed.get(name, ("", "", "?"))[2]
                print("| " + " | ".join(cell.replace("|", "\\|") for cell in (name, *cells, reason)) + " |")
            return
        self.assertEqual(found, {name: cells[:2] for name, cells in listed.items()})
        self.assertFalse([name for name, cells in listed.items() if cells[2] in ("", "?")], "without a reason")
        self.assertIsNone(self.skerry.process.poll())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
