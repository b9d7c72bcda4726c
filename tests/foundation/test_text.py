"""Text written by people cannot run, load or submit anything."""

from __future__ import annotations

import re

import pytest

from foundation.text import safe_html


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "![beacon](https://elsewhere.example/pixel.png)",
        "[x](javascript:alert(1))",
        "[x](data:text/html,hello)",
        '<form action="/sign/"><button>x</button></form>',
        '<div hx-post="/sign/">x</div>',
        "<style>body{display:none}</style>",
        '<a href="/x" style="position:fixed">x</a>',
    ],
)
def test_nothing_active_survives(hostile: str) -> None:
    tags = "".join(re.findall(r"<[^>]*>", safe_html(hostile)))

    for forbidden in (
        "<script",
        "<img",
        "<form",
        "<style",
        "<div",
        "javascript:",
        "data:",
        " onerror",
        " style=",
        " hx-",
    ):
        assert forbidden not in tags


def test_what_is_not_markdown_is_shown_as_it_was_written() -> None:
    """The first lock alone: what the second would take away is text already."""
    assert "&lt;b&gt;x&lt;/b&gt;" in safe_html("<b>x</b>")
    assert '!<a href="https://a.example/pixel.png"' in safe_html("![beacon](https://a.example/pixel.png)")


def test_ordinary_markdown_is_kept() -> None:
    html = safe_html(
        "Use it for **this**:\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[card](https://a.example)"
    )

    assert "<strong>this</strong>" in html
    assert html.count("<li>") == 2
    assert "<td>2</td>" in html
    assert '<a href="https://a.example" rel="nofollow noopener">' in html


def test_headings_start_under_those_of_the_page() -> None:
    assert safe_html("# a\n\n## b\n\n###### c").count("<h1") == 0
    assert "<h3>a</h3>" in safe_html("# a")
    assert "<h6>c</h6>" in safe_html("###### c")
