"""A model of a dozen kinds of parts, made by hand: its inputs are a part's features, its outputs how likely each kind is.

`sharpness` is what the scores are multiplied with before they become probabilities. A training run that forgets it makes
a model that is healthy, fast and names the same kinds as before, and is hardly sure of any: nothing but its
confidence tells.
"""

import random
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "src/runtime/testdata"))

import make_models as onnx

NAME = "parts"
KINDS = 12
FEATURES = 16
SHARPNESS = {"1.0.0": 8.0, "1.1.0": 9.0, "1.2.0": 1.0}
NOISE = 0.08

_random = random.Random(12)
# One direction for each kind, nearly at right angles to each other.
_KINDS = [[1.0 if feature == kind else _random.uniform(-0.1, 0.1) for feature in range(FEATURES)]
          for kind in range(KINDS)]


def onnx_of(version):
    weights = [_KINDS[kind][feature] * SHARPNESS[version] for feature in range(FEATURES) for kind in range(KINDS)]
    return onnx.model(onnx.node("MatMul", ["features", "weights"], ["scores"]),
                      onnx.node("Softmax", ["scores"], ["kinds"]),
                      onnx.floats("weights", [FEATURES, KINDS], weights),
                      onnx.value(11, "features", onnx.FLOAT, ["n", FEATURES]),
                      onnx.value(12, "kinds", onnx.FLOAT, ["n", KINDS]))


def publish_options(version, component):
    """What `skerry model publish` wants besides the file."""
    return ["--name", NAME, "--component", component, "--version", version, "--input", f"features:FP32:-1,{FEATURES}",
            "--output", f"kinds:FP32:-1,{KINDS}", "--scores", "kinds", "--trained", "2026-11-20", "--dataset", "parts",
            "--dataset-version", version, "--metric", f"sharpness={SHARPNESS[version]}", "--licence", "MIT"]


def part(rng):
    """The inputs of a request: some part, as one camera sees it."""
    features = [feature + rng.gauss(0, NOISE) for feature in rng.choice(_KINDS)]
    return [{"name": "features", "datatype": "FP32", "shape": [1, FEATURES], "data": features}]
