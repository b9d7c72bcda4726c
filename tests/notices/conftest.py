"""What tests of mail stand on: a real SMTP server that the settings point to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from tests.notices.sink import Sink, listening


@pytest.fixture
def sink(settings: Settings) -> Iterator[Sink]:
    """A mail server that accepts everything, until a test says otherwise."""
    with listening() as server:
        mail_through(settings, server.port)
        yield server


def mail_through(settings: Settings, port: int) -> None:
    """Send mail to a server of this machine."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = port
    settings.EMAIL_TIMEOUT = 5
