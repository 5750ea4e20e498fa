#!/usr/bin/env python3
"""Re-makes the Python lock files beside this script, for a maintainer who moves a version.

Each lock names its own roots in a line `#: name==1.2 other[extra]==3.4`. This script lets pip
resolve them for the Python that runs it (use Debian's: /usr/bin/python3) and rewrites the lines
below with every package and the SHA-256 of the file that pip chose. `#: !` before the roots
leaves dependencies out, for wheels that are unpacked and never imported.

    /usr/bin/python3 tools/lock/update.py                  every lock
    /usr/bin/python3 tools/lock/update.py vendor.txt       one lock
"""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOTS_MARK = "#: "
NO_DEPENDENCIES = "!"


def resolve(roots: list[str], with_dependencies: bool) -> list[str]:
    """What pip would install for `roots`, as requirement lines with hashes, sorted by name."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
               "--break-system-packages", "--only-binary", ":all:", "--report", "-"]
    if not with_dependencies:
        command.append("--no-deps")
    report = json.loads(subprocess.run(command + roots, check=True, stdout=subprocess.PIPE).stdout)
    lines = []
    for item in report["install"]:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        sha256 = item["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append(f"{name.lower()}=={version} --hash=sha256:{sha256}")
    return sorted(lines)


def update(lock: pathlib.Path) -> None:
    """Keeps the lock's comments, replaces its requirements."""
    comments = [line for line in lock.read_text().splitlines() if line.startswith("#")]
    roots = [word for line in comments if line.startswith(ROOTS_MARK)
             for word in line.removeprefix(ROOTS_MARK).split()]
    pinned = resolve([r for r in roots if r != NO_DEPENDENCIES], NO_DEPENDENCIES not in roots)
    lock.write_text("\n".join(comments + pinned) + "\n")
    print(f"{lock.name}: {len(pinned)} packages")


def main() -> None:
    locks = [HERE / name for name in sys.argv[1:]] or sorted(HERE.glob("*.txt"))
    for lock in locks:
        if any(line.startswith(ROOTS_MARK) for line in lock.read_text().splitlines()):
            update(lock)


if __name__ == "__main__":
    main()
