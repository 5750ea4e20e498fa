#!/usr/bin/env python3
"""`./dev fuzz`: runs each libFuzzer target for a while, starting from its committed corpus.

New inputs go to build/fuzz/corpus/NAME, so that the committed corpus in fuzz/corpus/NAME changes
only when somebody adds to it. A crash leaves the input that reproduces it in build/fuzz/crashes.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/fuzz"
PREFIX = "fuzz_"
# One input that runs this long, or needs this much memory, is a finding like a crash.
INPUT_TIMEOUT_S = 10
MEMORY_LIMIT_MB = 1024


def targets(names: list[str]) -> list[pathlib.Path]:
    built = {path.name.removeprefix(PREFIX): path for path in sorted(BUILD.glob(f"bin/{PREFIX}*"))}
    wanted = [name.removeprefix(PREFIX) for name in names] or list(built)
    unknown = [name for name in wanted if name not in built]
    if unknown or not wanted:
        sys.exit(f"error: no fuzz target {' '.join(unknown)}; there are: {' '.join(built) or 'none'}")
    return [built[name] for name in wanted]


def run(target: pathlib.Path, seconds: int) -> bool:
    name = target.name.removeprefix(PREFIX)
    found = BUILD / "corpus" / name
    crashes = BUILD / "crashes"
    committed = ROOT / "fuzz/corpus" / name
    found.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    print(f"{name}: {seconds} s … ", end="", flush=True)
    result = subprocess.run(
        [target, f"-max_total_time={seconds}", f"-timeout={INPUT_TIMEOUT_S}",
         f"-rss_limit_mb={MEMORY_LIMIT_MB}", f"-artifact_prefix={crashes}/{name}-",
         "-print_final_stats=1", found, *([committed] if committed.is_dir() else [])],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if result.returncode == 0:
        runs = re.search(r"number_of_executed_units:\s*(\d+)", result.stdout)
        print(f"ok, {runs.group(1) if runs else 'no'} runs")
        return True
    reproducer = re.search(r"Test unit written to (\S+)", result.stdout)
    print("FAILED\n" + "\n".join(result.stdout.splitlines()[-60:]))
    if reproducer:
        print(f"reproduce: {target.relative_to(ROOT)} {reproducer.group(1)}")
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets; default: all")
    parser.add_argument("--seconds", type=int, default=30, help="for each target (30)")
    arguments = parser.parse_args()
    failed = [target.name for target in targets(arguments.names)
              if not run(target, arguments.seconds)]
    print(f"fuzz: {'failed: ' + ', '.join(failed) if failed else 'ok'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
