#!/usr/bin/env python3
"""Checks spec_check.py against requirements and tests that do and do not know each other."""

import pathlib
import tempfile
import unittest

import spec_check

PAGE = "# X\n\n| | Requirement | Source |\n|---|---|---|\n| **DEP-1** | One. | here |\n| **DEP-2** | Two. | there |\n"
TEST = "// What the requirements say.\n// DEP-1, DEP-2\nTEST(A, B) {}\n"


class SpecCheckTest(unittest.TestCase):
    def errors(self, page=PAGE, test=TEST, path="src/io/a_test.cc"):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            for file, text in {"docs/spec/x.md": page, path: test}.items():
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                (root / file).write_text(text)
            return spec_check.check(root)[0]

    def test_all_is_well(self):
        self.assertEqual(self.errors(), [])
        self.assertEqual(self.errors(test="# DEP-1\n# DEP-2: as it says\n", path="tests/e2e/x.py"), [])

    def test_one_that_no_test_names_is_listed(self):
        self.assertEqual(self.errors(test="// DEP-2\n"), ["docs/spec/x.md:5: no test names DEP-1"])
        # A word in code is no citation, nor is one in what is no test.
        self.assertEqual(len(self.errors(test='say("DEP-1, DEP-2");\n')), 2)
        self.assertEqual(len(self.errors(path="src/io/a.cc")), 2)

    def test_one_that_no_page_has_is_listed(self):
        self.assertEqual(self.errors(test=TEST + "// DEP-3, IPC-1 of somebody else's\n"),
                         ["src/io/a_test.cc:4: DEP-3 is in no page of docs/spec"])

    def test_ids_stand_once_and_rows_are_whole(self):
        self.assertEqual(self.errors(page=PAGE + "| **DEP-1** | Again. | here |\n"),
                         ["docs/spec/x.md:7: DEP-1 stands at docs/spec/x.md:5 already"])
        self.assertEqual(self.errors(page=PAGE.replace("| here |", "| |")),
                         ["docs/spec/x.md:5: DEP-1 needs a requirement and a source"])


if __name__ == "__main__":
    unittest.main()
