"""The ledger: who did what to what, with what outcome, in a form that an outsider can check.

Every action appends one entry in its own transaction; the sequencer drains the entries into an RFC 6962
Merkle tree and signs its root. What can be detected, and what cannot, is written in `audit.verification`.
"""
