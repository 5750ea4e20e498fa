"""One row for each quantiser: time, size, accuracy, and latency in the engine that the model is for. Runs in the environment that
`run` makes; see README.md.

    compare.py SKERRY CACHE_DIRECTORY
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import fashion_mnist  # noqa: E402

SKERRY, CACHE = sys.argv[1], pathlib.Path(sys.argv[2])
ENGINES = {"onnxruntime": f"onnxruntime={CACHE}/onnxruntime/lib/libonnxruntime.so", "litert": f"litert={CACHE}/litert/lib/libLiteRt.so"}
SAMPLES = 128


def skerry(*arguments):
    done = subprocess.run([SKERRY, "--json", "model", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"skerry model {arguments}: {done.stderr}")
    return json.loads(done.stdout)


class Comparison:
    def __init__(self, folder):
        self.folder = folder
        self.images = fashion_mnist.write("t10k-images-idx3-ubyte", folder)
        self.labels = fashion_mnist.write("t10k-labels-idx1-ubyte", folder)
        train = fashion_mnist.read("train-images-idx3-ubyte")
        self.samples = [image[None, None].astype("f4") / np.float32(255) for image in train[::len(train) // SAMPLES][:SAMPLES]]
        np.save(folder / "samples.npy", np.concatenate(self.samples))
        self.rows = []

    def measure(self, who, path, engine, seconds, data=None):
        took = [skerry("bench", path, "--data", data or self.images, "--labels", self.labels, "--divide", 1 if data else 255,
                       "--engine", ENGINES[engine], "--seconds", 0.5) for _ in range(3)]
        self.rows.append((who, engine, seconds, path.stat().st_size, took[0]["correct"] / took[0]["rows"],
                          min(each["minUs"] for each in took)))

    def ours(self):
        """All candidates over the same samples; of them the one that the search takes among the integer ones."""
        out = self.folder / "ours"
        began = time.perf_counter()
        skerry("optimise", fashion_mnist.MODEL, "-o", out, "--data", self.folder / "samples.npy", "--engine", ENGINES["onnxruntime"],
               "--engine", ENGINES["litert"], "--rounds", 1, "--seconds", 0.02, "--calibration-rows", SAMPLES)
        seconds = time.perf_counter() - began
        for name in ("int8-mse", "int8-rounded", "int8-even"):
            self.measure(f"skerry {name}", out / f"candidates/{name}.onnx", "onnxruntime", seconds)
            self.measure(f"skerry {name}", out / f"candidates/{name}.tflite", "litert", seconds)
        self.float_tflite = out / "candidates/fp32.tflite"
        self.measure("floats", fashion_mnist.MODEL, "onnxruntime", 0)
        self.measure("floats", self.float_tflite, "litert", 0)

    def onnxruntime(self):
        from onnxruntime import quantization
        from onnxruntime.quantization import shape_inference

        class Reader(quantization.CalibrationDataReader):
            def __init__(self, name, samples):
                self._left = iter([{name: sample} for sample in samples])

            def get_next(self):
                return next(self._left, None)

        prepared, out = self.folder / "prepared.onnx", self.folder / "ort.onnx"
        began = time.perf_counter()
        shape_inference.quant_pre_process(str(fashion_mnist.MODEL), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(str(prepared), str(out), Reader(self.input_name(), self.samples), per_channel=True,
                                     quant_format=quantization.QuantFormat.QDQ, weight_type=quantization.QuantType.QInt8,
                                     activation_type=quantization.QuantType.QUInt8)
        self.measure("ONNX Runtime quantize_static", out, "onnxruntime", time.perf_counter() - began)

    def nncf(self):
        import nncf
        import onnx
        model, out = onnx.load(str(fashion_mnist.MODEL)), self.folder / "nncf.onnx"
        name = self.input_name()
        began = time.perf_counter()
        quantised = nncf.quantize(model, nncf.Dataset(self.samples, lambda sample: {name: sample}), subset_size=SAMPLES)
        onnx.save(quantised, str(out))
        self.measure("NNCF quantize", out, "onnxruntime", time.perf_counter() - began)

    def litert(self):
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import quantizer, recipe
        [(key, signature)] = Interpreter(str(self.float_tflite)).get_signature_list().items()
        name = signature["inputs"][0]
        out = self.folder / "litert.tflite"
        began = time.perf_counter()
        made = quantizer.Quantizer(str(self.float_tflite), recipe.static_wi8_ai8())
        calibration = made.calibrate({key: [{name: sample} for sample in self.samples]})
        out.write_bytes(bytes(made.quantize(calibration).quantized_model))
        seconds = time.perf_counter() - began
        scale, zero = Interpreter(str(out)).get_input_details()[0]["quantization"]  # it takes integers
        reals = fashion_mnist.read("t10k-images-idx3-ubyte")[:, None] / np.float32(255)
        data = self.folder / "integers.npy"
        np.save(data, np.clip(np.round(reals / np.float32(scale)) + zero, -128, 127).astype("i1"))
        self.measure("ai-edge-quantizer static_wi8_ai8", out, "litert", seconds, data)

    @staticmethod
    def input_name():
        import onnx
        return onnx.load(str(fashion_mnist.MODEL)).graph.input[0].name

    def show(self):
        print("| Quantiser | Engine | Seconds | kB | Accuracy | µs |\n|---|---|---|---|---|---|")
        for who, engine, seconds, size, accuracy, least in sorted(self.rows, key=lambda row: row[1]):
            print(f"| {who} | {engine} | {f'{seconds:.1f}' if seconds else ''} | {size / 1000:.1f} | {100 * accuracy:.2f} % | {least:.1f} |")


def main():
    with tempfile.TemporaryDirectory(prefix="skerry-peers-") as folder:
        comparison = Comparison(pathlib.Path(folder))
        comparison.ours()
        for peer in (comparison.onnxruntime, comparison.nncf, comparison.litert):
            try:
                peer()
            except Exception as error:  # pylint: disable=broad-except
                print(f"{peer.__name__}: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors")
        comparison.show()


if __name__ == "__main__":
    main()
