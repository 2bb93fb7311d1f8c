"""A file's import statements, read from its text; parsing all of a project's code would take most of a build's time.

What is found is what `imports.statements_of` finds in the parsed file. Where that is not certain nothing is found,
and the file has to be parsed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from flashcore.build.imports import ImportStatement, may_call, statements_in
from flashcore.build.lexical import blanked

_WORD = b"import"
_IMPORT = re.compile(rb"(?<![\w.\x80-\xff])import(?![\w\x80-\xff])")
_NAME = rb"[\w\x80-\xff]+"
_DOTTED = _NAME + rb"(?:\." + _NAME + rb")*"
_AS = rb"(?:[ \t]+as[ \t]+" + _NAME + rb")?"
_WHOLE = re.compile(rb"([ \t]*)import[ \t]+(" + _DOTTED + _AS + rb"(?:[ \t]*,[ \t]*" + _DOTTED + _AS + rb")*)[ \t]*")
_PART = re.compile(rb"([ \t]*)from[ \t]+(\.*)[ \t]*((?:" + _DOTTED + rb")?)[ \t]*import(?:[ \t]+|(?=[(*]))")
_PARTS = re.compile(_NAME + _AS + rb"(?:[ \t]*,[ \t]*" + _NAME + _AS + rb")*[ \t]*")
_PARTS_IN_BRACKETS = re.compile(
    rb"\(\s*"
    + _NAME
    + rb"(?:\s+as\s+"
    + _NAME
    + rb")?(?:\s*,\s*"
    + _NAME
    + rb"(?:\s+as\s+"
    + _NAME
    + rb")?)*\s*,?\s*\)[ \t]*"
)
_FIRST_NAME = re.compile(rb"\s*(" + _NAME + rb"(?:\." + _NAME + rb")*)")
_TOP = re.compile(rb"\n(?=[^\s)\]}])(?!(?:else|elif|except|finally)\b)")


def written_imports(data: bytes) -> tuple[ImportStatement, ...] | None:
    """The import statements of a file with this content; None where its text alone does not tell."""
    last = data.rfind(_WORD)
    if last < 0 and not may_call(data):
        return ()
    if may_call(data):
        return None
    end = data.find(b"\n", last)
    # What stands below the last import matters only if the text seems to end in the middle of something there.
    for piece in (data[: end + 1], data) if end >= 0 else (data,):
        text = blanked(piece)
        found = None if text is None or text.count(b"(") != text.count(b")") else _in_text(piece, text)
        if found is not None:
            return found
    return None


def _in_text(data: bytes, text: bytes) -> tuple[ImportStatement, ...] | None:
    found: list[ImportStatement] = []
    seen = 0
    for word in _IMPORT.finditer(text):
        if word.start() < seen:
            continue
        start = text.rfind(b"\n", 0, word.start()) + 1
        if text[start : start + 1] in b" \t":
            block = _block(data, text, start)
            if block is None:
                return None
            statements, seen = block
        else:
            written = _written(text, start)
            if written is None:
                return None
            statements, seen = written
        found.extend(statements)
    return tuple(found)


def _written(text: bytes, start: int) -> tuple[list[ImportStatement], int] | None:
    """The statement that begins there and is the only one of its line, and where it ends."""
    line = 1 + text.count(b"\n", 0, start)
    whole = _WHOLE.match(text, start)
    if whole is not None:
        found = [ImportStatement(line, 0, name) for name in _names(whole[2])]
        return (found, whole.end()) if _ends(text, whole.end()) else None
    part = _PART.match(text, start)
    if part is None or not (part[2] or part[3]):
        return None
    at = part.end()
    names = _PARTS_IN_BRACKETS.match(text, at) or _PARTS.match(text, at)
    if names is not None:
        written = list(_names(names[0].strip(b"() \t\n")))
        at = names.end()
    elif text.startswith(b"*", at):
        written, at = ["*"], at + 1
    else:
        return None
    if not _ends(text, at):
        return None
    module, level = part[3].decode(), len(part[2])
    return [ImportStatement(line, 0, module, level, name) for name in written], at


def _names(listed: bytes) -> Iterator[str]:
    for one in listed.split(b","):
        found = _FIRST_NAME.match(one)
        if found is not None:
            yield found[1].decode()


def _ends(text: bytes, at: int) -> bool:
    end = text.find(b"\n", at)
    return not text[at : len(text) if end < 0 else end].strip(b" \t")


def _block(data: bytes, text: bytes, start: int) -> tuple[list[ImportStatement], int] | None:
    """The statements of the module-level statement around an import that is indented, and where that ends."""
    begin = 0
    for found in _TOP.finditer(text, 0, start):
        begin = found.start() + 1
    following = _TOP.search(text, start)
    end = len(text) if following is None else following.start()
    try:
        code = ast.parse(b"\n" * text.count(b"\n", 0, begin) + data[begin:end] + b"\n")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return list(statements_in(code)), end
