"""`manage.py story`: tells the main job on real data, once; needs `manage.py run` to be up."""

from __future__ import annotations

import sys
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.story import chapters
from config.story.clients import ClientFailed
from config.story.telling import Teller
from foundation.refusals import Refusal


class Command(BaseCommand):
    """Runs the chapters that have not been told yet, then says where everything is."""

    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        teller = Teller(sys.stdout, settings.VAR_DIR / "story.json", len(chapters.CHAPTERS))
        fresh = [chapter for chapter in chapters.CHAPTERS if chapter.key not in teller.told]
        try:
            for chapter in fresh:
                teller.chapter(chapter.number, chapter.title)
                chapter.tell(teller)
                teller.over(chapter.key)
        except (Refusal, TimeoutError, chapters.StoryError, ClientFailed, httpx.HTTPError) as error:
            raise CommandError(f"The story stopped: {error}") from error
        chapters.farewell(teller, told_now=bool(fresh))
