"""The Django application `audit`."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Names the room for Django."""

    name = "audit"
