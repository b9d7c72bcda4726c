"""The Django application `reviews`."""

from django.apps import AppConfig


class ReviewsConfig(AppConfig):
    """Names the room for Django, and has what is due by time registered."""

    name = "reviews"

    def ready(self) -> None:
        """Import what registers itself: with the clock, and who knows which groups sign."""
        from reviews import break_glass, envelopes, overdue, renewal, signing_groups, silence, superseding  # noqa: F401 - imported for what they register
