"""What a person is told about where the ledger has their decision: beside the page's own words, until they leave the page."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access.permissions import Permission
from access.principal import Principal
from audit.actions import Receipt
from audit.handed import hand


def tell_receipt(request: HttpRequest, receipt: Receipt | None, by: Principal) -> None:
    """Wait for the receipt and show it; where the sequencer is slow, show where it will be."""
    if receipt is not None:
        messages.info(request, receipt_note(receipt, by))


def receipt_note(receipt: Receipt, by: Principal) -> SafeString:
    """Entry, checkpoint and the beginning of its root, with the receipt to download; the entry is safe before it is signed."""
    found = hand(receipt)
    head = found.head
    if found.seq is None or head is None:
        return format_html(
            'Recorded, not yet signed; <a href="{}" download>the receipt</a> will be there in a moment.', found.proof
        )
    entry = format_html("Ledger entry {}", found.seq)
    if by.allows(Permission.SEE_AUDIT):
        entry = format_html('<a href="{}">{}</a>', reverse("audit:entry", args=[found.seq]), entry)
    return format_html(
        '{}, signed with checkpoint {}, root <code>{}…</code> (<a href="{}" download>receipt</a>).',
        entry,
        head.size,
        head.root.hex()[:8],
        found.proof,
    )
