#!/usr/bin/env python3
"""Breaks each rule of tidy.py on a small tree, and checks that clean code passes."""

import pathlib
import tempfile
import textwrap
import unittest

import cpp_text
import tidy

# A tree that keeps every rule; each test adds the one file that does not.
CLEAN = {
    "src/README.md": "# Sources\n",
    "src/base/base.h": "// What everything stands on.\n#pragma once\n",
    "src/io/README.md": "# io\n",
    "src/io/files.cc": '// Files.\n#include "base/base.h"\nint f() { return 1; }\n',
    "src/nucleus/README.md": "# nucleus\n",
    "src/fleet/README.md": "# fleet\n",
    "src/fleet/fleet.h": "// The fleet.\n#pragma once\n",
    "dev": "#!/bin/bash\n# Entry.\n",
    "tools/README.md": "# Tools\n",
}


def body(lines: int) -> str:
    return "".join(f"  g({number});\n" for number in range(lines))


class TidyTest(unittest.TestCase):
    def errors(self, files: dict[str, str], exemptions: str = "") -> list[str]:
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            tree = CLEAN | files | {"tools/tidy_exemptions.txt": exemptions}
            for path, text in tree.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            return tidy.judge(tidy.measure(tidy.read_tree(root)),
                              tidy.read_exemptions(root / "tools/tidy_exemptions.txt"))

    def assert_breaks(self, rule: str, path: str, text: str):
        errors = self.errors({path: text})
        self.assertEqual(len(errors), 1, errors)
        self.assertIn(f"[{rule}]", errors[0])
        self.assertIn(path, errors[0])

    def assert_clean(self, path: str, text: str):
        self.assertEqual(self.errors({path: text}), [])

    def test_clean_tree_passes(self):
        self.assertEqual(self.errors({}), [])

    def test_file_length(self):
        self.assert_breaks("lines", "src/io/a.cc", "// A.\n" * 601)
        self.assert_breaks("lines", "src/io/a.h", "// A.\n" * 201)
        self.assert_clean("src/io/a.cc", "// A.\n" * 600)

    def test_function_length(self):
        self.assert_breaks("function", "src/io/a.cc", "// A.\nvoid f() {\n" + body(69) + "}\n")
        self.assert_clean("src/io/a.cc", "// A.\nvoid f() {\n" + body(68) + "}\n")

    def test_python_and_shell_function_length(self):
        self.assert_breaks("function", "tools/a.py", '"""A."""\ndef f():\n' + body(70))
        self.assert_breaks("function", "dev", "#!/bin/bash\n# A.\nf() {\n" + body(69) + "}\n")

    def test_arrows(self):
        self.assert_breaks("arrows", "src/nucleus/a.cc", '// A.\n#include "fleet/fleet.h"\n')
        self.assert_breaks("arrows", "src/base/a.cc", '// A.\n#include "io/files.h"\n')
        self.assert_clean("src/nucleus/a.cc", '// A.\n#include "base/base.h"\n')

    def test_programs_and_tests_include_everything(self):
        text = '// A.\n#include "fleet/fleet.h"\n#include "nucleus/n.h"\n'
        self.assertEqual(self.errors({"apps/README.md": "# Apps\n", "apps/a.cc": text}), [])

    def test_unknown_module(self):
        errors = self.errors({"src/new/README.md": "# New\n", "src/new/a.cc": "// A.\n"})
        self.assertIn("src/new is not in ARROWS", "".join(errors))

    def test_heavy_headers(self):
        for header in ("boost/beast/http.hpp", "boost/asio.hpp", "soci/soci.h", "yaml-cpp/yaml.h",
                       "nlohmann/json.hpp", "google/protobuf/message.h"):
            heavy = {"src/io/a.h": f"// A.\n#pragma once\n#include <{header}>\n"}
            for path in ("src/io/b.h", "src/fleet/a.cc", "apps/a.cc"):
                user = {path: '// B.\n#include "io/a.h"\n', "apps/README.md": "# Apps\n"}
                errors = self.errors(heavy | user)
                self.assertEqual(len(errors), 1, errors)
                self.assertIn(f"[heavy] {header} reaches {path}", errors[0])
            self.assertEqual(self.errors(heavy | {"src/io/a.cc": '// A.\n#include "io/a.h"\n'}), [])
            self.assert_clean("src/io/a.cc", f"// A.\n#include <{header}>\n")

    def test_functions_that_only_tests_use(self):
        header = "// A.\n#pragma once\nint used(int x);\nResult<void> idle(std::span<const A> all);\n"
        source = '// A.\n#include "io/a.h"\nResult<void> idle(std::span<const A> all) {\n  return used(all.size());\n}\n'
        test = '// A.\n#include "io/a.h"\nvoid f() {\n  idle({});\n}\n'
        errors = self.errors({"src/io/a.h": header, "src/io/a.cc": source, "src/io/a_test.cc": test})
        self.assertEqual(len(errors), 1, errors)
        self.assertIn("src/io/a.h: [use] used by tests at most: idle (line 4)", errors[0])
        user = {"apps/README.md": "# Apps\n", "apps/b.cc": "// B.\nvoid g() {\n  other->idle({});\n}\n"}
        self.assertEqual(self.errors({"src/io/a.h": header, "src/io/a.cc": source} | user), [])

    def test_members_that_only_tests_use(self):
        header = ("// A.\n#pragma once\nclass A {\n public:\n  int size() const { return size_; }\n"
                  "  virtual bool step() = 0;\n  A& operator=(A&&);\n  bool await_ready() { return true; }\n};\n")
        errors = self.errors({"src/io/a.h": header})
        self.assertIn("size (line 5), step (line 6);", errors[0])
        self.assert_clean("src/io/test_a.h", header)
        exemption = "use src/io/a.h 2 what tests see of it\n"
        self.assertEqual(self.errors({"src/io/a.h": header}, exemption), [])

    def test_forward_declarations_are_not_heavy(self):
        light = "// A.\n#pragma once\n#include <nlohmann/json_fwd.hpp>\n"
        self.assertEqual(self.errors({"src/io/a.h": light,
                                      "apps/README.md": "# Apps\n",
                                      "apps/a.cc": '// A.\n#include "io/a.h"\n'}), [])

    def test_forbidden_words(self):
        # Put together here, so that this file does not hold the words itself.
        for rule, word in (("unfinished", "TO" + "DO"), ("unfinished", "FIX" + "ME"),
                           ("unfinished", "XX" + "X"), ("unfinished", "HA" + "CK"),
                           ("workplace", "/wor" + "k/main"), ("workplace", ".." + "/shared/x"),
                           ("workplace", "farm" + "-run"), ("registry-host", "pypi" + ".org"),
                           ("registry-host", "deb.debian" + ".org"),
                           ("disabled-test", "DIS" + "ABLED_x")):
            self.assert_breaks(f"word:{rule}", "src/io/a.cc", f"// A.\n// {word} here\n")
            self.assert_breaks(f"word:{rule}", "tools/note.md", f"See {word} here\n")
        self.assert_clean("src/io/a.cc", "// A. In v2/work/x; mktemp a.XXXXXX\n")

    def test_naked_new_and_delete(self):
        self.assert_breaks("word:naked-new", "src/io/a.cc", "// A.\nauto* p = new Foo(1);\n")
        for code in ("delete p;", "delete[] p;", "delete (p);"):
            self.assert_breaks("word:naked-delete", "src/io/a.cc", f"// A.\nvoid f() {{ {code} }}\n")
        self.assert_clean("src/io/a.cc", '// A new thing; delete it.\nauto s = "new x; delete y";\n'
                                         "struct A { A(const A&) = delete; int new_size; };\n")
        self.assert_clean("src/io/a.cc", "// A.\nauto p = std::unique_ptr<A>(new A(1));\n"
                                         "std::unique_ptr<A> q(new A);\n")

    def test_using_namespace(self):
        self.assert_breaks("word:using-namespace", "src/io/a.h", "// A.\nusing namespace std;\n")

    def test_skip_needs_a_reason(self):
        skip = "GTEST_SK" + "IP()"
        self.assert_breaks("word:skip", "src/io/a_test.cc", f"// A.\nvoid f() {{ {skip}; }}\n")
        self.assert_clean("src/io/a_test.cc", f'// A.\nvoid f() {{ {skip} << "no TPM"; }}\n')

    def test_opening_comment(self):
        self.assert_breaks("purpose", "src/io/a.cc", "#include <vector>\n")
        self.assert_breaks("purpose", "tools/a.py", "import os\n")
        self.assert_clean("src/io/a.h", "#pragma once\n// A.\n")

    def test_folders_say_what_they_are_for(self):
        for path in ("src/rpc/a.cc", "src/io/deep/a.cc", "extra/a.cc"):
            errors = self.errors({path: "// A.\n"})
            self.assertIn("say what the folder is for", "".join(errors))
        self.assert_clean("src/io/null/null_files.h", "// A.\n")
        self.assert_clean("src/io/testdata/a.txt", "data\n")

    def test_exemption_covers_what_is_there(self):
        long_file = {"src/io/a.cc": "// A.\n" * 700}
        self.assertEqual(self.errors(long_file, "lines src/io/a.cc 700 a table\n"), [])
        self.assertIn("at most 600", self.errors(long_file, "lines src/io/a.cc 699 a table\n")[0])

    def test_exemptions_only_shrink(self):
        long_file = {"src/io/a.cc": "// A.\n" * 700}
        self.assertIn("lower the exemption",
                      self.errors(long_file, "lines src/io/a.cc 701 a table\n")[0])
        for path in ("src/io/files.cc", "src/io/gone.cc"):
            self.assertIn("needs no exemption any more",
                          self.errors({}, f"lines {path} 900 a table\n")[0])

    def test_exemption_needs_a_reason(self):
        with self.assertRaises(SystemExit):
            self.errors({}, "lines src/io/files.cc 900\n")


class CppFunctionsTest(unittest.TestCase):
    def found(self, text: str) -> list[tuple[str, int]]:
        return [(function.name, function.lines)
                for function in cpp_text.functions(textwrap.dedent(text))]

    def test_members_initialisers_and_trailing_types(self):
        self.assertEqual(self.found("""
            namespace a::b {
            template <class T>
            class Foo final : public Bar<T> {
             public:
              explicit Foo(int x)
                  : Bar<T>(x), map_{{1, 2}}, list_{x} {
                run();
              }
              auto size() const noexcept -> std::size_t { return n_; }
              Foo& operator=(Foo&&) = default;
              bool operator==(const Foo& other) const {
                return n_ == other.n_;
              }
             private:
              int n_{0};
              std::vector<int> list_ = {1, 2};
            };
            }
            """), [("Foo", 4), ("size", 1), ("operator==", 3)])

    def test_lambdas_count_with_the_function_around_them(self):
        self.assertEqual(self.found("""
            Result<int> run(struct Options* options) {
              auto twice = [](int x) {
                return 2 * x;
              };
              if (twice(1) > 1) {
                return fail();
              }
              return 1;
            }
            """), [("run", 9)])

    def test_braces_in_literals_and_comments_do_not_count(self):
        self.assertEqual(self.found(r'''
            const char* kText = R"json({"a": {)json";
            // }
            char f() { return '{'; }  /* { */
            int g() { return 1'000'000; }
            #define OPEN {
            int h() { return "\"}"[0]; }
            '''), [("f", 1), ("g", 1), ("h", 1)])

    def test_tables_are_not_functions(self):
        self.assertEqual(self.found("""
            constexpr Row kTable[] = {
                {"a", 1},
                {"b", f(2)},
            };
            TEST(Table, HasRows) {
              EXPECT_EQ(2, std::size(kTable));
            }
            """), [("TEST", 3)])


if __name__ == "__main__":
    unittest.main()
