"""Inferences through memory that a skerry-infer on this machine shares with this process: no copy through a socket, no JSON.

What lies where in it: docs/data/ring.md. Python has no memory barriers; giving a lock back and taking it again is one, on
every machine that this runs on."""

import mmap
import os
import select
import socket as sockets
import struct
import threading
import time

import numpy as np

from skerry.inference import TYPES, InferenceError, _packed, _reason, _texts

PROTOCOL = "skerry-ring/1"
VERSION = 1
ALIGNMENT = 64
SLOTS_BEGIN = 4096
AREA = 128  # in a slot
SERVER_SLEEPS, CLIENT_SLEEPS = 64 // 4, 128 // 4  # in words
MAX_HEAD_BYTES = 65536
# As element types are numbered.
ORDER = ["BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64", "BYTES"]
CODES = ["ok", "invalid_argument", "not_found", "already_exists", "permission_denied", "failed_precondition", "corrupt",
         "unsupported", "resource_exhausted", "unavailable", "timeout", "cancelled", "internal", "unauthenticated"]
HTTP_CODES = {400: "invalid_argument", 401: "unauthenticated", 403: "permission_denied", 404: "unsupported",
              429: "resource_exhausted", 503: "resource_exhausted"}


class Ring:
    """One connection to the Unix socket of a service, for one thread. `slot_bytes` is room for the tensors of a request, and of
    an answer; it waits for `spin_us` with its eyes open before it sleeps. `token`: as for Inference."""

    def __init__(self, socket, *, token=None, slot_bytes=256 << 10, spin_us=50, timeout_s=60.0):
        token = os.environ.get("SKERRY_INFER_TOKEN") if token is None else token
        self._timeout_s = timeout_s
        self._spin_s = spin_us * 1e-6 if (os.cpu_count() or 1) > 1 else 0
        self._lock = threading.Lock()
        self._lock.acquire()
        self._number = 0
        self._memory = None
        self._socket = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        try:
            self._open(str(socket), token, slot_bytes)
        except OSError as error:
            self.close()
            raise InferenceError(f"the inference service cannot be reached: {error}", "unavailable") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()
        if self._memory is not None:
            self._words.release()
            self._memory.close()
            self._memory = None

    def __call__(self, model, inputs, *, outputs=None, version="", timeout_us=None, priority=None):
        """The model's outputs by name. `inputs`: arrays by name; lists of str and bytes are text."""
        if self._memory is None:
            raise InferenceError("the ring is closed", "unavailable")
        head, tensors = _request(model, inputs, outputs or [], version, timeout_us or 0, priority or 0)
        at = len(head)
        places = []
        for content in tensors:
            at = -(-at // ALIGNMENT) * ALIGNMENT
            places.append(at)
            at += len(content)
        if len(head) > MAX_HEAD_BYTES or at > self._area_bytes:
            raise InferenceError(f"the request needs {at} bytes, and the ring's slots have {self._area_bytes}: open it with "
                                 "larger ones", "invalid_argument")
        begin = SLOTS_BEGIN + AREA
        self._memory[begin:begin + len(head)] = head
        for place, content in zip(places, tensors):
            self._memory[begin + place:begin + place + len(content)] = content
        self._ask(len(head))
        self._wait()
        return self._answer()

    def _open(self, path, token, slot_bytes):
        if token and not all(" " < each < "\x7f" for each in token):
            raise ValueError("a token is one line of printable ASCII")
        self._socket.settimeout(self._timeout_s)
        self._socket.connect(path)
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._socket.sendall(f"GET /v2/ring?slots=1&slot_bytes={int(slot_bytes)} HTTP/1.1\r\nHost: localhost\r\n"
                             f"Connection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n{authorization}\r\n".encode())
        descriptor = self._received()
        self._socket.setblocking(False)
        try:
            self._memory = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self._words = memoryview(self._memory).cast("I")
        self._area_bytes = self._words[4]
        if self._memory[:8] != b"SKRYRING" or self._words[2] != VERSION:
            raise InferenceError("the service's memory has another version", "unsupported")

    def _received(self):
        """The memory's descriptor, which comes behind the answer 101."""
        answer, descriptors = b"", []
        while True:
            more, received, _, _ = sockets.recv_fds(self._socket, 16384, 1)
            descriptors += received
            answer += more
            head, end, body = answer.partition(b"\r\n\r\n")
            status = int((head.split() + [b"", b"0"])[1]) if end else 0
            if status == 101 and descriptors:
                return descriptors[0]
            if status > 101 and len(body) >= _body_bytes(head):
                raise InferenceError(_reason(body, status), HTTP_CODES.get(status, "internal"), status)
            if not more:
                raise InferenceError("the inference service does not answer", "unavailable")

    def _fence(self):
        self._lock.release()
        self._lock.acquire()

    def _ask(self, head_bytes):
        slot = SLOTS_BEGIN // 4
        self._number = (self._number + 1) & 0xffffffff
        self._words[slot + 1] = head_bytes
        self._fence()
        self._words[slot] = self._number
        self._fence()
        if self._words[SERVER_SLEEPS]:
            self._wake()

    def _wake(self):
        try:
            self._socket.send(b"\1")
        except OSError:
            pass  # whoever waits sees that the service is gone

    def _is_answered(self):
        return self._words[SLOTS_BEGIN // 4 + 16] == self._number

    def _wait(self):
        until = time.monotonic() + self._spin_s
        while time.monotonic() < until:
            if self._is_answered():
                return self._fence()
        self._words[CLIENT_SLEEPS] = 1
        self._fence()
        deadline = time.monotonic() + self._timeout_s
        while not self._is_answered():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                self.close()  # the answer may still come, into what the next request would use
                raise InferenceError("the inference service does not answer in time", "timeout")
            if not self._woken() and not self._is_answered():
                self.close()
                raise InferenceError("the inference service is gone", "unavailable")
        self._words[CLIENT_SLEEPS] = 0
        return self._fence()

    def _woken(self):
        try:
            return bool(self._socket.recv(256))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _answer(self):
        head_bytes = self._words[SLOTS_BEGIN // 4 + 17]
        begin = SLOTS_BEGIN + AREA
        head = self._memory[begin:begin + head_bytes]
        status, _, count, version_bytes, message_bytes = struct.unpack_from("<IIHHI", head)
        at = 16 + version_bytes
        if status:
            code = CODES[status] if status < len(CODES) else "unknown"
            raise InferenceError(head[at:at + message_bytes].decode(errors="replace"), code)
        at += message_bytes
        arrays, place = {}, head_bytes
        for _ in range(count):
            kind, rank, name_bytes, size = struct.unpack_from("<HHIQ", head, at)
            shape = struct.unpack_from(f"<{rank}q", head, at + 16)
            at += 16 + 8 * rank
            name = head[at:at + name_bytes].decode()
            at += name_bytes
            place = -(-place // ALIGNMENT) * ALIGNMENT
            content = self._memory[begin + place:begin + place + size]
            place += size
            arrays[name] = (_texts(content, shape) if ORDER[kind] == "BYTES" else
                            np.frombuffer(content, TYPES[ORDER[kind]]).reshape(shape))
        return arrays


def _request(model, inputs, outputs, version, timeout_us, priority):
    """The head, and the inputs' bytes."""
    texts = [model.encode(), version.encode()]
    head = [struct.pack("<IIQHHHH", 1, priority, timeout_us, len(inputs), len(outputs), len(texts[0]), len(texts[1])), *texts]
    tensors = []
    for name, value in inputs.items():
        datatype, shape, content = _packed(name, value)
        name = name.encode()
        head.append(struct.pack(f"<HHIQ{len(shape)}q", ORDER.index(datatype), len(shape), len(name), len(content), *shape) + name)
        tensors.append(content)
    head += [struct.pack("<H", len(name.encode())) + name.encode() for name in outputs]
    return b"".join(head), tensors


def _body_bytes(head):
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
