"""The ledger's pages: read it, check it, take it away. For auditors; who else asks is refused, and that is recorded."""

from audit.views.access import LedgerRequest, permit
from audit.views.activity import activity, own_activity
from audit.views.entry import entry
from audit.views.exports import export
from audit.views.log import log
from audit.views.proofs import bundle, checkpoint, receipt, verify

__all__ = [
    "LedgerRequest",
    "activity",
    "bundle",
    "checkpoint",
    "entry",
    "export",
    "log",
    "own_activity",
    "permit",
    "receipt",
    "verify",
]
