"""Countersign's client: pull models that were signed off, and check offline who signed them.

import countersign

with countersign.Registry("https://models.example.org", key="registry.pub") as registry:
    model = registry.pull("credit@production", "models/credit")

countersign.verify("models/credit", key="registry.pub")
"""

from countersign.errors import CountersignError, LocalTrouble, Misused, NotProven, NotReached, Refused
from countersign.registry import Registry, Requirement, Resolved
from countersign.verifying import Pulled, verify
from countersign.version import VERSION
from countersign.watching import Event

__version__ = VERSION

__all__ = [
    "CountersignError",
    "Event",
    "LocalTrouble",
    "Misused",
    "NotProven",
    "NotReached",
    "Pulled",
    "Refused",
    "Registry",
    "Requirement",
    "Resolved",
    "__version__",
    "verify",
]
