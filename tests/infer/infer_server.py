"""What the tests of this folder share: model packages, and a skerry-infer of one's own.

The test programs are called as  TEST SKERRY_INFER SKERRY_CACHE SOURCE_DIR.
"""

import hashlib
import json
import pathlib
import runpy
import signal
import subprocess
import sys

SOURCE = pathlib.Path(sys.argv.pop())
CACHE = pathlib.Path(sys.argv.pop())
PROGRAM = sys.argv.pop()
MAKE = runpy.run_path(str(SOURCE / "src/runtime/testdata/make_models.py"))  # ONNX files, part by part
ONNX_MODELS = MAKE["MODELS"]
DEADLINE_S = 30


def tensor(name, datatype, shape):
    return {"name": name, "datatype": datatype, "shape": shape}


def write_package(directory, name, version, runtime, model, inputs, outputs, **more):
    directory.mkdir(parents=True)
    (directory / "model.bin").write_bytes(model)
    manifest = {"format": 1, "name": name, "version": version, "runtime": runtime, "file": "model.bin",
                "sha256": hashlib.sha256(model).hexdigest(), "inputs": inputs, "outputs": outputs, **more}
    (directory / "model.json").write_text(json.dumps(manifest))
    return directory


def affine_package(directory, version, onnx_name, columns=2):
    return write_package(directory, "affine", version, "onnxruntime", ONNX_MODELS[onnx_name],
                         [tensor("x", "FP32", [-1, columns])], [tensor("y", "FP32", [-1, columns])])


def null_package(directory, name, datatype, shape, behaviour="identity", **more):
    model = {"null_model": 1, "behaviour": behaviour, "inputs": [tensor("x", datatype, shape)],
             "outputs": [tensor("y", datatype, shape)]}
    return write_package(directory, name, "1", "null", json.dumps(model).encode(), model["inputs"], model["outputs"],
                         **more)


class Server:
    """A skerry-infer of its own."""

    def __init__(self, directory, *options, onnxruntime=CACHE / "onnxruntime/lib/libonnxruntime.so", **process):
        self.socket = directory / "infer.sock"
        self.process = subprocess.Popen(
            # It ends with the test, whatever ends that: vendors' libraries run in it, too.
            ["setpriv", "--pdeathsig", "KILL", PROGRAM, "serve", "--socket", self.socket, "--http-port", "0", "--json", "--runtime", "null",
             "--runtime", f"onnxruntime={onnxruntime}", *options],
            stdout=subprocess.PIPE, text=True, **process)
        ready = json.loads(self.process.stdout.readline())
        self.url = f"127.0.0.1:{ready['http_port']}"

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.stdout.close()
        return self.process.wait(DEADLINE_S)

    def command(self, name, *arguments):
        """`command("runtime", "add", …)`: the options come after the words of the command."""
        words = [name]
        while name == "runtime" and len(words) < 2:
            words.append(arguments[0])
            arguments = arguments[1:]
        return subprocess.run([PROGRAM, *words, "--socket", self.socket, *arguments], capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)

    def load(self, name, package):
        return self.command("load", name, package)

    def load_examples(self, directory):
        """`affine`, and models called like a type that answer with what they are given."""
        self.load("affine", affine_package(directory / "affine", "1", "double.onnx"))
        for kind in ("BYTES", "BOOL", "INT8", "UINT64", "FP16", "FP64"):
            self.load(kind, null_package(directory / kind, kind, kind, [-1, -1]))
