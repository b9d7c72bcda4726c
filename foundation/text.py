"""Turns text that people wrote (model cards, reasons, comments) into HTML that is safe to show to a reviewer.

Two locks: markdown-it-py renders with raw HTML off, then nh3 keeps only the tags and links listed here. Images are not
rendered at all: a picture in a card could call home from the reviewer's browser.
"""

from functools import cache, lru_cache
from typing import Final

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

TAGS: Final = frozenset(
    {"a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong"}
    | {"table", "tbody", "td", "th", "thead", "tr", "ul"}
)
SCHEMES: Final = frozenset({"http", "https", "mailto"})
HEADING_SHIFT: Final = 2  # the page owns h1 and h2


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


def _shift_heading(token: Token) -> Token:
    if token.type in {"heading_open", "heading_close"}:
        token.tag = f"h{min(6, int(token.tag[1]) + HEADING_SHIFT)}"
    return token


@lru_cache(maxsize=2048)
def safe_html(markdown: str) -> str:
    """HTML of `markdown` with nothing in it that runs, loads or submits; headings start at h3.

    Remembered by its text, which is all that it depends on: a discussion is rendered anew at every look at its page.
    """
    parser = _parser()
    tokens = [_shift_heading(token) for token in parser.parse(markdown)]
    html = parser.renderer.render(tokens, parser.options, {})
    return nh3.clean(
        html, tags=set(TAGS), attributes={"a": {"href"}}, url_schemes=set(SCHEMES), link_rel="nofollow noopener"
    )
