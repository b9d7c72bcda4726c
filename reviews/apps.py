"""The Django application `reviews`."""

from django.apps import AppConfig


class ReviewsConfig(AppConfig):
    """Names the room for Django."""

    name = "reviews"
