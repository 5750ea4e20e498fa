#!/usr/bin/env python3
"""Checks when clang_tidy.py takes a unit for changed, and in which order it checks."""

import pathlib
import tempfile
import unittest

import clang_tidy

SOURCES = {
    ".clang-tidy": "Checks: a\n",
    "src/io/files.cc": '#include "io/files.h"\n#include <vector>\n',
    "src/io/files.h": '#include "base/error.h"\n',
    "src/base/error.h": "// Nothing.\n",
    "src/net/client.cc": '#include "io/files.h"\n#include "gone.h"\n',
    "tests/helper.h": '#include "helper.h"\n',
    "tests/a_test.cc": '#include "helper.h"\n',
}


class ClangTidyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for path, text in SOURCES.items():
            self.write(path, text)

    def write(self, path: str, text: str):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def fingerprint(self, unit: str) -> str:
        return clang_tidy.fingerprint(self.root, unit)

    def test_reach_follows_our_headers(self):
        self.assertEqual(clang_tidy.reach(self.root, "src/io/files.cc"),
                         ["src/base/error.h", "src/io/files.cc", "src/io/files.h"])
        self.assertEqual(clang_tidy.reach(self.root, "tests/a_test.cc"),
                         ["tests/a_test.cc", "tests/helper.h"])

    def test_a_unit_changes_with_what_it_reaches(self):
        for path in ("src/io/files.cc", "src/base/error.h", ".clang-tidy"):
            before = self.fingerprint("src/io/files.cc")
            self.write(path, SOURCES[path] + "// More.\n")
            self.assertNotEqual(self.fingerprint("src/io/files.cc"), before)

    def test_a_unit_stays_the_same_when_others_change(self):
        before = self.fingerprint("src/io/files.cc")
        self.write("src/net/client.cc", "// Other.\n")
        self.assertEqual(self.fingerprint("src/io/files.cc"), before)

    def test_the_latest_change_comes_first(self):
        self.assertEqual(clang_tidy.latest_first(["a.cc", "b.cc", "c.cc"], ["c.cc", "b.cc", "c.cc"]),
                         ["c.cc", "b.cc", "a.cc"])


if __name__ == "__main__":
    unittest.main()
