"""The Django application `foundation`."""

from django.apps import AppConfig


class FoundationConfig(AppConfig):
    """Names the room for Django."""

    name = "foundation"
