"""The Open Inference Protocol v2 with binary tensors both ways, over one connection that is kept."""

import http.client
import json
import os
import socket
import struct
import urllib.parse

import numpy as np

HEADER = "Inference-Header-Content-Length"
TYPES = {"BOOL": np.bool_, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8,
         "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "FP16": np.float16, "FP32": np.float32,
         "FP64": np.float64}
NAMES = {np.dtype(kind): name for name, kind in TYPES.items()}
RETRYABLE = {"unavailable", "timeout", "resource_exhausted"}


class InferenceError(Exception):
    """Why the service did not answer. `code` is its cause, `status` the one of HTTP (0: no answer came)."""

    def __init__(self, message, code, status=0):
        super().__init__(message)
        self.code = code
        self.status = status

    @property
    def retryable(self):
        return self.code in RETRYABLE


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout_s):
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Inference:
    """One connection to a service, for one thread. `socket` is the path of its Unix socket, `url` its address, `token` what a
    service with access rules knows this client by (default: the environment variable SKERRY_INFER_TOKEN, else none is sent)."""

    def __init__(self, url="http://127.0.0.1:8000", *, socket=None, token=None, timeout_s=60.0):
        token = os.environ.get("SKERRY_INFER_TOKEN") if token is None else token
        self._headers = {} if not token else {"Authorization": f"Bearer {token}"}
        if socket is not None:
            self._connection = _UnixConnection(str(socket), timeout_s)
        else:
            parts = urllib.parse.urlsplit(url if "//" in url else "http://" + url)
            if parts.scheme != "http" or not parts.hostname:
                raise ValueError(f"'{url}' is no http:// address")
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout_s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._connection.close()

    def __call__(self, model, inputs, *, outputs=None, version="", timeout_us=None, priority=None):
        """The model's outputs by name. `inputs`: arrays by name; lists of str and bytes are text."""
        head = {"inputs": [], "parameters": {"binary_data_output": True}}
        if timeout_us is not None:
            head["parameters"]["timeout"] = int(timeout_us)
        if priority is not None:
            head["parameters"]["priority"] = int(priority)
        if outputs is not None:
            head["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
        tensors = []
        for name, value in inputs.items():
            datatype, shape, content = _packed(name, value)
            head["inputs"].append({"name": name, "datatype": datatype, "shape": shape,
                                   "parameters": {"binary_data_size": len(content)}})
            tensors.append(content)
        head = json.dumps(head).encode()
        headers, body = self._ask("POST", _path(model, version) + "/infer", b"".join([head, *tensors]), {HEADER: str(len(head))})
        return _unpacked(headers, body)

    def models(self):
        """What there is: a list of {"name", "version", "state", "reason"}."""
        return json.loads(self._ask("POST", "/v2/repository/index", b"{}")[1])

    def describe(self, model, version=""):
        """Inputs, outputs, versions and platform of a model."""
        return json.loads(self._ask("GET", _path(model, version))[1])

    def is_ready(self, model=None):
        """Whether the model answers, or (without one) the service."""
        try:
            self._ask("GET", _path(model, "") + "/ready" if model else "/v2/health/ready")
        except InferenceError as error:
            if error.status or error.retryable:
                return False
            raise
        return True

    def load(self, model, folder, *, label=""):
        """Serves the package in the folder, as `skerry-infer load` does."""
        parameters = {"path": str(folder)} | ({"label": label} if label else {})
        return json.loads(self._ask("POST", f"/v2/repository/models/{_quoted(model)}/load",
                                    json.dumps({"parameters": parameters}).encode())[1])

    def unload(self, model):
        self._ask("POST", f"/v2/repository/models/{_quoted(model)}/unload", b"{}")

    def _ask(self, method, path, body=None, headers=None):
        """Headers and body of a success. A kept connection that has gone stale is made anew once, before anything was read."""
        for is_last in (self._connection.sock is None, True):
            try:
                self._connection.request(method, path, body, self._headers | (headers or {}))
                response = self._connection.getresponse()
                content = response.read()
                break
            except (ConnectionError, http.client.BadStatusLine) as error:
                self._connection.close()
                if is_last:
                    raise InferenceError(f"the inference service cannot be reached: {error}", "unavailable") from error
            except TimeoutError as error:
                self._connection.close()
                raise InferenceError("the inference service does not answer in time", "timeout") from error
            except OSError as error:
                self._connection.close()
                raise InferenceError(f"the inference service cannot be reached: {error}", "unavailable") from error
        if response.status // 100 == 2:
            return response.headers, content
        raise InferenceError(_reason(content, response.status), response.headers.get("Skerry-Error", "unknown"), response.status)


def _quoted(name):
    return urllib.parse.quote(name, safe="")


def _path(model, version):
    return f"/v2/models/{_quoted(model)}" + (f"/versions/{_quoted(version)}" if version else "")


def _reason(content, status):
    try:
        return json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        return f"status {status}"


def _is_text(value):
    """Whether lists end in str or bytes, which NumPy would otherwise make of one width."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (str, bytes))


def _packed(name, value):
    """Datatype, shape and bytes of an input."""
    array = np.asarray(value, dtype=object if _is_text(value) else None)
    if array.dtype.kind in "OSU":
        elements = [each.encode() if isinstance(each, str) else bytes(each) for each in array.ravel()]
        return "BYTES", list(array.shape), b"".join(struct.pack("<I", len(each)) + each for each in elements)
    if array.dtype not in NAMES:
        raise TypeError(f"input '{name}' is {array.dtype}, which the protocol does not have")
    return NAMES[array.dtype], list(array.shape), np.ascontiguousarray(array).tobytes()


def _unpacked(headers, body):
    size = int(headers.get(HEADER, len(body)))
    arrays, at = {}, size
    for output in json.loads(body[:size])["outputs"]:
        length = output["parameters"]["binary_data_size"]
        content, at = body[at:at + length], at + length
        arrays[output["name"]] = (_texts(content, output["shape"]) if output["datatype"] == "BYTES" else
                                  np.frombuffer(content, TYPES[output["datatype"]]).reshape(output["shape"]))
    return arrays


def _texts(content, shape):
    elements, at = [], 0
    while at < len(content):
        [length] = struct.unpack_from("<I", content, at)
        elements.append(content[at + 4:at + 4 + length])
        at += 4 + length
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)
