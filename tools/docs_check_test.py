#!/usr/bin/env python3
"""Checks docs_check.py against pages that name things which are and are not there."""

import pathlib
import tempfile
import unittest

import docs_check

DEV = """#!/bin/sh
[ "$1" = build ] && echo 'Usage: ./dev build [--fast]' && exit 0
exit 1
"""
SKERRY = """#!/bin/sh
case "$*" in
  --help) printf 'Usage: skerry\\n\\nSubcommands:\\n  up      start\\n  group   groups\\n' ;;
  "group --help") printf 'Subcommands:\\n  add   one more\\n' ;;
  "group add --help") printf 'Usage: skerry group add NAME\\n  --json  for programs\\n' ;;
  "up --help") printf 'Usage: skerry up\\n' ;;
  *) exit 2 ;;
esac
"""


class DocsCheckTest(unittest.TestCase):
    def errors(self, page: str, built: bool = True) -> list[str]:
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            files = {"dev": DEV, "docs/PAGE.md": page, "src/io/files.cc": "void open_it() {}\n"}
            if built:
                files["build/release/bin/skerry"] = SKERRY
            for path, text in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
                (root / path).chmod(0o755)
            errors, self.closing = docs_check.check_tree(root)
            return errors

    def assert_error(self, page: str, message: str):
        errors = self.errors(page)
        self.assertEqual(len(errors), 1, errors)
        self.assertIn(message, errors[0])

    def test_links(self):
        self.assertEqual(self.errors("[a](../src/io/files.cc) [b](https://x.invalid/y) [c](#d)"), [])
        self.assert_error("[a](gone.md)", "link to gone.md")

    def test_paths_in_backticks(self):
        self.assertEqual(self.errors("`src/io/files.cc` `src/io` `src/<name>/x` `src/*/y` "
                                     "`a/b/c` `text/plain` `io/files.h`"), [])
        self.assert_error("see\n`src/io/gone.cc`", "PAGE.md:2: `src/io/gone.cc`: no such path")

    def test_names_in_files(self):
        self.assertEqual(self.errors("`src/io/files.cc:open_it` `src/io/files.cc:1`"), [])
        self.assert_error("`src/io/files.cc:close_it()`", "nothing called close_it")
        self.assert_error("`src/io/files.cc:77`", "no such line")

    def test_dev_commands(self):
        self.assertEqual(self.errors("`./dev build --fast` and ./dev nothing, in prose"), [])
        self.assert_error("`./dev nothing`", "`./dev nothing --help` fails")
        self.assert_error("`./dev build --slow`", "knows no --slow")

    def test_program_commands(self):
        self.assertEqual(self.errors("```sh\n$ skerry group add line-1 --json | jq .  # all\n```\n"
                                     "`skerry up` `SKERRY_X=1 skerry up`"), [])
        self.assert_error("```\nskerry group drop x\n```", "`skerry group` has no command drop")
        self.assert_error("text\n\n```sh\nls\nskerry \\\n  down\n```",
                          "PAGE.md:5: `skerry` has no command down")

    def test_other_blocks_are_not_commands(self):
        self.assertEqual(self.errors("```mermaid\nskerry nonsense\n```\n"), [])

    def test_programs_that_are_not_built_are_noted(self):
        self.assertEqual(self.errors("`skerry nonsense`", built=False), [])
        self.assertIn("not run: skerry", self.closing)


if __name__ == "__main__":
    unittest.main()
