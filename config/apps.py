"""The Django application `config`."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Names the room for Django."""

    name = "config"
