#!/usr/bin/env python3
"""Writes the ONNX models of the tests into a directory (default: beside this file), byte by byte in
protobuf's wire format (onnx.proto), so that no ONNX package is needed.

usage: make_models.py [DIRECTORY]
"""
import json
import pathlib
import struct
import sys

FLOAT, INT64, STRING, BOOL = 1, 7, 8, 9
TYPES = {"fp32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9, "fp16": 10,
         "fp64": 11, "uint32": 12, "uint64": 13}


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, *parts):
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def node(op, inputs, outputs, *attributes):
    return message(1, *(message(1, i) for i in inputs), *(message(2, o) for o in outputs), message(4, op), *attributes)


def graph_attribute(name, *graph):
    return message(5, message(1, name), message(6, *graph, message(2, name)), number(20, 5))


def external(field, name, shape, location):
    """A tensor of floats whose data stands in another file."""
    return message(field, *(number(1, d) for d in shape), number(2, FLOAT), message(8, name),
                   message(13, message(1, "location"), message(2, location)), number(14, 1))


def counting_loop():
    """sum = 1 + … (n times 1): runs as long as the value of n says."""
    body = (node("Identity", ["go"], ["go_on"]), node("Add", ["sum_in", "one"], ["sum_out"]),
            value(11, "i", INT64, []), value(11, "go", BOOL, []), value(11, "sum_in", FLOAT, []),
            value(12, "go_on", BOOL, []), value(12, "sum_out", FLOAT, []))
    return model(node("Loop", ["n", "", "one"], ["sum"], graph_attribute("body", *body)),
                 floats("one", [], [1.0]), value(11, "n", INT64, []), value(12, "sum", FLOAT, []))


def value(field, name, element_type, shape):
    """A graph's input (field 11) or output (12); a dimension that is a string is symbolic."""
    dims = (message(1, message(2, d) if isinstance(d, str) else number(1, d)) for d in shape)
    tensor_type = message(1, number(1, element_type), message(2, *dims))
    return message(field, message(1, name), message(2, tensor_type))


def floats(name, shape, values, *extra):
    """An initializer."""
    dims = (number(1, d) for d in shape)
    return message(5, *dims, number(2, FLOAT), message(8, name), message(9, struct.pack(f"<{len(values)}f", *values)),
                   *extra)


def model(*graph, opset=13):
    return number(1, 8) + message(7, *graph, message(2, "test")) + message(8, number(2, opset))


def affine(scale, columns=2):
    """y = scale * x + 1, x FP32[n, columns]."""
    return model(node("Mul", ["x", "scale"], ["scaled"]), node("Add", ["scaled", "one"], ["y"]),
                 floats("scale", [], [scale]), floats("one", [], [1.0]),
                 value(11, "x", FLOAT, ["n", columns]), value(12, "y", FLOAT, ["n", columns]))


MODELS = {
    "pair.onnx": model(node("Identity", ["a"], ["c"]), node("Identity", ["b"], ["d"]),
                       value(11, "a", FLOAT, ["n", 4]), value(11, "b", INT64, [2]),
                       value(12, "c", FLOAT, ["n", 4]), value(12, "d", INT64, [2])),
    "text.onnx": model(node("Identity", ["text"], ["echo"]),
                       value(11, "text", STRING, ["n"]), value(12, "echo", STRING, ["n"])),
    # Fails when it runs: four elements never fit the shape that the data asks for. Without Abs, OpenVINO takes [7, -7].
    "fail.onnx": model(node("Abs", ["b"], ["shape"]), node("Reshape", ["a", "shape"], ["c"]),
                       value(11, "a", FLOAT, ["n", 4]), value(11, "b", INT64, [2]),
                       value(12, "c", FLOAT, ["p", "q"])),
    "hang.onnx": counting_loop(),
    **{f"type_{name}.onnx": model(node("Identity", ["x"], ["y"]), value(11, "x", element, ["n"]),
                                  value(12, "y", element, ["n"])) for name, element in TYPES.items()},
    # Fails with fewer than five columns.
    "needs_five.onnx": model(node("Gather", ["x", "four"], ["y"], message(5, message(1, "axis"), number(3, 1), number(20, 2))),
                             message(5, number(1, 1), number(2, INT64), message(8, "four"), message(9, struct.pack("<q", 4))),
                             value(11, "x", FLOAT, ["n", "m"]), value(12, "y", FLOAT, ["n", 1])),
    "resize.onnx": model(node("Resize", ["x", "", "", "sizes"], ["y"]),
                         value(11, "x", FLOAT, [1, 3, "h", "w"]), value(11, "sizes", INT64, [4]),
                         value(12, "y", FLOAT, [1, 3, "p", "q"])),
    "external_weights.onnx": model(node("Mul", ["x", "w"], ["z"]), node("Add", ["z", "one"], ["y"]),
                                   external(5, "w", [2], "external_data.bin"), floats("one", [2], [1.0, 2.0]),
                                   value(11, "x", FLOAT, [2]), value(12, "y", FLOAT, [2])),
    "external_attribute.onnx": model(
        node("Constant", [], ["w"], message(5, message(1, "value"), external(5, "", [2], "external_data.bin"),
                                            number(20, 4))),
        node("Mul", ["x", "w"], ["y"]), value(11, "x", FLOAT, [2]), value(12, "y", FLOAT, [2])),
    "double.onnx": affine(2.0),
    "triple.onnx": affine(3.0),
    "wide.onnx": affine(2.0, columns=3),
    "unknown_operator.onnx": model(node("NoSuchOperator", ["x"], ["y"]),
                                   value(11, "x", FLOAT, [1]), value(12, "y", FLOAT, [1])),
    "external_data.onnx": model(node("Add", ["x", "w"], ["y"]),
                                message(5, number(1, 1), number(2, FLOAT), message(8, "w"),
                                        message(13, message(1, "location"), message(2, "../../etc/hostname")),
                                        number(14, 1)),
                                value(11, "x", FLOAT, [1]), value(12, "y", FLOAT, [1])),
}

# As include/skerry/runtime_plugin.h numbers them.
ABI_TYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "fp16", "fp32", "fp64"]

if __name__ == "__main__":
    directory = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    for name, content in MODELS.items():
        (directory / name).write_bytes(content)
    (directory / "external_data.bin").write_bytes(struct.pack("<2f", 10.0, 10.0))
    for name in TYPES:
        tensor = {"datatype": name.upper(), "shape": [-1]}
        null_model = {"null_model": 1, "behaviour": "identity", "inputs": [{"name": "x", **tensor}],
                      "outputs": [{"name": "y", **tensor}]}
        (directory / f"type_{name}.json").write_text(json.dumps(null_model) + "\n")
        (directory / f"type_{name}.copy").write_text(f"x y {ABI_TYPES.index(name)} -1\nend\n")
