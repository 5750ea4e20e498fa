"""`./dev demo patterns`: one device asks models in every way there is, and no component on it has code of its user's:
a pipeline from the bytes of an image to names, single requests, many rows in one job, and streams from recordings and images.

The images are Fashion-MNIST's, the recordings Debian's, the models real ones.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
import wave
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent), str(ROOT / "tools")]

import demo  # noqa: E402
import fashion_mnist  # noqa: E402
import packages  # noqa: E402
import stage  # noqa: E402
import testbed  # noqa: E402
from packages import INFER, MODEL  # noqa: E402
from testbed import Failure  # noqa: E402

PATTERNS = HERE.parent / "patterns"
PICTURES, TABLE = "com.example.PicturesModel", "com.example.TableModel"
STREAMS = {"com.example.SpeechStream": "speech_stream", "com.example.PictureStream": "picture_stream"}
TOPIC = f"{demo.THING}/patterns/answers"
PICTURE_COUNT = 200
ROW_COUNT = 4000
REQUESTS = 500
WINDOW, STRIDE, BEFORE, RATE = 576, 512, 64, 16_000
CODE = {".py", ".js", ".sh", ".cc", ".so", ".jar", ".zip"}


def png(pixels):
    """A grey PNG of 28 lines."""
    chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    lines = b"".join(b"\0" + pixels[first:first + 28] for first in range(0, len(pixels), 28))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def windows_of(recording):
    """How many windows a recording has, by its length."""
    with wave.open(str(recording)) as file:
        samples = -(-file.getnframes() * RATE // file.getframerate())
    return max(0, (BEFORE + samples - WINDOW) // STRIDE + 1)


class Caller:
    """Asks for one inference after the other over one connection, always the same one."""

    def __init__(self, address, model, tensors):
        inputs = [{"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(content)}}
                  for name, datatype, shape, content in tensors]
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        body = head + b"".join(content for *_, content in tensors)
        self._request = (f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: device\r\nInference-Header-Content-Length: {len(head)}\r\n"
                         f"Content-Length: {len(body)}\r\n\r\n").encode() + body
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self):
        self._socket.sendall(self._request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._socket.recv(65536) or self._ended()
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        size = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:"))
        while len(body) < size:
            body += self._socket.recv(65536) or self._ended()
        if " 200 " not in lines[0]:
            raise Failure(f"an inference ends with {lines[0]}: {body[:300]!r}")

    def p50_us(self):
        times = []
        for _ in range(REQUESTS):
            started = time.perf_counter_ns()
            self.ask()
            times.append(time.perf_counter_ns() - started)
        self._socket.close()
        return round(statistics.median(times) / 1000)

    @staticmethod
    def _ended():
        raise Failure("the inference service has closed the connection")


class Patterns(demo.Demo):
    def run(self):
        if not fashion_mnist.DATA.is_dir():
            raise Failure(fashion_mnist.MISSING)
        self.make_pictures()
        self.start()
        self.first_deployment()
        self.synchronous()
        self.batch()
        self.streams()

    def make_pictures(self):
        """As files, for the pipeline; as rows of a table, for the model itself."""
        images, self.labels = fashion_mnist.read("t10k-images-idx3-ubyte"), fashion_mnist.read("t10k-labels-idx1-ubyte")
        self.names = (PATTERNS / "labels.txt").read_text().splitlines()
        self.pictures = self.bed.directory / "pictures"
        self.pictures.mkdir()
        self.pictures.chmod(0o755)
        self.bed.directory.chmod(0o755)
        for i in range(PICTURE_COUNT):
            (self.pictures / f"{i:04}.png").write_bytes(png(images[i].tobytes()))
        self.rows = self.bed.directory / "rows.npy"
        import numpy as np
        np.save(self.rows, images[:ROW_COUNT, None].astype(np.float32) / 255)

    def start(self):
        self.screen.heading("A control plane and a device")
        self.fleet.open_to_subscribers(TOPIC)
        self.fleet.start()
        self.publish("inference", lambda folder: packages.infer(folder, self.bed.bin_dir))
        self.publish("runtime", packages.onnxruntime)
        self.publish_model("1.0.0")
        self.publish_file("pictures", PATTERNS / "pictures.pipeline.json", "--component", PICTURES, "--file", fashion_mnist.MODEL, "--file",
                          PATTERNS / "labels.txt", "--file", self.sample())
        self.publish_file("table", fashion_mnist.MODEL, "--component", TABLE)
        self.code_lines = 0
        for component, folder in STREAMS.items():
            self.code_lines += sum(len(path.read_bytes().splitlines()) for path in (PATTERNS / folder).iterdir() if path.suffix in CODE)
            self.fleet.cli("component", "publish", PATTERNS / folder / "recipe.yaml")
            self.screen.step("publish", f"{component} 1.0.0  (a recipe alone)")
        self.start_device()
        self.topic = TOPIC
        self.start_console()

    def sample(self):
        path = self.bed.directory / "sample.png"
        path.write_bytes((self.pictures / "0000.png").read_bytes())
        return path

    def publish_file(self, name, file, *options):
        self.fleet.cli("model", "publish", file, "--name", name, "--version", "1.0.0", "--contract", PATTERNS / f"{name}.json",
                       *options)
        self.screen.step("publish", f"model {name} 1.0.0  ({file.name})")

    def first_deployment(self):
        self.screen.heading("Everything in one deployment")
        port = int(self.inference.split(":")[1])
        sinks = [{"iotCore": TOPIC}, {"topic": "patterns/answers"}]
        source = {"directory": str(self.pictures), "suffix": ".png", "then": "watch"}
        self.deploy({INFER: "0.1.0", MODEL: "1.0.0", PICTURES: "1.0.0", TABLE: "1.0.0", **dict.fromkeys(STREAMS, "1.0.0")},
                    {INFER: {"merge": {"httpPort": port}}, "com.example.SpeechStream": {"merge": {"stream": {"sinks": sinks}}},
                     "com.example.PictureStream": {"merge": {"stream": {"sinks": sinks, "source": source}}}})

    def synchronous(self):
        self.screen.heading("Synchronous: one request, one answer")
        silence = [("input", "FP32", [1, 576], bytes(2304)), ("state", "FP32", [2, 1, 128], bytes(1024)),
                   ("sr", "INT64", [], struct.pack("<q", RATE))]
        self.measured["sync_p50_us"] = Caller(self.inference, packages.MODEL_NAME, silence).p50_us()
        self.screen.step("speech", f"a window of 32 ms: {self.measured['sync_p50_us']} µs, the caller's own time with it")
        image = (self.pictures / "0000.png").read_bytes()
        file = [("file", "BYTES", [1], struct.pack("<I", len(image)) + image)]
        self.measured["pipeline_p50_us"] = Caller(self.inference, "pictures", file).p50_us()
        self.screen.step("pipeline", f"a PNG file to names, eight steps: {self.measured['pipeline_p50_us']} µs")

    def batch(self):
        self.screen.heading("Batch: every row of a file, once")
        out = self.bed.directory / "scores.jsonl"
        command = [self.bed.program("skerry"), "--json", "infer", "bulk", "table", "--in", self.rows, "--out", out, "--rows", "64",
                   "--server", f"http://{self.inference}"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"skerry infer bulk failed: {done.stderr}")
        report = json.loads(done.stdout)
        rows = [json.loads(line)["outputs"][0]["data"] for line in out.read_text().splitlines()]
        right = sum(row.index(max(row)) == label for row, label in zip(rows, self.labels))
        self.measured["batch_rows_per_s"] = round(report["items_per_s"])
        self.lost = ROW_COUNT - len(rows)
        self.screen.step("table", f"{len(rows)} images, {self.measured['batch_rows_per_s']} a second, {100 * right / len(rows):.1f} % right")

    def streams(self):
        self.screen.heading("Stream: recordings and images, as they come")
        expected = {recording.name: windows_of(recording) for recording in demo.RECORDINGS.glob("*.wav")}
        speech, pictures = sum(expected.values()), PICTURE_COUNT

        def complete(messages):
            found = {}
            for message in messages:
                found.setdefault(message["model"], {})[message["source"], message["window"]] = message["outputs"]
            whole = (len(found.get(packages.MODEL_NAME, {})) >= speech and len(found.get("pictures", {})) >= pictures)
            return found if whole else None

        found = self.console.wait_for(complete, timeout_s=120)
        for name in sorted(expected):
            bar = "".join("#" if found[packages.MODEL_NAME][name, i]["output"][0] > 0.5 else "." for i in range(expected[name]))
            self.screen.line(f"  {name:<18} {bar}")
        named = [found["pictures"][f"{i:04}.png", 0]["names"][0] for i in range(pictures)]
        right = sum(name == self.names[label] for name, label in zip(named, self.labels))
        self.screen.step("pictures", f"{pictures} images: {', '.join(named[:5])}, …: {100 * right / pictures:.1f} % right")
        if right < 0.75 * pictures:
            raise Failure(f"only {right} of {pictures} images are named right")
        self.lost += speech + pictures - len(found[packages.MODEL_NAME]) - len(found["pictures"])
        self.measured.update(stream_windows=speech, stream_images=pictures, user_code_lines=self.code_lines, lost=self.lost)
        self.measured.pop("start_to_connected_ms", None)
        if self.lost:
            raise Failure(f"{self.lost} answers are missing")

    def show_next_commands(self):
        self.screen.heading("It goes on; Ctrl-C ends it")
        self.screen.line(f"  Put a PNG or JPEG into {self.pictures}, as NAME.png, and hear what it is at {TOPIC}")
        with contextlib.suppress(OSError):
            self.screen.line(f"  Models: curl -s http://{self.inference}/v2/models/stats")


def main():
    parser = argparse.ArgumentParser(prog="./dev demo patterns", description=__doc__.split("\n", 1)[0],
                                     epilog="Example: ./dev demo patterns --once")
    stage.add_options(parser)
    return stage.play("patterns", parser.parse_args(), Patterns)


if __name__ == "__main__":
    sys.exit(main())
