"""Requests of the Open Inference Protocol, valid and not, for servers with the models of MODELS: each gives its input x as y.

REQUESTS: {name: Request}, each name once.
"""

import dataclasses
import gzip
import json
import struct
import zlib

# Datatype and shape of x and y.
MODELS = {"fp32": ("FP32", [-1, 2]), "fp64": ("FP64", [-1, 2]), "int64": ("INT64", [-1, 2]), "uint8": ("UINT8", [-1, 2]),
          "bool": ("BOOL", [-1, 2]), "bytes": ("BYTES", [-1])}
HEAD = "Inference-Header-Content-Length"


@dataclasses.dataclass
class Request:
    method: str
    target: str
    body: bytes = b""
    headers: dict = dataclasses.field(default_factory=dict)


REQUESTS = {}


def add(name, method, target, body=b"", **headers):
    assert name not in REQUESTS, name
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    REQUESTS[name] = Request(method, target, content, {key.replace("_", "-"): value for key, value in headers.items()})


def x(data=(1, 2), datatype="FP32", shape=(1, 2), **more):
    return {"name": "x", "datatype": datatype, "shape": list(shape), "data": data if isinstance(data, (str, dict, int)) or data is None
            else list(data), **more}


def without(key, tensor=None):
    return {name: value for name, value in (tensor or x()).items() if name != key}


def infer(name, *inputs, model="fp32", headers=None, **document):
    add(f"infer: {name}", "POST", f"/v2/models/{model}/infer", {"inputs": list(inputs) or [x()], **document}, **(headers or {}))


def raw(name, body, model="fp32", **headers):
    add(f"infer: {name}", "POST", f"/v2/models/{model}/infer", body, **headers)


def binary(name, content, tensor=None, model="fp32", size=None, head_bytes=None, **document):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], **(tensor or {}),
              "parameters": {"binary_data_size": len(content) if size is None else size}}
    head = json.dumps({"inputs": [tensor], **document}).encode()
    add(f"binary: {name}", "POST", f"/v2/models/{model}/infer", head + content,
        **{HEAD: str(len(head)) if head_bytes is None else head_bytes})


FLOATS = struct.pack("<2f", 1.5, -2)

# What there is.
for path in ("", "/health/live", "/health/ready", "/models/fp32", "/models/fp32/versions/1", "/models/fp32/ready",
             "/models/fp32/versions/1/ready", "/models/fp32/config", "/models/fp32/versions/1/config", "/models/fp32/stats",
             "/models/fp32/versions/1/stats", "/models/stats", "/models/bytes", "/systemsharedmemory/status", "/trace/setting", "/logging"):
    add(f"GET /v2{path}", "GET", f"/v2{path}")
for path in ("/models/none", "/models/none/ready", "/models/none/config", "/models/none/stats", "/models/fp32/versions/9",
             "/models/fp32/versions/9/ready", "/models/fp32/versions/9/stats", "/models/fp32/versions/x", "/models/fp32/nothing", "/nothing",
             "/models", "/systemsharedmemory/region/none/status"):
    add(f"GET /v2{path}", "GET", f"/v2{path}")
add("GET /", "GET", "/")
add("GET /v1", "GET", "/v1")
for method, path in (("POST", ""), ("POST", "/health/live"), ("POST", "/models/fp32"), ("GET", "/models/fp32/infer"), ("PUT", "/models/fp32/infer"),
                     ("DELETE", "/models/fp32"), ("GET", "/repository/index")):
    add(f"{method} /v2{path}", method, f"/v2{path}")

# The repository, regions, settings.
add("index", "POST", "/v2/repository/index", {})
add("index: what is ready", "POST", "/v2/repository/index", {"ready": True})
add("index: without a body", "POST", "/v2/repository/index")
add("index: no JSON", "POST", "/v2/repository/index", b"{")
add("load: a model that nobody has", "POST", "/v2/repository/models/none/load", {})
add("unload: a model that nobody has", "POST", "/v2/repository/models/none/unload", {})
add("region: without a key", "POST", "/v2/systemsharedmemory/region/r/register", {"offset": 0, "byte_size": 8})
add("region: without a size", "POST", "/v2/systemsharedmemory/region/r/register", {"key": "/none", "offset": 0})
add("region: a key that is not there", "POST", "/v2/systemsharedmemory/region/r/register", {"key": "/skerry-none", "offset": 0, "byte_size": 8})
add("region: no JSON", "POST", "/v2/systemsharedmemory/region/r/register", b"[")
add("region: unregister one that is not", "POST", "/v2/systemsharedmemory/region/none/unregister")
add("region: unregister all", "POST", "/v2/systemsharedmemory/unregister")
add("trace: an unknown setting", "POST", "/v2/trace/setting", {"sauce": ["1"]})
add("trace: no JSON", "POST", "/v2/trace/setting", b"{")
add("logging: an unknown setting", "POST", "/v2/logging", {"sauce": True})
add("logging: another type", "POST", "/v2/logging", {"log_info": "yes"})

# Inferences that succeed.
infer("floats")
infer("an id", id="42")
infer("a batch", x(range(6), shape=[3, 2]))
infer("nested data", x([[1, 2], [3, 4]], shape=[2, 2]))
infer("no rows", x([], shape=[0, 2]))
infer("doubles", x([0.1, 1e300], "FP64"), model="fp64")
infer("large integers", x([2**53 + 1, -2**63], "INT64"), model="int64")
infer("bytes as numbers", x([0, 255], "UINT8"), model="uint8")
infer("booleans", x([True, False], "BOOL"), model="bool")
infer("texts", x(["a", "é\n"], "BYTES", [2]), model="bytes")
infer("an empty text", x([""], "BYTES", [1]), model="bytes")
infer("an output by name", outputs=[{"name": "y"}])
infer("no output by name", outputs=[])
infer("an output in binary", outputs=[{"name": "y", "parameters": {"binary_data": True}}])
infer("all outputs in binary", parameters={"binary_data_output": True})
infer("one output in JSON after all", parameters={"binary_data_output": True}, outputs=[{"name": "y", "parameters": {"binary_data": False}}])
infer("texts in binary", x(["a", "bc"], "BYTES", [2]), model="bytes", parameters={"binary_data_output": True})
infer("priority and timeout", parameters={"priority": 0, "timeout": 10_000_000})
infer("parameters that nobody knows", parameters={"a": 1, "b": "c", "d": True})
infer("classification", x([3, 7]), outputs=[{"name": "y", "parameters": {"classification": 1}}])
infer("more classes than there are", x([3, 7]), outputs=[{"name": "y", "parameters": {"classification": 9}}])
infer("unknown members", x(sauce=1), sauce=[{}])
add("infer: by version", "POST", "/v2/models/fp32/versions/1/infer", {"inputs": [x()]})
binary("floats", FLOATS)
binary("a batch", FLOATS * 2, {"shape": [2, 2]})
binary("texts", struct.pack("<I2sI", 2, b"\0\xff", 0), {"datatype": "BYTES", "shape": [2]}, model="bytes", parameters={"binary_data_output": True})
binary("booleans", b"\1\0", {"datatype": "BOOL"}, model="bool")
binary("both ways", FLOATS, outputs=[{"name": "y", "parameters": {"binary_data": True}}])
body = json.dumps({"inputs": [x()]}).encode()
raw("gzip", gzip.compress(body), Content_Encoding="gzip")
raw("deflate", zlib.compress(body), Content_Encoding="deflate")
raw("another content type", body, Content_Type="text/plain")
raw("whitespace around", b"\n " + body + b" \n")

# And those that do not.
for key in ("name", "shape", "datatype", "data"):
    infer(f"an input without {key}", without(key))
infer("an input that the model does not have", x() | {"name": "z"})
infer("one input too many", x(), x() | {"name": "z"})
infer("the same input twice", x(), x())
infer("an output that the model does not have", outputs=[{"name": "z"}])
infer("the same output twice", outputs=[{"name": "y"}, {"name": "y"}])
infer("an output without a name", outputs=[{}])
infer("outputs that are no list", outputs={"name": "y"})
infer("another datatype", x(datatype="INT64"))
infer("a datatype that is none", x(datatype="FLOAT"))
infer("a datatype in small letters", x(datatype="fp32"))
infer("another rank", x(shape=[2]))
infer("another dimension", x([1, 2, 3], shape=[1, 3]))
infer("too few elements", x([1]))
infer("too many elements", x([1, 2, 3]))
infer("a negative dimension", x(shape=[-1, 2]))
infer("a dimension of a fraction", x(shape=[1.5, 2]))
infer("a dimension in words", x(shape=["1", 2]))
infer("a shape that overflows", x(shape=[2**62, 2**62]))
infer("a shape without end", x(shape=[2**40, 2]))
infer("shape null", x() | {"shape": None})
infer("data null", x(None))
infer("data in words", x("1, 2"))
infer("data of texts for floats", x(["1", "2"]))
infer("a fraction for an integer", x([1.5, 2], "INT64"), model="int64")
infer("too large for the integer", x([2**63, 0], "INT64"), model="int64")
infer("too large for the byte", x([256, 0], "UINT8"), model="uint8")
infer("negative for the byte", x([-1, 0], "UINT8"), model="uint8")
infer("numbers for booleans", x([1, 0], "BOOL"), model="bool")
infer("numbers for texts", x([1, 2], "BYTES", [2]), model="bytes")
infer("null among the data", x([1, None]))
infer("an object among the data", x([1, {}]))
infer("data nested otherwise", x([[1], [2]]))
infer("data that are ragged", x([[1, 2], [3]], shape=[2, 2]))
raw("inputs null", b'{"inputs":null}')
raw("no inputs", b'{"inputs":[]}')
raw("without inputs", b"{}")
raw("inputs that are no list", b'{"inputs":{}}')
raw("an input that is no object", b'{"inputs":[1]}')
raw("an empty body", b"")
raw("no JSON", b"{")
raw("a list", b"[]")
raw("text behind the document", body + b"x")
raw("two documents", body + body)
raw("bytes that are no UTF-8", b'{"inputs":[{"name":"\xff","datatype":"FP32","shape":[1,2],"data":[1,2]}]}')
raw("a number that JSON does not have", b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,NaN]}]}')
raw("a number above all", b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,1e400]}]}')
raw("a number above FP32", b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,1e39]}]}')
raw("very deep", b'{"inputs":' + b"[" * 2000 + b"]" * 2000 + b"}")
infer("an id that is a number", id=42)
infer("parameters that are no object", parameters=[1])
infer("a timeout in words", parameters={"timeout": "soon"})
infer("a negative timeout", parameters={"timeout": -1})
infer("a priority in words", parameters={"priority": "high"})
infer("a sequence", parameters={"sequence_id": 7, "sequence_start": True, "sequence_end": True})
infer("classification in words", outputs=[{"name": "y", "parameters": {"classification": "many"}}])
infer("classification of texts", x(["a"], "BYTES", [1]), model="bytes", outputs=[{"name": "y", "parameters": {"classification": 1}}])
infer("binary_data in words", outputs=[{"name": "y", "parameters": {"binary_data": "yes"}}])
infer("an input in a region that is not", without("data", x(parameters={"shared_memory_region": "none", "shared_memory_byte_size": 8})))
infer("an output in a region that is not", outputs=[{"name": "y", "parameters": {"shared_memory_region": "none", "shared_memory_byte_size": 8}}])
infer("a model that nobody has", model="none")
add("infer: a version that nobody has", "POST", "/v2/models/fp32/versions/9/infer", {"inputs": [x()]})
add("infer: a version in words", "POST", "/v2/models/fp32/versions/x/infer", {"inputs": [x()]})
raw("broken gzip", gzip.compress(body)[:-9], Content_Encoding="gzip")
raw("an encoding that is none", body, Content_Encoding="sauce")
binary("fewer bytes than said", FLOATS[:4], size=8)
binary("more bytes than said", FLOATS + b"1234", size=8)
binary("another size than the shape's", FLOATS + b"1234")
binary("size 0", FLOATS, size=0)
binary("a negative size", FLOATS, size=-8)
binary("a size in words", FLOATS, size="8")
binary("a size beyond all", FLOATS, size=2**63)
binary("data beside the bytes", FLOATS, {"data": [1, 2]})
binary("a text longer than its bytes", struct.pack("<I1s", 9, b"a"), {"datatype": "BYTES", "shape": [1]}, model="bytes")
binary("fewer texts than said", struct.pack("<I1s", 1, b"a"), {"datatype": "BYTES", "shape": [2]}, model="bytes")
binary("more texts than said", struct.pack("<I1s", 1, b"a") * 2, {"datatype": "BYTES", "shape": [1]}, model="bytes")
binary("another boolean than 0 and 1", b"\2\0", {"datatype": "BOOL"}, model="bool")
binary("a head beyond the body", FLOATS, head_bytes="100000")
binary("a negative head", FLOATS, head_bytes="-1")
binary("a head in words", FLOATS, head_bytes="all")
binary("a head of nothing", FLOATS, head_bytes="0")
binary("a head that is cut", FLOATS, head_bytes="20")
