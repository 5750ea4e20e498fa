#!/usr/bin/env python3
"""Runs clang-tidy on what changed since it was last found clean, within a time budget.

A unit takes five seconds and more, so a unit that was clean is not checked again until it, a
header of ours that it reaches, or the configuration changes; the cache remembers that by hash.
The rest is checked with the most recently changed first, so that on a new machine, where nothing
is known, the budget goes to the code at hand. Headers are checked through what includes them.
Reads build/release/compile_commands.json; the precompiled headers it names must have been built.

    tools/clang_tidy.py                 within the budget
    tools/clang_tidy.py --all           however long it takes
"""

import argparse
import concurrent.futures
import hashlib
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
CLEAN = pathlib.Path(os.environ.get("SKERRY_CACHE", ROOT / "build")) / "clang-tidy-clean"
# Whatever else decides the findings of a unit: the checks, and the versions of tool and libraries.
CONFIGURATION = (".clang-tidy", "tools/lock/apt-test.txt")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)
BUDGET_S = 60


def reach(root: pathlib.Path, unit: str) -> list[str]:
    """The unit and every file of the tree that it includes, directly or not."""
    found, to_visit = set(), [unit]
    while to_visit:
        path = to_visit.pop()
        if path in found:
            continue
        found.add(path)
        for name in INCLUDE.findall((root / path).read_text()):
            for candidate in (f"src/{name}", name, str(pathlib.PurePath(path).parent / name)):
                if (root / candidate).is_file():
                    to_visit.append(candidate)
                    break
    return sorted(found)


def fingerprint(root: pathlib.Path, unit: str) -> str:
    total = hashlib.sha256()
    for path in [*CONFIGURATION, *reach(root, unit)]:
        contents = (root / path).read_bytes() if (root / path).exists() else b""
        total.update(f"{path} {len(contents)}\n".encode() + contents)
    return total.hexdigest()


def git_lines(*arguments: str) -> list[str]:
    result = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True,
                            check=False)
    return result.stdout.splitlines()


def recently_changed() -> list[str]:
    """Paths, the latest change first: uncommitted ones, then commit by commit."""
    return (git_lines("ls-files", "--others", "--modified", "--exclude-standard") +
            git_lines("log", "--max-count=500", "--format=", "--name-only"))


def latest_first(units: list[str], changes: list[str]) -> list[str]:
    age = {}
    for position, path in enumerate(changes):
        age.setdefault(path, position)
    return sorted(units, key=lambda unit: age.get(unit, math.inf))


def compiled_units() -> list[str]:
    database = BUILD / "compile_commands.json"
    if not database.exists():
        sys.exit(f"clang-tidy needs {database.relative_to(ROOT)}: run ./dev build")
    files = {pathlib.Path(entry["file"]) for entry in json.loads(database.read_text())}
    return sorted(str(file.relative_to(ROOT)) for file in files
                  if file.is_relative_to(ROOT) and not file.is_relative_to(ROOT / "build"))


def check_unit(unit: str) -> str:
    """What clang-tidy complains about; empty when it is content."""
    result = subprocess.run(["clang-tidy-19", "-p", BUILD, "--quiet", unit], cwd=ROOT,
                            capture_output=True, text=True, check=False)
    return "" if result.returncode == 0 else result.stdout or result.stderr


def check_units(stamps: dict[str, pathlib.Path], seconds: float) -> tuple[int, int]:
    """Prints complaints as they come, stamps clean units; returns (complained about, skipped)."""
    deadline = time.monotonic() + seconds

    def check_in_time(unit: str) -> str | None:
        return check_unit(unit) if time.monotonic() < deadline else None

    bad = skipped = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for unit, complaints in zip(stamps, pool.map(check_in_time, stamps)):
            skipped += complaints is None
            if complaints:
                bad += 1
                print(complaints.strip(), flush=True)
            elif complaints is not None:
                stamps[unit].touch()
    return bad, skipped


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--all", action="store_true", help="take as long as it takes")
    parser.add_argument("--seconds", type=float, default=BUDGET_S,
                        help=f"start no unit after this long ({BUDGET_S})")
    arguments = parser.parse_args()

    CLEAN.mkdir(parents=True, exist_ok=True)
    units = latest_first(compiled_units(), recently_changed())
    stamps = {unit: CLEAN / fingerprint(ROOT, unit) for unit in units}
    unknown = {unit: stamp for unit, stamp in stamps.items() if not stamp.exists()}
    bad, skipped = check_units(unknown, math.inf if arguments.all else arguments.seconds)
    late = f", {skipped} not reached in {arguments.seconds:.0f} s" if skipped else ""
    print(f"clang-tidy: {len(units)} units, {len(unknown) - skipped} checked, "
          f"{bad} with complaints{late}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
