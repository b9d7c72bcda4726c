"""Makes PDF files (PDF/UA-1) out of our own pages, with our own style sheet and font and without any other file or network access.

What people wrote is in these pages. Should a link to a picture or style sheet ever get through into one, it is refused here.
"""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from weasyprint import HTML
from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

from foundation.charts import for_print, has_picture
from reports.as_of import Json
from reports.certificate import Certificate
from reports.review_pack import ReviewPack

# fontTools writes the hour into each font that it cuts down to the letters used; with this name, which it shares with the world of
# reproducible builds, it writes always the same, and the same page makes the same bytes.
os.environ.setdefault("SOURCE_DATE_EPOCH", "0")

HOST: Final = "own.invalid"
BASE: Final = f"https://{HOST}/"
FILES: Final[dict[str, str]] = {
    "print.css": "text/css",
    "vendor/inter-latin-wght-normal.woff2": "font/woff2",
}


class Refused(FatalURLFetchingError):  # type: ignore[misc]  # WeasyPrint has no types
    """A page asked for a file that is not ours; no PDF is made of it."""


class OwnFiles(URLFetcher):  # type: ignore[misc]  # WeasyPrint has no types
    """Hands out the two files that paper is printed with, and nothing else, whatever the address says."""

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> Any:
        """The file's bytes; raises `Refused` for every other address."""
        parts = urlsplit(url)
        name = unquote(parts.path).lstrip("/")
        path = finders.find(name) if parts.scheme == "https" and parts.netloc == HOST and name in FILES else None
        if not isinstance(path, str):
            raise Refused(f"What is printed may not load {url[:100]}.")
        with open(path, "rb") as file:
            return URLFetcherResponse(url, body=file.read(), headers={"Content-Type": FILES[name]})


def pdf_of(html: str) -> bytes:
    """`html` as a tagged PDF; its style sheet is `print.css` under `BASE`. Raises `Refused` for any other file it asks for."""
    data: bytes = HTML(string=html, base_url=BASE, url_fetcher=OwnFiles()).write_pdf(pdf_variant="pdf/ua-1")
    return data


def printed(certificate: Certificate) -> str:
    """The certificate as the HTML that is printed."""
    charts = [(title, for_print(drawing)) for title, drawing in certificate.charts]
    return render_to_string(
        "reports/certificate_print.html", {"certificate": certificate, "charts": charts, "base": BASE}
    )


def printed_answer(found: Json, digest: str) -> str:
    """The answer about a moment as the HTML that is printed; `digest` is the SHA-256 of its JSON."""
    return render_to_string("reports/as_of_print.html", {"found": found, "digest": digest, "base": BASE})


def printed_pack(pack: ReviewPack) -> str:
    """The review pack as the HTML that is printed."""
    fairness, importance = pack.page.fairness, pack.page.changes.importance
    context = {
        "pack": pack,
        "base": BASE,
        "performance_charts": [(title, for_print(drawing)) for title, drawing in pack.performance_charts],
        "fairness_chart": for_print(fairness.drawing, letters=13.5)
        if fairness and has_picture(fairness.drawing)
        else "",
        "importance_chart": for_print(importance) if has_picture(importance) else "",
    }
    return render_to_string("reports/review_pack_print.html", context)
