"""Fashion-MNIST for demos and tests, as Debian's package dataset-fashion-mnist has it: files in the IDX format, "train-images-idx3-ubyte",
"train-labels-idx1-ubyte", and the same of "t10k"."""

import gzip
import math
from pathlib import Path

DATA = Path("/usr/share/datasets/fashion-mnist")
MISSING = f"{DATA} is missing: ./dev setup installs the data set"
# A convolutional net that was trained on it (train.py beside it).
MODEL = Path(__file__).resolve().parents[1] / "src/optimise/testdata/fashion/fashion.onnx"


def _head_and_rows(name):
    """Size of the head, and the shape: rows first."""
    raw = gzip.decompress((DATA / f"{name}.gz").read_bytes())
    head = 4 + 4 * raw[3]
    return raw, head, [int.from_bytes(raw[at:at + 4], "big") for at in range(4, head, 4)]


def read(name):
    """The whole file as an array of UINT8."""
    import numpy as np  # who only writes files does without
    raw, head, shape = _head_and_rows(name)
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


def write(name, folder, rows=None):
    """A file of its first `rows`, or of all; its path."""
    raw, head, shape = _head_and_rows(name)
    rows = shape[0] if rows is None else rows
    path = folder / name
    path.write_bytes(raw[:4] + rows.to_bytes(4, "big") + raw[8:head + rows * math.prod(shape[1:])])
    return path
