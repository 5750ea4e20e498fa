#!/usr/bin/env python3
"""Checks which units clang_tidy.py picks for a change."""

import unittest

import clang_tidy

SOURCES = {
    "src/io/files.cc": '#include "io/files.h"\n',
    "src/net/client.cc": '#include "io/files.h"\n#include "base/ids.h"\n',
    "src/net/server.cc": '#include "net/server.h"\n',
}


def picked(*changed: str) -> list[str]:
    return clang_tidy.units_to_check(list(changed), sorted(SOURCES), SOURCES.__getitem__)


class UnitsToCheckTest(unittest.TestCase):
    def test_a_changed_unit_is_checked(self):
        self.assertEqual(picked("src/net/server.cc", "README.md"), ["src/net/server.cc"])

    def test_a_header_is_checked_through_its_own_unit(self):
        self.assertEqual(picked("src/io/files.h"), ["src/io/files.cc"])

    def test_a_header_without_a_unit_is_checked_through_an_includer(self):
        self.assertEqual(picked("src/base/ids.h"), ["src/net/client.cc"])

    def test_what_nothing_compiles_is_left_out(self):
        self.assertEqual(picked("src/base/unused.h", "src/new/file.cc"), [])

    def test_the_sample_holds_every_unit_in_a_fixed_order(self):
        units = sorted(SOURCES)
        self.assertEqual(sorted(clang_tidy.sample(units)), units)
        self.assertEqual(clang_tidy.sample(units), clang_tidy.sample(units[::-1]))


if __name__ == "__main__":
    unittest.main()
