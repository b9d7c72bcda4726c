"""Fills an installation of ours, and lets its people act while it is measured: `python -m benchmarks.registry.seeding ACT …`.

`versions N` makes the models of `benchmarks.registry.content`; `large BYTES` has a version with a file of that size reviewed, signed and
promoted; `move ALIAS TIMES` moves a free alias between the model's two approved versions and says when each move was committed;
`keys` says what a client pins; `broker` becomes the broker.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, NoReturn

from tests.serving import acts  # sets Django up

# isort: split

import numpy as np
import skops.io
from django.conf import settings
from django.db import connection, transaction
from sklearn.neighbors import KNeighborsClassifier

from audit.keys import trusted_verifiers
from benchmarks.registry.content import model_count, model_name, placed
from config import programs
from countersign.proof.manifest import manifest_digest, rows
from foundation.keys import public_pem, registry_signer
from registry import actions
from registry.models import Alias, ModelVersion, RegisteredModel, VersionTag
from registry.store import ArtifactStore
from tests.conftest import as_
from tests.factories import store_files
from tests.serving.tiny_models import tiny

AT_ONCE = 2_000
COLUMNS = 10


def versions(count: int) -> dict[str, Any]:
    """Models and versions with a manifest of real, tiny files, past the actions: one by one they would take an hour."""
    alice = acts.who("alice")
    files = store_files(tiny(), ArtifactStore())
    manifest, digest, size = rows(files), manifest_digest(files), sum(file.size for file in files)
    with transaction.atomic():
        made = RegisteredModel.objects.bulk_create(
            RegisteredModel(name=model_name(index), owner=alice, created_by=alice)
            for index in range(model_count(count))
        )
        tagged = list[tuple[ModelVersion, dict[str, str]]]()
        for model, number, tags in placed(count):
            row = ModelVersion(
                model=made[model],
                number=number,
                state=ModelVersion.State.REGISTERED,
                manifest=manifest,
                digest=digest,
                size_bytes=size,
                source=f"mlflow-artifacts:/seeded/{model_name(model)}/{number}",
                created_by=alice,
            )
            made[model].last_number = number
            tagged.append((row, tags))
        ModelVersion.objects.bulk_create((row for row, _ in tagged), batch_size=AT_ONCE)
        RegisteredModel.objects.bulk_update(made, ["last_number"], batch_size=AT_ONCE)
        VersionTag.objects.bulk_create(
            (VersionTag(version=row, key=key, value=value) for row, tags in tagged for key, value in tags.items()),
            batch_size=AT_ONCE,
        )
        Alias.objects.bulk_create(
            Alias(model=row.model, name="trial", version=row, updated_by=alice) for row, _ in tagged if row.number == 1
        )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    return {"versions": count}


def large(size: int) -> dict[str, Any]:
    """A nearest-neighbour model, whose file is what it was fitted on: admitted, signed by two people and promoted as version 2 or later."""
    alice = as_(acts.who("alice"))
    random = np.random.default_rng(1)
    fitted = random.random((size // (8 * (COLUMNS + 1)), COLUMNS))
    classifier = KNeighborsClassifier(algorithm="brute").fit(fitted, (fitted[:, 0] > 0.5).astype(int))
    files = tiny() | {"model.skops": skops.io.dumps(classifier)}
    stored = store_files(files, ArtifactStore())
    made = actions.register_version(RegisteredModel.objects.get(name="credit"), stored, by=alice, admit=False)
    made = actions.admit_version(made, by=alice)
    acts.act_promote(str(made.number))
    return {"number": made.number, "bytes": len(files["model.skops"]), "state": made.state}


def move(alias: str, times: int) -> dict[str, Any]:
    """Move a free alias back and forth; the moments right after each commit, by the clock that all processes share."""
    model, alice = RegisteredModel.objects.get(name="credit"), as_(acts.who("alice"))
    approved = list(model.versions.filter(state__in=["live", "approved"]).order_by("number"))
    moments = []
    for turn in range(times):
        actions.set_alias(model, alias, approved[turn % 2], by=alice)
        moments.append(time.monotonic())
        time.sleep(0.4)
    return {"moments": moments, "between": [one.number for one in approved]}


def public_keys() -> dict[str, Any]:
    """What a client pins: the registry's public key and the ledger's, as one file."""
    registry = public_pem(registry_signer().public)
    return {"text": registry + "".join(f"{one}\n" for one in trusted_verifiers())}


def broker() -> NoReturn:
    """Become the broker that the product starts with itself; what is queued waits in it."""
    program = programs.broker(settings.ENV)
    if program is None:
        raise SystemExit("This machine has no embedded broker.")
    os.execv(program.command[0], program.command)  # noqa: S606 - the product's own list, no shell


if __name__ == "__main__":
    act, *arguments = sys.argv[1:]
    said: dict[str, Any]
    match act:
        case "versions":
            said = versions(int(arguments[0]))
        case "large":
            said = large(int(arguments[0]))
        case "move":
            said = move(arguments[0], int(arguments[1]))
        case "keys":
            said = public_keys()
        case "broker":
            broker()
        case _:
            raise SystemExit(__doc__)
    print(json.dumps(said))  # noqa: T201 - the answer
