#!/usr/bin/env python3
"""Holds the tree to the project's conventions; run by ctest and by `./dev lint`.

Each rule measures a file and compares the measure with its limit: lines, the longest function,
the number of forbidden words, of includes against the arrows, and so on. What is over its limit
for a good reason stands in tools/tidy_exemptions.txt with the measure it has today. That table
only shrinks: an entry that is higher than the file needs is an error too.

    tools/tidy.py                the whole tree
    tools/tidy.py --root DIR     another tree (the tests do this)
"""

import argparse
import ast
import collections
import collections.abc
import dataclasses
import pathlib
import re
import subprocess
import sys

import cpp_text

# Which module of src/ may include which; base and io are open to all but each other's users.
# This is the one place where the arrows are written as code; docs/ARCHITECTURE.md draws them.
ARROWS = {
    "base": set(),
    "io": {"base"},
    "tensor": {"base"},
    "formats": {"tensor", "io", "base"},
    "hybrid": {"formats", "net", "io", "base"},
    "monitor": {"formats", "tensor", "io", "base"},
    "rpc": {"net", "io", "base"},
    "net": {"io", "base"},
    "graph": {"tensor", "io", "base"},
    "runtime": {"graph", "tensor", "io", "base"},
    "pipeline": {"runtime", "formats", "tensor", "io", "base"},
    "gateway": {"tensor", "net", "io", "base"},
    "flow": {"pipeline", "formats", "tensor", "rpc", "net", "io", "base"},
    "optimise": {"runtime", "graph", "tensor", "io", "base"},
    "train": {"formats", "optimise", "runtime", "graph", "tensor", "io", "base"},
    "compile": {"optimise", "runtime", "graph", "tensor", "io", "base"},
    "nucleus": {"formats", "rpc", "net", "io", "base"},
    "streams": {"formats", "rpc", "net", "io", "base"},
    "fleet": {"federated", "monitor", "tensor", "formats", "rpc", "net", "io", "base"},
    "serve": {"monitor", "pipeline", "runtime", "tensor", "formats", "rpc", "net", "io", "base"},
    "federated": {"tensor", "formats", "io", "base"},
    "learner": {"federated", "train", "optimise", "graph", "tensor", "formats", "net", "io", "base"},
    "cli": {"hybrid", "monitor", "compile", "learner", "federated", "train", "optimise", "pipeline", "runtime", "graph", "tensor", "formats", "rpc", "net", "io", "base"},
}

# Seconds of compile time each: they stay inside the module that owns them.
HEAVY_HEADER = re.compile(
    r"boost/(beast|asio)|soci(/|\.h)|yaml-cpp/|nlohmann/json\.hpp|google/protobuf|grpc")

# Spelled so that this file does not contain what it forbids.
FORBIDDEN_WORDS = {
    "unfinished": re.compile(r"\b(TO[D]O|FIX[M]E|XX[X]|HAC[K])\b"),
    "workplace": re.compile(r"/wor[k]/(main|shared|\.library)\b|\.\./share[d]\b|\bfarm[-]\w"),
    "registry host": re.compile(
        r"\b(deb\.debian|snapshot\.debian|security\.debian|pypi|files\.pythonhosted|"
        r"registry\.npmjs|npmjs|crates|proxy\.golang|repo1?\.maven)\.(org|io|com)\b"),
    "disabled test": re.compile(r"\bDISABLE[D]_"),
}
# A smart pointer around `new` is the only way to a private constructor: owned at once, not naked.
OWNED_NEW = re.compile(r"\b(unique_ptr|shared_ptr)<[^;()]*>\s*\w*[({]\s*new\b")
CPP_ONLY_WORDS = {
    "naked new": re.compile(r"(?<!operator )\bnew\b\s*[\w:(\[]"),
    "naked delete": re.compile(r"(?<!operator )(?<!= )\bdelete\b(\s*\[\s*\])?\s*[\w:(*]"),
}

CPP = {".cc", ".h", ".c"}
CODE = CPP | {".py", ".sh", ".js", ".mjs", ".css", ".html", ".cmake"}
MARKDOWN_AND_DATA = {".md", ".txt", ".json", ".yaml", ".yml", ".toml", ".svg", ".sql", ".in"}
# Folders whose files are data, not ours to style.
DATA_FOLDERS = {"testdata", "corpus", "golden"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """`value` of `rule` in `path`, where at most `limit` is allowed without an exemption."""
    rule: str
    path: str
    value: int
    limit: int
    message: str
    line: int = 0


@dataclasses.dataclass(frozen=True)
class File:
    path: str
    text: str

    @property
    def suffix(self) -> str:
        return pathlib.PurePath(self.path).suffix

    @property
    def parts(self) -> tuple[str, ...]:
        return pathlib.PurePath(self.path).parts

    @property
    def is_cpp(self) -> bool:
        return self.suffix in CPP

    @property
    def is_script(self) -> bool:
        """Shell scripts and the like go without a suffix."""
        return not self.suffix and self.text.startswith("#!")

    @property
    def is_code(self) -> bool:
        return self.suffix in CODE or self.is_script or self.parts[-1] == "CMakeLists.txt"

    @property
    def is_data(self) -> bool:
        return bool(DATA_FOLDERS & set(self.parts[:-1]))


Rule = collections.abc.Callable[[File], collections.abc.Iterable[Finding]]


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


# --- Size ---------------------------------------------------------------------------------------

def check_file_length(file: File):
    limit = 200 if file.suffix == ".h" else 600
    lines = file.text.count("\n")
    yield Finding("lines", file.path, lines, limit, f"{lines} lines, at most {limit}")


def python_functions(text: str) -> list[cpp_text.Function]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [cpp_text.Function(node.name, node.lineno, node.end_lineno)
            for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]


def shell_functions(text: str) -> list[cpp_text.Function]:
    return [cpp_text.Function(match.group(1), line_of(text, match.start()),
                              line_of(text, match.end()))
            for match in re.finditer(r"^(\w+)\(\) \{\n.*?^\}", text, re.MULTILINE | re.DOTALL)]


def functions_of(file: File) -> list[cpp_text.Function]:
    if file.is_cpp:
        return cpp_text.functions(file.text)
    first_line = file.text.split("\n", 1)[0]
    if file.suffix == ".py" or (file.is_script and "python" in first_line):
        return python_functions(file.text)
    if file.suffix == ".sh" or file.is_script:
        return shell_functions(file.text)
    return []


def check_function_length(file: File):
    limit = 70
    longest = max(functions_of(file), key=lambda function: function.lines, default=None)
    if longest:
        yield Finding("function", file.path, longest.lines, limit,
                      f"{longest.name}: {longest.lines} lines, at most {limit}", longest.first_line)


# --- Includes -----------------------------------------------------------------------------------

def includes(file: File) -> list[tuple[int, str]]:
    return [(line_of(file.text, match.start()), match.group(1))
            for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', file.text,
                                     re.MULTILINE)]


def check_arrows(file: File):
    if not file.is_cpp or file.parts[0] != "src" or len(file.parts) < 3:
        return
    module = file.parts[1]
    if module not in ARROWS:
        yield Finding("arrows", file.path, 1, 0,
                      f"src/{module} is not in ARROWS of tools/tidy.py: say what it may include")
        return
    against = [(line, name) for line, name in includes(file)
               if name.split("/")[0] in ARROWS.keys() - ARROWS[module] - {module}]
    if against:
        line, name = against[0]
        yield Finding("arrows", file.path, len(against), 0,
                      f"{module} may not include {name}", line)


def check_heavy_headers(files: list[File]):
    """A header may include a heavy one if only .cc files of its own module include it in turn."""
    includers: dict[str, list[str]] = {}
    for file in files:
        for _, name in includes(file) if file.is_cpp else []:
            for path in (f"src/{name}", str(pathlib.PurePath(file.path).parent / name)):
                includers.setdefault(path, []).append(file.path)
    for file in files:
        heavy = [(line, name) for line, name in includes(file) if HEAVY_HEADER.match(name)]
        if not heavy or file.suffix != ".h" or file.parts[0] != "src":
            continue
        module = "/".join(file.parts[:2]) + "/"
        outside = [path for path in includers.get(file.path, [])
                   if not (path.startswith(module) and path.endswith(".cc"))]
        if outside:
            line, name = heavy[0]
            yield Finding("heavy", file.path, len(heavy), 0,
                          f"{name} reaches {outside[0]}; keep it to .cc files of {module}", line)


# --- Use -----------------------------------------------------------------------------------------

# Called by the language and the standard library.
CALLED_BY_NAME = {
    "allocate", "deallocate", "await_ready", "await_suspend", "await_resume", "initial_suspend", "final_suspend",
    "get_return_object", "lambda", "return_value", "return_void", "unhandled_exception"}
# Their callers are written by the compiler for models (src/compile/emit.cc).
CALLED_FROM_MODELS = "src/compile/kernels/"
DECLARATION = re.compile(
    r"(?:[\w&*\]]\s+|(?<!-)>\s*|[&*])(?P<name>[a-z_]\w*)\s*\([^;{}]*\)[\w\s=&]*;")
NO_TYPE = re.compile(r"\b(return|co_return|co_await|throw|else|case)\s*$")


def is_test(file: File) -> bool:
    return (file.parts[0] in {"tests", "fuzz", "sim", "bench"} or file.path.endswith("_test.cc")
            or file.parts[-1].startswith("test_"))


def declarations(code: str) -> list[tuple[int, str]]:
    return [(line_of(code, match.start("name")), match["name"]) for match in DECLARATION.finditer(code)
            if not NO_TYPE.search(code[:match.start("name")])]


def check_use(files: list[File]):
    """Functions that a header of src/ offers and that nothing but tests calls. By name only: a name that two
    classes share is in use where one of them is."""
    mentions, at_definition, offered = collections.Counter(), collections.Counter(), {}
    for file in files:
        if not file.is_cpp or file.is_data or is_test(file):
            continue
        code = cpp_text.strip(file.text)
        mentions.update(re.findall(r"\b[a-z_]\w*\b", code))
        named = [(function.first_line, function.name.rpartition("::")[2]) for function in cpp_text.functions(file.text)]
        named += declarations(code)
        at_definition.update(name for _, name in named)
        if file.suffix == ".h" and file.parts[0] == "src" and not file.path.startswith(CALLED_FROM_MODELS):
            for line, name in named:
                offered.setdefault(name, (file.path, line))
    unused = collections.defaultdict(list)
    for name, (path, line) in offered.items():
        if re.fullmatch(r"[a-z]\w*", name) and name not in CALLED_BY_NAME and mentions[name] <= at_definition[name]:
            unused[path].append((line, name))
    for path, names in unused.items():
        listed = ", ".join(f"{name} (line {line})" for line, name in names)
        yield Finding("use", path, len(names), 0, f"used by tests at most: {listed}; remove it, or move it to them")


# --- Words --------------------------------------------------------------------------------------

def matches(rule: str, file: File, text: str, pattern: re.Pattern, advice: str):
    found = list(pattern.finditer(text))
    if found:
        word = found[0].group().strip()
        yield Finding(rule, file.path, len(found), 0, f"'{word}': {advice}",
                      line_of(text, found[0].start()))


def check_words(file: File):
    for name, pattern in FORBIDDEN_WORDS.items():
        yield from matches(f"word:{name.replace(' ', '-')}", file, file.text, pattern,
                           f"forbidden ({name})")


def check_cpp_words(file: File):
    if not file.is_cpp:
        return
    code = cpp_text.strip(file.text)
    if file.suffix == ".h":
        yield from matches("word:using-namespace", file, code,
                           re.compile(r"\busing\s+namespace\b"), "not in a header")
    if file.parts[0] == "src":
        raw = OWNED_NEW.sub(lambda match: "\n" * match.group().count("\n"), code)
        for name, pattern in CPP_ONLY_WORDS.items():
            yield from matches(f"word:{name.replace(' ', '-')}", file, raw, pattern,
                               "use RAII (std::make_unique, containers)")
    yield from matches("word:skip", file, file.text,
                       re.compile(r'\bGTEST_SKI[P]\(\)\s*(;|<<\s*"")'), "say why it is skipped")


# --- Purpose ------------------------------------------------------------------------------------

COMMENT_STARTS = ("//", "/*", "#", '"""', "<!--", "<!doctype", 'r"""')


def check_opening_comment(file: File):
    """The first line that is not a shebang, a pragma or blank says what the file is for."""
    if file.parts[-1] == "__init__.py" and not file.text.strip():
        return
    lines = file.text.splitlines()
    while lines and (lines[0].startswith(("#!", "#pragma once")) or not lines[0].strip()):
        lines.pop(0)
    opening = lines[0].lstrip().lower() if lines else ""
    is_directive = file.is_cpp and opening.startswith("#")
    if not opening.startswith(COMMENT_STARTS) or is_directive:
        yield Finding("purpose", file.path, 1, 0, "opens without a comment on what it is for", 1)


def check_folders(files: list[File]):
    """Top-level folders, and folders of code below src/, have a README.md or NAME/NAME*.h."""
    paths = {file.path for file in files}
    own_headers = {"/".join(file.parts[:-1]) for file in files
                   if file.suffix == ".h" and file.parts[-1].startswith(file.parts[-2:-1])}
    folders = set()
    for file in files:
        top = file.parts[0]
        if len(file.parts) > 1 and not top.startswith("."):
            folders.add(top)
        if top == "src" and file.is_cpp and not file.is_data:
            folders.update("/".join(file.parts[:depth]) for depth in range(2, len(file.parts)))
    for folder in sorted(folders):
        if f"{folder}/README.md" not in paths and folder not in own_headers:
            yield Finding("purpose", folder, 1, 0, "has neither a README.md nor a header of its "
                          "own name: say what the folder is for")


CODE_RULES: list[Rule] = [check_file_length, check_function_length, check_arrows, check_cpp_words,
                          check_opening_comment]
TEXT_RULES: list[Rule] = [check_words]
TREE_RULES = [check_folders, check_heavy_headers, check_use]


# --- The tree and its exemptions ----------------------------------------------------------------

def list_paths(root: pathlib.Path) -> list[str]:
    """Committed and new files; in a tree without git (a release archive), every file."""
    git = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others",
                          "--exclude-standard"], capture_output=True, text=True, check=False)
    if git.returncode == 0 and (root / ".git").exists():
        return sorted(set(filter(None, git.stdout.split("\0"))))
    skipped = ("build", ".cache", ".git")
    return sorted(str(path.relative_to(root)) for path in root.rglob("*")
                  if path.relative_to(root).parts[0] not in skipped)


def read_tree(root: pathlib.Path) -> list[File]:
    files = []
    for path in list_paths(root):
        full = root / path
        known = full.suffix in CODE | MARKDOWN_AND_DATA or not full.suffix
        if known and full.is_file() and not full.is_symlink():
            try:
                files.append(File(path, full.read_text(encoding="utf-8")))
            except UnicodeDecodeError:
                pass  # binary data, whatever its name
    return files


def measure(files: list[File]) -> list[Finding]:
    findings = [finding for rule in TREE_RULES for finding in rule(files)]
    for file in files:
        if file.is_code and not file.is_data:
            findings += [finding for rule in CODE_RULES for finding in rule(file)]
        findings += [finding for rule in TEXT_RULES for finding in rule(file)]
    return findings


def read_exemptions(path: pathlib.Path) -> dict[tuple[str, str], int]:
    """Lines of `rule path limit reason…`."""
    exemptions = {}
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split(None, 3)
        if len(fields) < 4 or not fields[2].isdigit():
            sys.exit(f"{path}:{number}: want `rule path limit reason`")
        exemptions[fields[0], fields[1]] = int(fields[2])
    return exemptions


def judge(findings: list[Finding], exemptions: dict[tuple[str, str], int]) -> list[str]:
    """What is wrong, one message each: over the limit, or exempted beyond what is needed."""
    errors = []
    worst = {}
    for finding in findings:
        key = (finding.rule, finding.path)
        worst[key] = max(worst.get(key, 0), finding.value)
        if finding.value > exemptions.get(key, finding.limit):
            place = f"{finding.path}:{finding.line}" if finding.line else finding.path
            errors.append(f"{place}: [{finding.rule}] {finding.message}")
    limits = {(finding.rule, finding.path): finding.limit for finding in findings}
    for key, exempted in exemptions.items():
        rule, path = key
        if worst.get(key, 0) <= limits.get(key, 0):
            errors.append(f"{path}: [{rule}] needs no exemption any more: delete its line")
        elif worst[key] < exempted:
            errors.append(f"{path}: [{rule}] exempted up to {exempted}, is at {worst[key]}: "
                          "lower the exemption")
    return errors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    files = read_tree(root)
    errors = judge(measure(files), read_exemptions(root / "tools/tidy_exemptions.txt"))
    print("\n".join(errors + [f"tidy: {len(files)} files, {len(errors)} errors"]))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
