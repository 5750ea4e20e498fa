#!/usr/bin/env python3
"""Writes the .tflite models of the tests into a directory (default: beside this file), byte by byte in the
FlatBuffers format (schema.fbs of TensorFlow Lite, version 3), so that no package is needed.

usage: make_tflite.py [DIRECTORY]
"""
import pathlib
import struct
import sys

# Element types and operators, as the schema numbers them.
FP32, INT32, INT64, BOOL = 0, 2, 4, 6
TYPES = {"fp32": 0, "fp16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9, "fp64": 10,
         "uint64": 12, "uint32": 15, "uint16": 16}
ADD, CUSTOM, GATHER, LESS, PAD, RESHAPE, WHILE = 0, 32, 36, 58, 34, 22, 119
WHILE_OPTIONS = 93  # in the union of options


class Scalar:
    def __init__(self, code, value):
        self.code, self.value, self.size = code, value, struct.calcsize("<" + code)


class Table(dict):
    """Fields by number: Scalar, Table, str, Numbers or a list of tables."""


class Numbers:
    def __init__(self, code, values, align=4):
        self.count, self.align = len(values), align
        self.bytes = struct.pack(f"<{len(values)}{code}", *values)


def u8(value):
    return Scalar("B", value)


def i8(value):
    return Scalar("b", value)


def i32(value):
    return Scalar("i", value)


def u32(value):
    return Scalar("I", value)


def ints(*values):
    return Numbers("i", values)


def flatbuffer(root, identifier=b"TFL3"):
    """A parent stands before what it refers to, as offsets ask for."""
    out = bytearray(4) + identifier
    waiting = [(0, root)]
    while waiting:
        at, value = waiting.pop(0)
        if isinstance(value, Table):
            position = put_table(out, value, waiting)
        elif isinstance(value, list):
            position = put_aligned(out, 4, struct.pack("<I", len(value)))
            for item in value:
                waiting.append((len(out), item))
                out += bytes(4)
        elif isinstance(value, str):
            position = put_aligned(out, 4, struct.pack("<I", len(value)) + value.encode() + b"\0")
        else:
            out += bytes(-(len(out) + 4) % value.align)
            position = put_aligned(out, 4, struct.pack("<I", value.count) + value.bytes)
        struct.pack_into("<I", out, at, position - at)
    return bytes(out)


def put_aligned(out, align, data):
    out += bytes(-len(out) % align)
    position = len(out)
    out += data
    return position


def put_table(out, table, waiting):
    fields = max(table, default=-1) + 1
    offsets, body = [0] * fields, bytearray(4)
    placed = []
    for number, value in sorted(table.items()):
        size = value.size if isinstance(value, Scalar) else 4
        body += bytes(-len(body) % size)
        offsets[number] = len(body)
        placed.append((len(body), value))
        body += struct.pack("<" + value.code, value.value) if isinstance(value, Scalar) else bytes(4)
    vtable = struct.pack(f"<HH{fields}H", 4 + 2 * fields, len(body), *offsets)
    out += bytes(-(len(out) + len(vtable)) % 8)
    start = len(out)
    out += vtable
    position = len(out)
    out += body
    struct.pack_into("<i", out, position, position - start)
    waiting += [(position + at, value) for at, value in placed if not isinstance(value, Scalar)]
    return position


def tensor(name, element, shape, buffer=0):
    """A dimension of -1 may have any size."""
    return Table({0: ints(*(abs(d) for d in shape)), 1: i8(element), 2: u32(buffer), 3: name,
                  **({7: ints(*shape), 8: u8(1)} if -1 in shape else {})})


def operator(code, inputs, outputs, **more):
    return Table({0: u32(code), 1: ints(*inputs), 2: ints(*outputs),
                  **({3: u8(more["kind"]), 4: more["options"]} if more else {})})


def graph(tensors, inputs, outputs, operators):
    return Table({0: tensors, 1: ints(*inputs), 2: ints(*outputs), 3: operators, 4: "main"})


def model(codes, graphs, constants=(), signature=None):
    """`codes`: of the operators, which refer to them by position. Constant i is in buffer i + 1."""
    first = graphs[0]
    if signature is None:
        signature = ([(t[3], i) for i, t in enumerate(first[0]) if struct.pack("<i", i) in chunks(first[1])],
                     [(t[3], i) for i, t in enumerate(first[0]) if struct.pack("<i", i) in chunks(first[2])])
    maps = [[Table({0: name, 1: u32(index)}) for name, index in side] for side in signature]
    return flatbuffer(Table({
        0: u32(3), 1: [code if isinstance(code, Table) else Table({0: i8(code), 3: i32(code)}) for code in codes],
        2: graphs, 3: "test", 4: [Table({}), *(Table({0: Numbers("B", data, 16)}) for data in constants)],
        7: [Table({0: maps[0], 1: maps[1], 2: "serving_default", 4: u32(0)})]}))


def chunks(numbers):
    return {numbers.bytes[i:i + 4] for i in range(0, len(numbers.bytes), 4)}


def int32s(*values):
    return struct.pack(f"<{len(values)}i", *values)


def copy(element, shape, name="x", result="y"):
    """What RESHAPE to the shape of its input does."""
    return model([RESHAPE], [graph([tensor(name, element, shape), tensor("shape", INT32, [len(shape)], 1),
                                    tensor(result, element, shape)], [0], [2], [operator(0, [0, 1], [2])])],
                 [int32s(*shape)])


def counting_loop():
    """i = 0; while i < n: i += 1. Runs as long as the value of n says."""
    loop = Table({0: i32(1), 1: i32(2)})
    main = graph([tensor("zero", INT64, [], 1), tensor("n", INT64, []), tensor("sum", INT64, []),
                  tensor("limit", INT64, [])], [1], [2],
                 [operator(0, [0, 1], [2, 3], kind=WHILE_OPTIONS, options=loop)])
    condition = graph([tensor("i", INT64, []), tensor("n", INT64, []), tensor("go", BOOL, [])], [0, 1], [2],
                      [operator(1, [0, 1], [2])])
    body = graph([tensor("i", INT64, []), tensor("n", INT64, []), tensor("one", INT64, [], 2),
                  tensor("next", INT64, [])], [0, 1], [3, 1], [operator(2, [0, 2], [3])])
    return model([WHILE, LESS, ADD], [main, condition, body], [struct.pack("<q", 0), struct.pack("<q", 1)])


PAIR = graph([tensor("a", FP32, [-1, 4]), tensor("b", INT64, [2]), tensor("rows", INT32, [2], 1),
              tensor("two", INT32, [1], 2), tensor("c", FP32, [-1, 4]), tensor("d", INT64, [2])], [0, 1], [4, 5],
             [operator(0, [0, 2], [4]), operator(0, [1, 3], [5])])
PAD_GRAPH = graph([tensor("x", FP32, [2]), tensor("by", INT32, [1, 2]), tensor("y", FP32, [-1])], [0, 1], [2],
                  [operator(0, [0, 1], [2])])

MODELS = {
    "pair.tflite": model([RESHAPE], [PAIR], [int32s(-1, 4), int32s(2)]),
    # Fails when it runs: there is no such row.
    "fail.tflite": model([GATHER], [graph([tensor("a", FP32, [-1, 4]), tensor("b", INT64, [2]),
                                           tensor("c", FP32, [2, 4])], [0, 1], [2], [operator(0, [0, 1], [2])])]),
    "hang.tflite": counting_loop(),
    **{f"type_{name}.tflite": copy(element, [-1]) for name, element in TYPES.items()},
    # The size of the output is in the values of an input, or in those of the model.
    "pad.tflite": model([PAD], [PAD_GRAPH]),
    "pad_by_one.tflite": model([PAD], [graph([tensor("x", FP32, [2]), tensor("by", INT32, [1, 2], 1),
                                              tensor("y", FP32, [4])], [0], [2], [operator(0, [0, 1], [2])])],
                               [int32s(1, 1)]),
    "custom.tflite": model([Table({0: i8(CUSTOM), 1: "NoSuchOperator", 3: i32(CUSTOM)})],
                           [graph([tensor("x", FP32, [1]), tensor("y", FP32, [1])], [0], [1],
                                  [operator(0, [0], [1])])]),
    # Two inputs and outputs whose names in the signature are others than those of their tensors.
    "signature.tflite": model([RESHAPE], [PAIR], [int32s(-1, 4), int32s(2)],
                              ([("second", 1), ("first", 0)], [("two", 5), ("one", 4)])),
    "string.tflite": model([RESHAPE], [graph([tensor("x", 5, [1]), tensor("shape", INT32, [1], 1),
                                              tensor("y", 5, [1])], [0], [2], [operator(0, [0, 1], [2])])],
                           [int32s(1)]),
}

if __name__ == "__main__":
    directory = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    for name, content in MODELS.items():
        (directory / name).write_bytes(content)
