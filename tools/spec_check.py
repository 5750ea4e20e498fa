#!/usr/bin/env python3
"""Checks that requirements and tests know each other. Requirements stand in docs/spec/*.md, one a table row that begins
with its id in bold, `| **DEP-7** | … | source |`; a test that holds one names it in a comment, `// DEP-7`.

An id stands once and is never given to another requirement; one that no test names is listed, and so is one that a test
names and no page has.
"""

import argparse
import pathlib
import re
import sys

import tidy

ROW = re.compile(r"^\| \*\*([A-Z]+-\d+)\*\* \|(.*)\|\s*$", re.MULTILINE)
COMMENT = re.compile(r"^\s*(?://|#)(.*)$", re.MULTILINE)
TESTS = re.compile(r"(_test\.(cc|py|mjs)$)|(^tests/)")


def requirements(root: pathlib.Path, paths: list[str]) -> tuple[dict[str, str], list[str]]:
    """{id: "page:line"}, and what is wrong with the pages."""
    found: dict[str, str] = {}
    errors = []
    for page in sorted(path for path in paths if path.startswith("docs/spec/") and path.endswith(".md")):
        text = (root / page).read_text()
        for match in ROW.finditer(text):
            place = f"{page}:{tidy.line_of(text, match.start())}"
            columns = [column.strip() for column in match.group(2).split("|")]
            if len(columns) != 2 or not all(columns):
                errors.append(f"{place}: {match.group(1)} needs a requirement and a source")
            if match.group(1) in found:
                errors.append(f"{place}: {match.group(1)} stands at {found[match.group(1)]} already")
            found.setdefault(match.group(1), place)
    return found, errors


def citations(root: pathlib.Path, paths: list[str], areas: set[str]) -> dict[str, str]:
    """{id: "file:line" of the first test that names it}, of the areas that there are."""
    named: dict[str, str] = {}
    word = re.compile(rf"\b(?:{'|'.join(sorted(areas))})-\d+\b")
    for path in paths:
        if not TESTS.search(path) or not path.endswith((".cc", ".py", ".mjs")) or not (root / path).is_file():
            continue
        text = (root / path).read_text(errors="replace")
        for comment in COMMENT.finditer(text):
            for match in word.finditer(comment.group(1)):
                named.setdefault(match.group(), f"{path}:{tidy.line_of(text, comment.start())}")
    return named


def check(root: pathlib.Path) -> tuple[list[str], str]:
    """All errors, and a closing line."""
    paths = tidy.list_paths(root)
    known, errors = requirements(root, paths)
    if not known:
        return errors, "spec: no requirements"
    named = citations(root, paths, {name.split("-")[0] for name in known})
    errors += [f"{place}: no test names {name}" for name, place in known.items() if name not in named]
    errors += [f"{place}: {name} is in no page of docs/spec" for name, place in named.items() if name not in known]
    return errors, f"spec: {len(known)} requirements, {len(errors)} errors"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    errors, closing = check(parser.parse_args().root)
    print("\n".join(errors + [closing]))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
