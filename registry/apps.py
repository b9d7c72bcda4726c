"""The Django application `registry`."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Names the room for Django."""

    name = "registry"
