#!/usr/bin/env python3
"""Writes the ONNX models of the tests into a directory (default: beside this file), byte by byte in
protobuf's wire format (onnx.proto), so that no ONNX package is needed.

usage: make_models.py [DIRECTORY]
"""
import pathlib
import struct
import sys

FLOAT, INT64, STRING = 1, 7, 8


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


def node(op, inputs, outputs):
    return message(1, *(message(1, i) for i in inputs), *(message(2, o) for o in outputs), message(4, op))


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
    # Fails when it runs: four elements never fit the shape that the data asks for.
    "fail.onnx": model(node("Reshape", ["a", "b"], ["c"]),
                       value(11, "a", FLOAT, ["n", 4]), value(11, "b", INT64, [2]),
                       value(12, "c", FLOAT, ["p", "q"])),
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

if __name__ == "__main__":
    directory = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    for name, content in MODELS.items():
        (directory / name).write_bytes(content)
