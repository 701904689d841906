"""A web page to the text of its article, with Markdown's marks for headings and bullets."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline.decoding import Decoded, decode, mend
from pipeline.records import PipelineError

#: trafilatura gives up beyond this, in characters.
MAX_PAGE = 20_000_000
#: A page is an article when one of its lines has so many words; menus and login forms have none.
MIN_WORDS = 8

_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
#: Browsers read these as Windows-1252, and pages that declare them count on it.
_AS_WINDOWS = {"iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1", "us-ascii", "ascii"}
#: Codecs that no page can be written in while its own declaration stays readable, or that are no charset.
_UNUSABLE = re.compile(r"utf-?(7|16|32)|.*escape|idna|punycode|undefined")
_SKIPPED = {"table", "graphic", "comments", "done"}
_INLINE = {"hi", "ref", "del", "code", "lb", "span", "a"}
_NO_ARTICLE = "no article found in this page (menus, forms, tables and comments are left out)"


class Page(NamedTuple):
    """The article of a page; ``title`` and ``date`` (YYYY-MM-DD) as far as the page states them."""

    text: str
    title: str | None
    date: str | None
    warnings: tuple[str, ...]


def decode_page(data: bytes) -> Decoded:
    """Decode as text is, with the charset that the page declares before the fallback."""
    match = _CHARSET.search(data[:4096])
    declared = match.group(1).decode("ascii").lower() if match else None
    if declared in _AS_WINDOWS:
        declared = "cp1252"
    elif declared is not None and _UNUSABLE.match(declared):
        declared = None
    return decode(data, declared)


def read_page(data: bytes) -> Page:
    """The article in the bytes of an HTML page, without network access.

    Raises
    ------
    PipelineError
        Where the bytes cannot be decoded, the page is over ``MAX_PAGE`` characters, or has no article.
    """
    html, warnings = decode_page(data)
    if not html.strip():
        raise PipelineError("holds only whitespace")
    if len(html) > MAX_PAGE:
        raise PipelineError(f"the page has {len(html):,} characters; the limit is {MAX_PAGE:,}")
    if "<html" not in html[:4096].lower() and "<" in html:
        html = f"<html><body>{html}</body></html>"  # a fragment; trafilatura wants a whole page
    found = _extract(html)
    if found is None or found.body is None:
        raise PipelineError(_NO_ARTICLE)
    _unwrap(found.body)
    text = mend("\n\n".join(_blocks(found.body)))
    if not any(len(line.split()) >= MIN_WORDS for line in text.splitlines()):
        raise PipelineError(_NO_ARTICLE)
    return Page(text + "\n", _stated(found.title), _stated(found.date), warnings)


def _extract(html: str) -> Any:
    # Here and not above: the import takes longer than all of --help may.
    try:
        from trafilatura import bare_extraction
    except ImportError as error:  # also where one of its own dependencies is missing
        raise PipelineError(
            f"web pages need the package trafilatura, which cannot be imported ({error.msg})",
            remedy="pip install trafilatura lxml_html_clean",
        ) from error

    # Without a handler its messages would reach stderr, where one line a failure is promised.
    logger = logging.getLogger("trafilatura")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    try:
        return bare_extraction(
            html,
            favor_recall=True,
            include_comments=False,
            include_tables=False,
            include_formatting=True,  # without it headings come back as paragraphs
            with_metadata=True,
            date_extraction_params={"extensive_search": False, "original_date": True},
        )
    except Exception as error:  # hostile markup raises what the library does not document
        raise PipelineError(f"the page cannot be parsed ({type(error).__name__})") from error


def _stated(value: Any) -> str | None:
    return mend(value.strip()) or None if isinstance(value, str) else None


def _unwrap(body: Any) -> None:
    """Make newlines of the page's source spaces: there only ``<br>`` and preformatted text break a line.

    A body of one paragraph is the library's last resort, whose newlines are all the structure it has.
    """
    if len(body) < 2:
        return
    for element in body.iter("p", "head", "item", *_INLINE):
        if element.tag != "code":
            element.text = (element.text or "").replace("\n", " ")
        if element.getparent().tag != "quote":  # preformatted text comes back as a quotation
            element.tail = (element.tail or "").replace("\n", " ")


def _blocks(element: Any) -> Iterator[str]:
    """The blocks under a trafilatura element, in order: headings, lists, paragraphs."""
    run = [element.text or ""]  # text and inline elements up to the next block
    for child in element:
        if not isinstance(child.tag, str) or child.tag in _SKIPPED:
            run.append(child.tail or "")
        elif child.tag in _INLINE:
            run += [_inline(child), child.tail or ""]
        else:
            yield from _paragraph(run)
            yield from _block(child)
            run = [child.tail or ""]
    yield from _paragraph(run)


def _block(element: Any) -> Iterator[str]:
    if element.tag == "head":
        rank = re.sub(r"\D", "", element.get("rend") or "") or "2"
        if text := _one_line(_inline(element)):
            yield f"{'#' * min(int(rank), 6)} {text}"
    elif element.tag == "list":
        if items := "\n".join(_items(element, "")):
            yield items
    else:
        yield from _blocks(element)


def _items(element: Any, indent: str) -> Iterator[str]:
    numbered = element.get("rend") == "ol"
    number = 0
    for item in element:
        if item.tag == "list":  # a list directly in a list, without an item around it
            yield from _items(item, indent + "  ")
        elif item.tag == "item":
            number += 1
            mark = f"{number}. " if numbered else "- "
            if text := _one_line(_inline(item, without={"list"})):
                yield f"{indent}{mark}{text}"
            for inner in item.iter("list"):
                if _owner(inner) is item:
                    yield from _items(inner, indent + "  ")


def _owner(inner: Any) -> Any:
    """The item or list that a list stands in."""
    return next(inner.iterancestors("item", "list"), None)


def _inline(element: Any, without: set[str] | None = None) -> str:
    """All text under an element; a line break is a newline, and ``without`` names tags left out."""
    if element.tag == "lb":
        return "\n"
    parts = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str) and child.tag not in _SKIPPED and child.tag not in (without or ()):
            gap = "" if child.tag in _INLINE else " "
            parts += [gap, _inline(child, without), gap]
        parts.append(child.tail or "")
    return "".join(parts)


def _paragraph(run: list[str]) -> Iterator[str]:
    lines = [" ".join(line.split()) for line in "".join(run).split("\n")]
    if text := re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip():
        yield text


def _one_line(text: str) -> str:
    return " ".join(text.split())
