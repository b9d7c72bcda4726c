"""The Django application `audit`."""

from django.apps import AppConfig
from django.core.checks import register


class AuditConfig(AppConfig):
    """Names the room for Django, and has it checked at every start."""

    name = "audit"

    def ready(self) -> None:
        """Registers the check that checkpoints are held outside."""
        from audit.startup import check_outside_anchor  # settings are ready only now

        register(check_outside_anchor)
