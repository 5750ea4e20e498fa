#!/usr/bin/env python3
"""Checks that what the documentation names exists and runs. Reads every .md but CHANGELOG.md.

Paths    A link that is no URL leads to a file, seen from its page. A word in backticks that starts
         with a top-level folder of the tree and a '/' is a path of the tree; after a ':' comes a
         line or a name that is found in it. Words with placeholders (<x>, *, {}, $, …) are left out.
Commands In backticks and in shell blocks, `./dev X` and the programs of build/release/bin are
         commands: each subcommand must answer --help with exit 0, and every --option stand there.
         Programs that are not built are left out, with a note.
"""

import argparse
import functools
import pathlib
import re
import shlex
import subprocess
import sys

import tidy

PROGRAMS = ("skerry", "skerryd", "skerry-fleet", "skerry-infer", "skerry-streams")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)")
INLINE_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FENCED = re.compile(r"^[ \t]*```([\w-]*)[^\n]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
SHELL_LANGUAGES = {"", "sh", "bash", "shell", "console"}
PLACEHOLDER = re.compile(r"[<>*{}$…]|\.\.\.")
END_OF_COMMAND = {"|", "||", "&&", ";", ">", "2>", "<", "&", "#"}


class Tree:
    """The repository as the check sees it: its files, and the help of its commands."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.paths = tidy.list_paths(root)
        self.top_folders = {path.split("/")[0] for path in self.paths if "/" in path}
        self.not_built: set[str] = set()

    def pages(self) -> list[str]:
        return [path for path in self.paths
                if path.endswith(".md") and path != "CHANGELOG.md" and (self.root / path).is_file()
                and not tidy.DATA_FOLDERS & set(path.split("/"))]

    def executable(self, program: str) -> pathlib.Path | None:
        if program == "./dev":
            return self.root / "dev"
        built = self.root / "build/release/bin" / program
        if built.exists():
            return built
        self.not_built.add(program)
        return None

    @functools.lru_cache(maxsize=None)
    def help(self, command: tuple[str, ...]) -> str | None:
        """What `command --help` prints; None if it fails."""
        executable = self.executable(command[0])
        try:
            result = subprocess.run([executable, *command[1:], "--help"], cwd=self.root, timeout=20,
                                    capture_output=True, text=True, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return result.stdout if result.returncode == 0 else None


# --- Paths --------------------------------------------------------------------------------------

def check_link(tree: Tree, page: str, target: str) -> str | None:
    path = target.split("#", 1)[0]
    if not path or re.match(r"[a-z]+:", target):
        return None
    base = tree.root if path.startswith("/") else (tree.root / page).parent
    return None if (base / path.lstrip("/")).exists() else f"link to {target}: no such file"


def check_path_word(tree: Tree, page: str, word: str) -> str | None:
    if PLACEHOLDER.search(word) or "/" not in word or " " in word:
        return None
    path, _, name = word.rstrip(".,;").partition(":")
    if path.split("/")[0] not in tree.top_folders:
        return None
    # A folder's own page may speak of its subfolders.
    file = next((base / path for base in (tree.root, (tree.root / page).parent)
                 if (base / path).exists()), None)
    if file is None:
        return f"`{word}`: no such path"
    last_name = re.split(r"::|\.", name.rstrip("()"))[-1]
    if name and file.is_file():
        text = file.read_text(errors="replace")
        if last_name.isdigit():
            return None if int(last_name) <= text.count("\n") else f"`{word}`: no such line"
        if not re.search(rf"\b{re.escape(last_name)}\b", text):
            return f"`{word}`: nothing called {last_name} in that file"
    return None


# --- Commands -----------------------------------------------------------------------------------

def split_command(line: str) -> list[str]:
    """The words of a line's first command; empty if it is none of ours or no command at all."""
    try:
        words = shlex.split(line.strip().removeprefix("$ "), comments=True)
    except ValueError:
        return []
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    ours = words and (words[0] == "./dev" or words[0] in PROGRAMS)
    end = next((i for i, word in enumerate(words) if word in END_OF_COMMAND), len(words))
    return words[:end] if ours else []


def subcommands(help_text: str) -> set[str]:
    """The names that a help text lists below a line such as 'Commands:' or 'Subcommands:'."""
    section = re.search(r"^\s*(?:sub)?commands:?\s*\n((?:[ \t]+\S[^\n]*\n|\n)+)", help_text + "\n",
                        re.MULTILINE | re.IGNORECASE)
    return set(re.findall(r"^[ \t]+([a-z][\w-]*)", section.group(1), re.MULTILINE)) if section else set()


def check_command(tree: Tree, words: list[str]) -> str | None:
    command, rest = [words[0]], words[1:]
    if tree.executable(words[0]) is None:
        return None
    if words[0] == "./dev" and rest and re.fullmatch(r"[a-z]+", rest[0]):
        command.append(rest.pop(0))
    while (text := tree.help(tuple(command))) is not None:
        names = subcommands(text)
        if not (names and rest and re.fullmatch(r"[a-z][\w-]*", rest[0])):
            break
        if rest[0] not in names:
            return f"`{' '.join(command)}` has no command {rest[0]}"
        command.append(rest.pop(0))
    if text is None:
        return f"`{' '.join(command)} --help` fails"
    for option in (word.split("=")[0] for word in rest if re.match(r"--[a-z]", word)):
        if option != "--help" and not re.search(rf"{re.escape(option)}(?![\w-])", text):
            return f"`{' '.join(command)}` knows no {option}"
    return None


def command_lines(text: str) -> list[tuple[int, str]]:
    """Each line of shell blocks and each piece of inline code, with its position."""
    lines = [(match.start(), match.group(1)) for match in INLINE_CODE.finditer(prose(text))]
    for block in FENCED.finditer(text):
        if block.group(1) in SHELL_LANGUAGES:
            joined = block.group(2).replace("\\\n", "  ")
            offset = block.start(2)
            for line in joined.split("\n"):
                lines.append((offset, line))
                offset += len(line) + 1
    return lines


def prose(text: str) -> str:
    """The page without its fenced blocks; positions stay true."""
    return FENCED.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


# --- Pages --------------------------------------------------------------------------------------

def check_page(tree: Tree, page: str) -> list[str]:
    text = (tree.root / page).read_text()
    found = [(match.start(), check_link(tree, page, match.group(1)))
             for match in LINK.finditer(prose(text))]
    found += [(match.start(), check_path_word(tree, page, match.group(1)))
              for match in INLINE_CODE.finditer(prose(text))]
    found += [(position, check_command(tree, words)) for position, line in command_lines(text)
              if (words := split_command(line))]
    return [f"{page}:{tidy.line_of(text, position)}: {error}"
            for position, error in sorted(found, key=lambda item: item[0]) if error]


def check_tree(root: pathlib.Path) -> tuple[list[str], str]:
    """All errors, and a closing line."""
    tree = Tree(root)
    pages = tree.pages()
    errors = [error for page in pages for error in check_page(tree, page)]
    note = f"; not built, so not run: {', '.join(sorted(tree.not_built))}" if tree.not_built else ""
    return errors, f"docs: {len(pages)} pages, {len(errors)} errors{note}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    errors, closing = check_tree(parser.parse_args().root)
    print("\n".join(errors + [closing]))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
