#!/usr/bin/env python3
"""`./dev lint`: every check that is not a test, all run even if one fails, slowest last."""

import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# How far to list files that need formatting; `./dev fmt` corrects them all anyway.
SHOWN = 20


def check_format() -> bool:
    sources = subprocess.run(["git", "ls-files", "-z", "*.cc", "*.h", "*.c"], cwd=ROOT, check=True,
                             capture_output=True, text=True).stdout.split("\0")
    present = [path for path in sources if path and (ROOT / path).is_file()]
    if not present:
        return True
    result = subprocess.run(["clang-format-19", "--dry-run", "-Werror", *present], cwd=ROOT,
                            capture_output=True, text=True, check=False)
    wrong = sorted({line.split(":", 1)[0] for line in result.stderr.splitlines()
                    if "[-Wclang-format-violations]" in line})
    for path in wrong[:SHOWN]:
        print(f"{path}: not formatted; ./dev fmt does it")
    print(f"clang-format: {len(present)} files, {len(wrong)} to format")
    return result.returncode == 0


def check_with(tool: str, *arguments: str) -> bool:
    command = [sys.executable, ROOT / "tools" / tool, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def build() -> bool:
    """clang-tidy reads the compile commands, and the docs check runs the programs."""
    return subprocess.run(["./dev", "build"], cwd=ROOT, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="clang-tidy without a time budget")
    tidy_scope = ["--all"] if parser.parse_args().all else []
    results = {
        "format": check_format(),
        "tidy": check_with("tidy.py"),
        "build": build(),
    }
    if results["build"]:
        results["docs"] = check_with("docs_check.py")
        results["spec"] = check_with("spec_check.py")
        results["clang-tidy"] = check_with("clang_tidy.py", *tidy_scope)
    failed = [name for name, passed in results.items() if not passed]
    print(f"lint: {'failed: ' + ', '.join(failed) if failed else 'ok'}")
    return 1 if failed else 0


if __name__ == "__main__":
    # Lines must come in the order of the checks, also where the output is a file.
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())
