"""The Django application `datasets`."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Names the room for Django."""

    name = "datasets"
