"""Random graphs: stock ONNX Runtime computes what the reference executor says, of what is exported.

    random_test.py BIN_DIRECTORY [--seeds N] [--from SEED]
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime


def failure(folder, seed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    model = folder / f"{seed}.onnx"
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        inputs = {spec.name: np.load(folder / f"{seed}.in.{spec.name}.npy") for spec in session.get_inputs()}
        results = session.run(None, inputs)
    except Exception as error:  # pylint: disable=broad-except
        return f"ONNX Runtime refuses it: {error}"
    for i, theirs in enumerate(results):
        ours = np.load(folder / f"{seed}.out.{i}.npy")
        if ours.shape != theirs.shape:
            return f"output {i} is {ours.shape} here, {theirs.shape} there"
        if not np.allclose(ours, theirs, rtol=2e-3, atol=2e-3):
            return f"output {i} differs by {np.abs(ours - theirs).max()}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=150)
    parser.add_argument("--from", dest="first", type=int, default=0)
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="skerry-random-", dir="/tmp"))
    failed = 0
    try:
        for first in range(arguments.first, arguments.first + arguments.seeds, 100):
            count = min(100, arguments.first + arguments.seeds - first)
            subprocess.run([arguments.bin / "random_graphs", folder, str(first), str(count)], check=True)
            for seed in range(first, first + count):
                said = failure(folder, seed)
                if said:
                    failed += 1
                    print(f"seed {seed}: {said}")
            for file in folder.iterdir():
                file.unlink()
    finally:
        shutil.rmtree(folder)
    print(f"{arguments.seeds - failed} of {arguments.seeds} graphs give in ONNX Runtime what they give here")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
