#!/usr/bin/env python3
"""Runs clang-tidy on what changed since the last landed commit, within a time budget.

A unit takes five seconds and more, so the whole tree is for `--all`. A changed header is checked
through its own .cc, or else through one that includes it. Reads build/release/
compile_commands.json; the precompiled headers that it names must have been built.

    tools/clang_tidy.py                 what changed
    tools/clang_tidy.py --all --seconds 7200
"""

import argparse
import collections.abc
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
UPSTREAM = ("@{upstream}", "origin/main")


def git(*arguments: str) -> str | None:
    result = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True,
                            check=False)
    return result.stdout.strip() if result.returncode == 0 else None


def find_base() -> str | None:
    """The last landed commit; in a clone of just that, the one before. None: there is no history."""
    if os.environ.get("SKERRY_LINT_BASE"):
        return os.environ["SKERRY_LINT_BASE"]
    for branch in UPSTREAM:
        base = git("merge-base", "HEAD", branch)
        if base and base != git("rev-parse", "HEAD"):
            return base
    return git("rev-parse", "--verify", "--quiet", "HEAD~1")


def changed_files(base: str) -> list[str]:
    committed_and_edited = git("diff", "--name-only", "--diff-filter=d", base) or ""
    new = git("ls-files", "--others", "--exclude-standard") or ""
    return sorted(set((committed_and_edited + "\n" + new).split()))


def unit_for_header(header: str, units: list[str],
                    read: collections.abc.Callable[[str], str]) -> str | None:
    """The unit whose check shows the header's findings: its own .cc, else one that includes it."""
    own = header.removesuffix(".h") + ".cc"
    if own in units:
        return own
    name = re.escape(header.removeprefix("src/"))
    return next((unit for unit in units if re.search(rf'#include "{name}"', read(unit))), None)


def units_to_check(changed: list[str], units: list[str],
                   read: collections.abc.Callable[[str], str]) -> list[str]:
    chosen = {path for path in changed if path in units}
    chosen |= {unit_for_header(path, units, read) for path in changed if path.endswith(".h")}
    return sorted(chosen - {None})


def sample(units: list[str]) -> list[str]:
    """All units, in an order that is random but the same each time: the budget cuts the tail."""
    return sorted(units, key=lambda path: hashlib.sha256(path.encode()).digest())


def compiled_units() -> list[str]:
    database = BUILD / "compile_commands.json"
    if not database.exists():
        sys.exit(f"clang-tidy needs {database.relative_to(ROOT)}: run ./dev build")
    files = (pathlib.Path(entry["file"]) for entry in json.loads(database.read_text()))
    return sorted({str(file.relative_to(ROOT)) for file in files
                   if file.is_relative_to(ROOT) and not file.is_relative_to(ROOT / "build")})


def check_unit(unit: str) -> str:
    """What clang-tidy complains about; empty when it is content."""
    result = subprocess.run(["clang-tidy-19", "-p", BUILD, "--quiet", unit], cwd=ROOT,
                            capture_output=True, text=True, check=False)
    return "" if result.returncode == 0 else result.stdout or result.stderr


def check_units(units: list[str], seconds: float) -> tuple[int, int]:
    """Prints complaints as they come; returns how many units had some and how many were skipped."""
    deadline = time.monotonic() + seconds

    def check_in_time(unit: str) -> str | None:
        return check_unit(unit) if time.monotonic() < deadline else None

    bad = skipped = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for complaints in pool.map(check_in_time, units):
            skipped += complaints is None
            if complaints:
                bad += 1
                print(complaints.strip(), flush=True)
    return bad, skipped


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--all", action="store_true", help="every unit")
    parser.add_argument("--seconds", type=float, default=600, help="start no unit after this long")
    arguments = parser.parse_args()

    units = compiled_units()
    base = None if arguments.all else find_base()
    if base:
        chosen = units_to_check(changed_files(base), units, lambda path: (ROOT / path).read_text())
    else:
        chosen = sample(units)
    bad, skipped = check_units(chosen, arguments.seconds)
    late = f", {skipped} not reached in {arguments.seconds:.0f} s" if skipped else ""
    print(f"clang-tidy: {len(chosen) - skipped} units, {bad} with complaints{late}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
