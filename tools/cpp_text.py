"""Reads C++ as text for tidy.py: blanks comments and literals, and finds functions by their braces.

Not a parser. It relies on code being formatted by clang-format and only has to find where the
body of a function starts and ends, so that its lines can be counted.
"""

import dataclasses
import re

_LITERALS = re.compile(
    r"""//[^\n]*
      | /\*.*?\*/
      | R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)"
      | "(?:\\.|[^"\\\n])*"
      | (?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'   # not the separator in 1'000
    """, re.VERBOSE | re.DOTALL)
_PREPROCESSOR = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_CONTAINER = re.compile(r"\b(?:namespace|class|struct|union|enum|extern)\b")
_MEMBER_INITIALISER = re.compile(r"\)\s*(?:noexcept\s*(?:\([^()]*\))?\s*)?:(?!:)[^{]*[\w>]\s*$")
_LAMBDA = re.compile(r"\[[^\[\]]*\]\s*(?:\(.*\))?[\w\s:<>&*,\-]*$", re.DOTALL)

_LABELS = re.compile(r"(?:\s|\b(?:public|protected|private)\s*:)*")


@dataclasses.dataclass(frozen=True)
class Function:
    """Lines count from 1; both ends belong to the function."""
    name: str
    first_line: int
    last_line: int

    @property
    def lines(self) -> int:
        return self.last_line - self.first_line + 1


def _blank(match: re.Match) -> str:
    """Keeps line breaks, so that line numbers stay true, and quotes, so that code stays code."""
    text = match.group()
    return '""' if text[0] in "\"'R" and "\n" not in text else re.sub(r"[^\n]", " ", text)


def strip(text: str) -> str:
    """The code without comments and the contents of strings and characters; same lines."""
    return _LITERALS.sub(_blank, text)


def _kind(head: str) -> str:
    """What the brace after `head` opens outside functions: container, init, function or value."""
    outside = re.sub(r"<[^<>;{}]*>|\([^()]*\)", " ", head)  # template <class T>, (struct x*)
    if _CONTAINER.search(outside) and not re.search(r"\)\s*(?:const|noexcept|override)?\s*$", head):
        return "container"
    if _MEMBER_INITIALISER.search(head):
        return "init"
    if re.search(r"(?<![=!<>])=(?!=)", outside) and "operator" not in head:
        return "function" if _LAMBDA.search(head) else "value"
    return "function" if ")" in head else "value"


def _matching_brace(code: str, opening: int) -> int:
    depth = 0
    for position in range(opening, len(code)):
        depth += {"{": 1, "}": -1}.get(code[position], 0)
        if depth == 0:
            return position
    return len(code) - 1


def _name(head: str) -> str:
    match = re.search(r"([\w:~]+|operator\s*\S+)\s*\(", head)
    return match.group(1) if match else "lambda"


def functions(text: str) -> list[Function]:
    """Every function outside other functions; lambdas count as part of the one around them."""
    code = _PREPROCESSOR.sub(_blank, strip(text))
    found = []
    head_start = position = 0
    while position < len(code):
        character = code[position]
        if character in ";}":
            head_start = position + 1
        elif character == "{":
            head = code[head_start:position]
            kind = _kind(head)
            if kind == "container":
                head_start = position + 1
            else:
                end = _matching_brace(code, position)
                if kind == "function":
                    first = head_start + _LABELS.match(head).end()
                    found.append(Function(_name(head), code.count("\n", 0, first) + 1,
                                          code.count("\n", 0, end) + 1))
                if kind == "init":  # still before the body: the head goes on
                    code = f"{code[:position]}({_inner(code, position, end)}){code[end + 1:]}"
                else:
                    head_start = end + 1
                position = end
        position += 1
    return found


def _inner(code: str, opening: int, closing: int) -> str:
    """What stands between two braces, with no brace left in it."""
    return code[opening + 1:closing].replace("{", "(").replace("}", ")")
