"""One caller of the inference service that never stops, to see whether it is ever left without an answer.

Streams a recording over and over, window by window with the state carried on, over one HTTP/1.1
connection in the protocol's binary form. A request that fails is not tried again: it counts.

    load.py HOST:PORT MODEL RECORDING

Waits until the model is ready, then prints a line of JSON four times a second: what it has sent and
what came back so far. SIGTERM: one last line, and it ends.
"""

import http.client
import json
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "speech_detector"))
import speech

INTERVAL_S = 0.008  # 125 windows a second: four live microphones
REPORT_S = 0.25
TIMEOUT_S = 10.0
HEADER = {
    "inputs": [
        {"name": "input", "datatype": "FP32", "shape": [1, 576], "parameters": {"binary_data_size": 2304}},
        {"name": "state", "datatype": "FP32", "shape": [2, 1, 128], "parameters": {"binary_data_size": 1024}},
        {"name": "sr", "datatype": "INT64", "shape": [], "parameters": {"binary_data_size": 8}},
    ],
    "outputs": [
        {"name": "output", "parameters": {"binary_data": True}},
        {"name": "stateN", "parameters": {"binary_data": True}},
    ],
}


class Connection:
    """A connection that costs the caller little: the head of every request is the same bytes."""

    def __init__(self, address, model):
        self._address = address
        json_part = json.dumps(HEADER).encode()
        head = (f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: {address[0]}\r\n"
                f"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {len(json_part)}\r\n"
                f"Content-Length: {len(json_part) + 2304 + 1024 + 8}\r\n\r\n").encode()
        self._head = head + json_part
        self._socket = None

    def infer(self, arrays):
        if self._socket is None:
            self._socket = socket.create_connection(self._address, TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tensors = b"".join(arrays[name].tobytes() for name in ("input", "state", "sr"))
        try:
            self._socket.sendall(self._head + tensors)
            status, headers, body = self._receive()
        except OSError:
            self._socket = None  # what is still on its way must not become the next answer
            raise
        if status != 200:
            raise OSError(f"HTTP {status}: {body.decode(errors='replace')}")
        return tensors_of(body, int(headers[b"inference-header-content-length"]))

    def _receive(self):
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._read()
        head, body = data.split(b"\r\n\r\n", 1)
        status_line, *lines = head.split(b"\r\n")
        headers = {key.strip().lower(): value.strip() for key, value in (line.split(b":", 1) for line in lines)}
        while len(body) < int(headers[b"content-length"]):
            body += self._read()
        return int(status_line.split()[1]), headers, body

    def _read(self):
        received = self._socket.recv(1 << 16)
        if not received:
            raise ConnectionResetError("the service closed the connection before it answered")
        return received


def tensors_of(body, header_bytes):
    tensors, at = {}, header_bytes
    for output in json.loads(body[:header_bytes])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        tensors[output["name"]] = np.frombuffer(body, np.float32, size // 4, at).reshape(output["shape"])
        at += size
    return tensors


class Count:
    def __init__(self):
        self.sent = 0
        self.answered = 0
        self.latencies_us = []
        self.errors = []

    def report(self, final=False):
        ordered = sorted(self.latencies_us)
        at = lambda share: ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0
        print(json.dumps({"requests": self.sent, "lost": self.sent - self.answered, "p50_us": at(0.5),
                          "p99_us": at(0.99), "slowest_us": at(1), "errors": self.errors[:3], "final": final}),
              flush=True)


def wait_until_ready(host, port, model, stopped):
    while not stopped:
        try:
            probe = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
            probe.request("GET", f"/v2/models/{model}/ready")
            if probe.getresponse().status == 200:
                return
        except OSError:
            pass  # the service has not started yet
        time.sleep(0.01)


def stream(connection, samples, count, stopped):
    def timed(arrays):
        started = time.perf_counter_ns()
        count.sent += 1
        outputs = connection.infer(arrays)
        count.latencies_us.append((time.perf_counter_ns() - started) // 1000)
        return outputs

    next_report = time.monotonic()
    while not stopped:
        vad = speech.VadStream(timed)
        for window in speech.windows(samples):
            started = time.monotonic()
            if stopped:
                return
            try:
                probability = vad.probability(window)
                if not 0 <= probability <= 1:
                    raise OSError(f"a probability of {probability}")
                count.answered += 1
            except (OSError, ValueError, KeyError) as error:
                count.errors.append(f"{type(error).__name__}: {error}")
            if started >= next_report:
                count.report()
                next_report = started + REPORT_S
            time.sleep(max(0.0, started + INTERVAL_S - time.monotonic()))


def main():
    address, model, recording = sys.argv[1:]
    host, port = address.split(":")
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    samples = speech.resample(*speech.read_wav(recording))
    wait_until_ready(host, int(port), model, stopped)
    count = Count()
    stream(Connection((host, int(port)), model), samples, count, stopped)
    count.report(final=True)


if __name__ == "__main__":
    main()
