"""The layout of a text: which lines are headings, which are list items, and which make one paragraph.

Markdown and plain text are read alike. Lines of a hard-wrapped paragraph are joined; a text with one paragraph
a line, with or without blank lines between, is left as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.records import Kind

#: Longest heading without markup, in characters and in words.
HEADING_CHARACTERS, HEADING_WORDS = 100, 14
#: Shortest width of a hard-wrapped text, in characters.
WRAP_WIDTH = 40

_MARK = re.compile(
    r"(?:>\s*)*(?:(?P<hash>\#{1,6})\s+|(?P<dot>[-*+–—]\s+|[•‣◦▪■●○·►➤]\s*)"
    r"|(?P<number>\(?(?:\d{1,3}|[a-z]|[ivx]{2,5})\)\s+|(?:\d{1,3}|[a-z]|[ivx]{2,5})\.\s+)"
    r"|(?P<chapter>(?:\d+(?:\.\d+)+\.?|[IVX]{1,5}\.)\s+))?"
)
_RULE = re.compile(r"[-*+_=~#>•‣◦▪■●○·►➤–—\s]+|\|[-|:\s]+")
_RULE_SIGNS = frozenset("-*+_=~#>•‣◦▪■●○·►➤–—|")
_MAY_GO_ON = frozenset(("", "dot", "number"))
_CLOSING = "*_\"'”’)]» "
_OPENING = "*_\"'“‘([«# "
_PRONOUN = re.compile(r"\b(?:I|we|he|she|they|it|ladies|gentlemen|dear)\b", re.IGNORECASE)
_BYLINE = re.compile(r"(?:By|by|BY) [A-Z]|(?:Published|Updated|Posted)\b")


@dataclass(slots=True)
class Block:
    """A heading, a list item or a paragraph: ``text[start:end]``, without its mark and without white space around.

    ``level`` counts from 1 for headings with markup and is 0 for those known by their form. ``indent`` is
    that of the list mark, in characters. ``mark`` is where the mark begins (``start`` where there is none).
    """

    kind: Kind
    start: int
    end: int
    level: int = 0
    indent: int = 0
    mark: int = 0
    sign: str = ""
    last: int = 0  # where its last line begins


def find_blocks(text: str) -> list[Block]:
    """Cut a text into headings, list items and paragraphs, in order and without overlap."""
    blocks: list[Block] = []
    lines = text.splitlines(keepends=True)
    width = -1  # not yet known
    at, blank = 0, True
    for raw in lines:
        line_at, at = at, at + len(raw)
        line = raw.strip()
        if not line:
            blank = True
            continue
        start = line_at if raw[0] == line[0] else line_at + len(raw) - len(raw.lstrip())
        if line[0] in _RULE_SIGNS and _RULE.fullmatch(line):
            if not blank:
                _underline(blocks, line)
            blank = True
            continue
        block = _read_line(line, start, start - line_at)
        if not blank and blocks and block.sign in _MAY_GO_ON:
            if width < 0:
                width = _wrap_width(lines)
            if _continues(text, blocks[-1], block, width):
                blocks[-1].end, blocks[-1].last = block.end, block.last
                continue
        blocks.append(block)
        blank = False
    for index, block in enumerate(blocks):
        _settle(text, blocks, index, block)
    return blocks


def _read_line(line: str, start: int, indent: int) -> Block:
    """One line with the mark it begins with."""
    end = start + len(line)
    match = _MARK.match(line)
    sign = match.lastgroup if match else None
    if match is None or sign is None:
        skip = match.end() if match and match.end() < len(line) else 0
        return Block("sentence", start + skip, end, 0, indent, start, "", start)
    inner = start + match.end()
    if sign == "hash":
        title = line.rstrip("#")  # Markdown allows "## Title ##"
        if title[-1:].isspace() and len(title.rstrip()) > match.end():
            end = start + len(title.rstrip())
        return Block("heading", inner, end, len(match["hash"]), indent, start, sign, start)
    if sign == "chapter":  # only a heading can bear such a number; it is settled later
        return Block("sentence", start, end, match.end(), indent, start, sign, start)
    return Block("bullet", inner, end, 0, indent, start, sign, start)


def _underline(blocks: list[Block], line: str) -> None:
    """A line of "=" or "-" right under a single line of text makes that line a heading."""
    above = blocks[-1]
    short = above.last == above.mark and above.end - above.start <= HEADING_CHARACTERS
    if not above.sign and short and line[0] in "=-" and not line.strip(line[0]):
        above.kind, above.level, above.sign = "heading", 1 if line[0] == "=" else 2, "underline"


def _wrap_width(lines: list[str]) -> int:
    """The column at which the text is hard-wrapped, 0 where it is not.

    Only a line that goes on in lower case after a line without final punctuation shows wrapping.
    """
    width = 0
    above = ""
    for raw in lines:
        line = raw.strip().lstrip("> ")
        if above and line and above[-1] not in ".!?:;…" and _goes_on(line[0]):
            width = max(width, len(above))
        above = line
    return width if width >= WRAP_WIDTH else 0


def _goes_on(first: str) -> bool:
    return first.islower() or (first.isalpha() and not first.isupper())


def _continues(text: str, above: Block, block: Block, width: int) -> bool:
    """Whether a line right under ``above`` belongs to the same paragraph or list item.

    One with a mark does only where wrapping has put a dash or a number of the sentence first.
    """
    if above.kind == "heading":
        return False
    if above.kind == "bullet" and not block.sign and block.indent > above.indent:
        return True
    if not width:
        return False
    line = text[above.last : above.end]
    word = text[block.mark if block.sign else block.start : block.end].split(None, 1)[0]
    going_on = _goes_on(word[0])
    if len(line) + 1 + len(word) > width:  # the next word did not fit
        return not block.sign or (above.kind == "sentence" and line[-1] not in ".!?:;…")
    if block.sign:
        return False
    return going_on and (line[-1] == "." or (line[-1] not in "!?:;…" and len(line) >= 0.6 * width))


def _settle(text: str, blocks: list[Block], index: int, block: Block) -> None:
    """Headings without markup, which only their form and their neighbours show."""
    if block.kind == "heading" or block.sign == "dot" or block.end - block.start > HEADING_CHARACTERS:
        return
    content = text[block.start : block.end]
    if block.sign == "number":
        around = (blocks[index - 1] if index else None, blocks[index + 1] if index + 1 < len(blocks) else None)
        alone = around[1] is not None and all(other is None or other.sign != "number" for other in around)
        if _is_capitals(content) or (alone and text[block.mark] != "(" and _title_like(content, question=True)):
            block.kind, block.start = "heading", block.mark
    elif block.sign == "chapter":
        if _title_like(content[block.level :], question=True):
            block.kind = "heading"
        block.level = 0
    elif len(blocks) > 1 and (_is_capitals(content) or _title_like(content)):
        below = blocks[index + 1] if index + 1 < len(blocks) else None
        if not (below and below.kind == "bullet" and content.rstrip(_CLOSING).endswith(":")):
            block.kind = "heading"  # and not the lead-in of a list


def _is_capitals(content: str) -> bool:
    return content.isupper() and content[-1] != "." and sum(map(str.isalpha, content)) > 2


def _title_like(content: str, *, question: bool = False) -> bool:
    """Short, opens like a title, and has no final punctuation ("Challenges:" and "What next" are, "He left." not)."""
    body = content.rstrip(_CLOSING)
    if not body or body[-1] in ".!…,;。！？؟۔।" or (body[-1] == "?" and not question):
        return False
    words = content.count(" ") + 1
    if words > HEADING_WORDS or len(content) > HEADING_CHARACTERS:
        return False
    if body[-1] == ":" and (words > 3 or _PRONOUN.search(body)):
        return False
    first = content.lstrip(_OPENING)[:1]
    return first.isupper() or first.isdigit() or (first.isalpha() and not first.islower())


def is_byline(content: str) -> bool:
    """Whether a heading only says who wrote the article or when it appeared."""
    return _BYLINE.match(content) is not None
