"""The Django application `access`."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """Names the room for Django."""

    name = "access"
