"""Sends logged entries on to other systems (a SIEM, a log collector), in order and at least once, each with an id that never changes.

Where to is said in the installation's settings (`AUDIT_STREAMS`) and nowhere else: no request can name a destination. How far each has
come is kept in the database and moves only after the receiver took the batch, so that whatever is cut short is sent again.
"""
