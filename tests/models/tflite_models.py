"""TFLite models of one operator, made with the schema that comes with LiteRT."""

import importlib.util
import pathlib
import sys

import flatbuffers
import numpy as np


def load(python: pathlib.Path):
    """The schema's classes, and the interpreter's module."""
    global schema
    sys.path.insert(0, str(python))
    spec = importlib.util.spec_from_file_location("tflite_schema", python / "ai_edge_litert/schema_py_generated.py")
    schema = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    from ai_edge_litert import interpreter
    return interpreter


schema = None
TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}


class Model:
    def __init__(self):
        self.made = schema.ModelT()
        self.made.version = 3
        self.made.description = "test"
        self.made.buffers = [schema.BufferT()]
        self.made.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.name = "main"
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.made.subgraphs = [self.graph]

    def tensor(self, name, kind, shape, scale=None, zero=0, axis=0, data=None):
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.shape, tensor.buffer = name, TYPES[kind], list(shape), 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), "u1")
            self.made.buffers.append(buffer)
            tensor.buffer = len(self.made.buffers) - 1
        if scale is not None:
            scales = np.atleast_1d(scale)
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [float(np.float32(s)) for s in scales]
            tensor.quantization.zeroPoint = [int(z) for z in np.broadcast_to(zero, scales.shape)]
            tensor.quantization.quantizedDimension = axis
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, name, array, **quantisation):
        return self.tensor(name, str(array.dtype), array.shape, data=array, **quantisation)

    def variable(self, name, shape, kind="float32", **quantisation):
        """Zeros at first; kept from one run to the next."""
        made = self.tensor(name, kind, shape, **quantisation)
        self.graph.tensors[made].isVariable = True
        return made

    def add(self, operator, inputs, outputs, options=None, version=1, intermediates=None, **fields):
        code = schema.OperatorCodeT()
        number = getattr(schema.BuiltinOperator, operator)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
        self.made.operatorCodes.append(code)
        node = schema.OperatorT()
        node.intermediates = intermediates
        node.opcodeIndex, node.inputs, node.outputs = len(self.made.operatorCodes) - 1, inputs, outputs
        if options is not None:
            node.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            node.builtinOptions = getattr(schema, options + "T")()
            for name, value in fields.items():
                setattr(node.builtinOptions, name, value)
        self.graph.operators.append(node)

    def content(self, inputs, outputs):
        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.made.Pack(builder), b"TFL3")
        return bytes(builder.Output())
