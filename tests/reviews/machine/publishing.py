"""Putting a policy in force, for tests: drafted by one person and put in force by another."""

from __future__ import annotations

from tests.reviews.publishing import publish

__all__ = ["publish"]
