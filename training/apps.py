"""The Django application `training`."""

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """Names the room for Django."""

    name = "training"
