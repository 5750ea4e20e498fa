"""What the tests of `skerry model` and `skerry learn` share. Imported, it takes BIN_DIRECTORY CACHE_DIRECTORY from the end
of the command line."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src/runtime/testdata"), str(ROOT / "tools"), str(ROOT / "tests/infer")]

CACHE = pathlib.Path(sys.argv.pop())
BIN = pathlib.Path(sys.argv.pop())
ENGINE = f"onnxruntime={CACHE}/onnxruntime/lib/libonnxruntime.so"


def skerry(*arguments, code=0, **environment):
    """What the command printed; it must end with `code`."""
    done = subprocess.run([BIN / "skerry", *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False,
                          env=os.environ | environment)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}")
    return done
