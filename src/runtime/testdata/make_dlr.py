#!/usr/bin/env python3
"""Writes the graphs of the tests of DLR into a directory (default: dlr beside this file), as SageMaker Neo writes
them: the graph of TVM's executor, weights, and what Neo says of the model. What they call is in dlr/kernels.c.

usage: make_dlr.py [DIRECTORY]
"""
import json
import pathlib
import struct
import sys

TYPES = {"fp16": "float16", "fp32": "float32", "fp64": "float64", "int8": "int8", "int16": "int16", "int32": "int32",
         "int64": "int64", "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64"}
LIST_MAGIC, TENSOR_MAGIC = 0xF7E58D4F05049CB7, 0xDD5E40F096B4A13F


def argument(name):
    return {"op": "null", "name": name, "inputs": []}


def call(name, function, *inputs):
    return {"op": "tvm_op", "name": name, "inputs": [[i, 0, 0] for i in inputs],
            "attrs": {"func_name": function, "num_inputs": str(len(inputs)), "num_outputs": "1", "flatten_data": "0"}}


def graph(nodes, types, shapes, heads):
    """Each node has one result, of a type and a shape; each has memory of its own."""
    return {"nodes": nodes, "arg_nodes": [i for i, node in enumerate(nodes) if node["op"] == "null"],
            "node_row_ptr": list(range(len(nodes) + 1)), "heads": [[i, 0, 0] for i in heads],
            "attrs": {"dltype": ["list_str", types], "shape": ["list_shape", shapes],
                      "storage_id": ["list_int", list(range(len(nodes)))]}}


def params(weights):
    """`weights`: name → (shape, floats)."""
    out = struct.pack("<3Q", LIST_MAGIC, 0, len(weights))
    for name in weights:
        out += struct.pack("<Q", len(name)) + name.encode()
    out += struct.pack("<Q", len(weights))
    for shape, values in weights.values():
        out += struct.pack("<2Q3i2BH", TENSOR_MAGIC, 0, 1, 0, len(shape), 2, 32, 1)
        out += struct.pack(f"<{len(shape)}q", *shape) + struct.pack(f"<q{len(values)}f", 4 * len(values), *values)
    return out


def meta(outputs, device="cpu"):
    return {"Requirements": {"TargetDevice": "ML_C5", "TargetDeviceType": device},
            "Model": {"Inputs": [], "Outputs": [{"name": name} for name in outputs]}}


def pair(function):
    """a → c, b → d."""
    nodes = [argument("a"), argument("b"), call("first", function, 0), call("second", function, 1)]
    return graph(nodes, ["float32", "int64"] * 2, [[1, 4], [2]] * 2, [2, 3])


MODELS = {"pair": (pair("copy"), ["c", "d"]), "fail": (pair("never"), ["c", "d"])}
MODELS |= {f"type_{name}": (graph([argument("x"), call("copied", "copy", 0)], [theirs] * 2, [[1]] * 2, [1]), ["y"])
           for name, theirs in TYPES.items()}


def main():
    directory = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "dlr")
    for name, (document, outputs) in MODELS.items():
        (directory / f"{name}.json").write_text(json.dumps(document, separators=(",", ":")))
        (directory / f"{name}.meta").write_text(json.dumps(meta(outputs), separators=(",", ":")))
    (directory / "empty.params").write_bytes(params({}))


if __name__ == "__main__":
    main()
