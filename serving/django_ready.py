"""Sets Django up for processes that MLflow starts (its server, its command line), which know nothing of it. Imported for this effect."""

from __future__ import annotations

import os

import django
from django.apps import apps

if not apps.ready:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
