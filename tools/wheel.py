#!/usr/bin/env python3
"""`./dev wheel`: the Python client as a wheel. A wheel is a ZIP file with a list of its files; the same sources give the
same bytes, and nothing is fetched for it.

    wheel.py OUT_DIR
"""

import base64
import hashlib
import pathlib
import re
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python/skerry"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that ZIP knows


def version():
    return re.search(r"project\(skerry VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


def record_of(files):
    digest = lambda content: base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return "".join(f"{name},sha256={digest(content)},{len(content)}\n" for name, content in files.items())


def build(out):
    """The path of the wheel."""
    number = version()
    info = f"skerry-{number}.dist-info"
    metadata = (f"Metadata-Version: 2.1\nName: skerry\nVersion: {number}\nSummary: Client of skerry-infer\n"
                "Requires-Python: >=3.9\nRequires-Dist: numpy\n")
    files = {f"skerry/{path.name}": path.read_bytes() for path in sorted(PACKAGE.glob("*.py"))}
    files[f"{info}/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    files[f"{info}/METADATA"] = metadata.encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: skerry\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = (record_of(files) + f"{info}/RECORD,,\n").encode()
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"skerry-{number}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(build(pathlib.Path(sys.argv[1])))
