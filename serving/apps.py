"""The Django application `serving`."""

from django.apps import AppConfig


class ServingConfig(AppConfig):
    """Names the room for Django."""

    name = "serving"
