"""The Django application `jobs`."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Names the room for Django."""

    name = "jobs"
