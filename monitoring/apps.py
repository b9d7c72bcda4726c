"""The Django application `monitoring`."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """Names the room for Django."""

    name = "monitoring"
