"""The profile job: read a version on a worker, describe it, keep the profile."""

from __future__ import annotations

from django.urls import reverse

from datasets import profile as profiles
from datasets import store
from datasets.actions import PROFILE_JOB, keep_profile
from datasets.models import DatasetVersion
from jobs.models import Job
from jobs.work import Work, handles
from notices.ends import Words, in_words


@handles(PROFILE_JOB)
def profile_version(work: Work) -> None:
    """Profile the version named in the payload, with drift against the version before it."""
    store.clear_abandoned()
    version = DatasetVersion.objects.select_related("dataset").get(pk=work.payload["version"])
    work.progress("Check the digest", 0, 3)
    store.verify(version)
    work.progress(f"Read {version.rows:,} rows", 1, 3)
    frame = store.read_table(version)
    work.progress("Describe the columns", 2, 3)
    before = DatasetVersion.objects.filter(
        dataset=version.dataset, number__lt=version.number, profile__isnull=False
    ).first()
    previous = profiles.bins_from(before.profile.content) if before else None
    found = profiles.profile(frame, version.dataset.declared_schema(), previous=previous)
    with work.finishing() as job:
        kept = keep_profile(version, found, by=work.principal)
        job.result = {"profile": kept.digest, "compared_with": before.number if before else None}


@in_words(PROFILE_JOB)
def in_a_notification(job: Job) -> Words:
    """How the one who brought the data is told that it is over."""
    version = DatasetVersion.objects.select_related("dataset").get(pk=job.payload["version"])
    return Words(
        f"The profile of {version.dataset.name}, version {version.number},",
        reverse("datasets:detail", kwargs={"name": version.dataset.name}),
    )
