"""The certificate on paper: tagged, readable as text, and made without any file or address that is not ours."""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from access.models import User
from audit.models import Pending
from registry.models import ModelVersion
from reports.certificate import certificate_of
from reports.pdf import BASE, Refused, pdf_of, printed
from reviews.revocation import revoke
from tests.conftest import as_
from tests.reviews.conftest import proof_of

ClientFor = Callable[[User], Client]
HEAD = f'<html lang="en"><head><title>x</title><link rel="stylesheet" href="{BASE}print.css">'


def inflated(data: bytes) -> bytes:
    """The file with its compressed streams opened."""
    found = [data]
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL):
        with contextlib.suppress(zlib.error):
            found.append(zlib.decompress(stream))
    return b"\n".join(found)


def test_is_a_tagged_pdf_with_our_own_font() -> None:
    data = pdf_of(HEAD + "</head><body><h1>Hello</h1></body></html>")

    assert data.startswith(b"%PDF-")
    text = inflated(data)
    assert b"pdfuaid" in text
    assert b"/StructTreeRoot" in text
    assert b"Inter" in text


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/x.png",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "/etc/passwd",
        "../config/settings.py",
        f"{BASE}app.js",
        f"{BASE}../../etc/passwd",
        f"{BASE}%2e%2e/manage.py",
    ],
)
def test_no_other_file_or_address_is_read(address: str) -> None:
    with pytest.raises(Refused):
        pdf_of(f'{HEAD}</head><body><img src="{address}" alt="x"></body></html>')


def test_a_style_sheet_from_elsewhere_is_refused() -> None:
    with pytest.raises(Refused):
        pdf_of('<html><head><link rel="stylesheet" href="https://example.org/x.css"></head><body>x</body></html>')


def test_the_pdf_of_a_certificate_is_served_and_on_record(
    released: ModelVersion, client_for: ClientFor, dave: User
) -> None:
    response = client_for(dave).get(f"/models/credit/v/{released.number}/certificate.pdf")

    assert response.status_code == 200
    assert response["Content-Type"] == "application/pdf"
    assert f'-credit-v{released.number}.pdf"' in response["Content-Disposition"]
    assert response.content.startswith(b"%PDF-")
    assert b'"action":"certificate.issue"' in bytes(Pending.objects.order_by("-pk")[0].payload)


def test_what_is_printed_names_the_signatures_and_says_when_it_is_revoked(released: ModelVersion, carol: User) -> None:
    revoke(released, reason="Data <i>breach</i>.", reauthentication=proof_of(carol), by=as_(carol))

    html = printed(certificate_of(released, at=timezone.now()))

    assert "Sign-off certificate: REVOKED" in html
    assert "Data &lt;i&gt;breach" in html
    assert "Bob Lindqvist" in html
    assert "<svg" in html
    assert pdf_of(html).startswith(b"%PDF-")
