"""The Django application `notices`."""

from django.apps import AppConfig


class NoticesConfig(AppConfig):
    """Names the room for Django."""

    name = "notices"
