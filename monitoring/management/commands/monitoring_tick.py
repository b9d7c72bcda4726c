"""Counts new predictions and measures drift, for every deployment, once; for a timer, or by hand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from monitoring.tasks import tick


class Command(BaseCommand):
    help = "Count new predictions and measure drift, once."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{tick():,} predictions counted.")
