"""The worker's side of a training: start the process that trains, follow it, stop it when asked, and keep what it made.

Training happens in a process of its own (`training.process`) without database or secrets, in a folder of this attempt. The
worker relays its progress, kills it on cancel or when the lease is lost, and lets effects happen in one transaction at the end.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import IO, Final

import orjson
from django.conf import settings

from countersign.proof.manifest import ManifestFile
from datasets.store import open_version
from datasets.store import verify as verify_data
from foundation.refusals import Invalid
from jobs.models import Job
from jobs.work import Work
from registry.actions import add_evidence
from registry.models import Evidence, ModelVersion
from registry.queries import evidence_of
from registry.store import ArtifactStore
from training.actions import keep_result, note_start
from training.models import TrainingJob
from training.request import JOB_TAG, MODEL_FOLDER, SCORES_FILE, SKOPS_FILE, STEPS, Answer, Champion, Request, Tracking

CHECK_SECONDS: Final = 0.5
KILL_AFTER_SECONDS: Final = 5.0
ERRORS_FILE: Final = "errors.txt"
PASSED_ON: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VIRTUAL_ENV",
)


class TrainingEnded(RuntimeError):
    """The process that trains ended without an answer; the sentence says how."""


def run(work: Work) -> ModelVersion:
    """Carry out the training of `work`; the version that it registered.

    Raises `Invalid` when data, recipe and settings do not go together, `TrainingEnded` when the process died.
    """
    training = TrainingJob.objects.with_everything_shown().get(job=work.job)
    note_start(training, attempt=work.attempt, worker=work.job.worker, by=work.principal)
    with _folder(work) as folder:
        _request(training, work).write(folder)
        _follow(folder, work)
        answer = Answer.read(folder)
        if answer.refused:
            raise Invalid(answer.refused, code="training-refused")
        for remark in answer.remarks:
            work.log(remark)
        work.progress("Register the version", len(STEPS), len(STEPS) + 1)
        store = ArtifactStore()
        files = _store_model(folder / MODEL_FOLDER, store)
        _store_scores(folder / SCORES_FILE, store, answer)
        with work.finishing() as job:
            version = keep_result(training, files, answer, code_reference=_code_reference(), by=work.principal)
            job.result = {"version": version.number, "run_id": answer.run_id, "remarks": list(answer.remarks)}
    return version


def _request(training: TrainingJob, work: Work) -> Request:
    data = training.dataset_version
    work.progress("Check the data's digest", 0, len(STEPS) + 1)
    verify_data(data)
    return Request(
        data_path=str(open_version(data)),
        dataset=data.dataset.name,
        dataset_version=data.number,
        dataset_digest=data.digest,
        schema=data.dataset.schema,
        recipe=training.recipe.content,
        algorithm=training.algorithm,
        settings=training.parameters,
        split=training.split,
        seed=training.seed,
        cutoff=training.cutoff,
        mitigation=training.mitigation,
        champion=_champion(training),
        tracking=_tracking(training),
    )


def compare(work: Work) -> Evidence:
    """Compare a version with the one in production once more, on the rows that it was judged on; the evidence that it added.

    Raises `Invalid` when one of the two cannot be loaded or cannot score the rows, `TrainingEnded` when the process died.
    """
    training = TrainingJob.objects.with_everything_shown().get(version=work.payload["version"])
    version = ModelVersion.objects.select_related("model").get(pk=work.payload["version"])
    champion = ModelVersion.objects.select_related("model").get(pk=work.payload["champion"])
    with _folder(work) as folder:
        candidate, other = _scored(version), _scored(champion)
        if candidate is None or other is None:
            raise Invalid(
                "One of the two versions holds no skops file, so a worker does not load it.", code="not-skops"
            )
        request = replace(_request(training, work), candidate=candidate, champion=other, tracking=None)
        request.write(folder)
        _follow(folder, work)
        answer = Answer.read(folder)
        if answer.refused:
            raise Invalid(answer.refused, code="comparison-refused")
        with work.finishing() as job:
            evidence = add_evidence(version, "comparison", answer.evidence["comparison"], by=work.principal)
            job.result = {"evidence": evidence.pk, "against": champion.number}
    return evidence


def _champion(training: TrainingJob) -> Champion | None:
    """What to compare with: the version in production, or else the one that is being retrained, if its file can be loaded at all."""
    alias = training.model.aliases.filter(stage__name="production").select_related("version").first()
    version = alias.version if alias else training.retrain_of
    return _scored(version) if version else None


def _scored(version: ModelVersion) -> Champion | None:
    """A version as the process needs it to score rows, its file verified; None where it holds no skops file."""
    skops = [file for file in version.manifest if file["path"] == SKOPS_FILE]
    if not skops:
        return None
    store = ArtifactStore()
    store.verify(skops[0]["sha256"])
    metrics = evidence_of(version).get("metrics")
    cutoff = float(metrics.content["cutoff"]) if metrics else 0.5
    return Champion(version.number, str(store.path(skops[0]["sha256"])), cutoff, version.digest)


def _tracking(training: TrainingJob) -> Tracking | None:
    if not settings.MLFLOW_TRACKING_URI:
        return None
    tags = {JOB_TAG: str(training.job.uuid), "mlflow.user": training.requested_by.username}
    return Tracking(settings.MLFLOW_TRACKING_URI, training.model.name, str(training), tags)


def _follow(folder: Path, work: Work) -> None:
    """Run the process in `folder` to its end, relaying what it says; kill it when the job is cancelled or lost."""
    with (folder / ERRORS_FILE).open("wb") as errors:
        process = _start(folder, errors)
        try:
            _relay(process, work)
            code = process.wait(timeout=KILL_AFTER_SECONDS)
        finally:
            _kill(process)
    if code:
        raise TrainingEnded(_last_words(code, folder / ERRORS_FILE, work))


def _start(folder: Path, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process in a session of its own, with an environment that holds no secret but the tracking token."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUNBUFFERED": "1"}
    # Waiting threads sleep: on a busy machine OpenMP's spinning made gradient boosting twenty times slower.
    environment |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    token = Path(settings.TRAINING_TOKEN_FILE)
    if settings.MLFLOW_TRACKING_URI and token.is_file():
        environment["MLFLOW_TRACKING_TOKEN"] = token.read_text().strip()
    return subprocess.Popen(
        [sys.executable, "-m", "training.process", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd=settings.BASE_DIR,
        env=environment,
        start_new_session=True,
    )


def _relay(process: subprocess.Popen[bytes], work: Work) -> None:
    """Pass on each line the process says; look at least every half second whether it should stop."""
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_read_lines, args=(process.stdout, lines), daemon=True).start()
    checked = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=CHECK_SECONDS)
        except queue.Empty:
            line = b""
        if line is None:
            return
        if line:
            _pass_on(line, work)
        if time.monotonic() - checked >= CHECK_SECONDS:
            work.check()
            checked = time.monotonic()


def _read_lines(stream: IO[bytes] | None, lines: queue.Queue[bytes | None]) -> None:
    for line in stream or ():
        lines.put(line)
    lines.put(None)


def _pass_on(line: bytes, work: Work) -> None:
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:  # a library printed something
        work.log(line.decode(errors="replace").rstrip())
        return
    if "step" in said:
        work.progress(said["step"], said["done"], said["total"] + 1)
    else:
        work.log(said["log"])


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and everything it started, if it is still there."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


def _last_words(code: int, errors: Path, work: Work) -> str:
    lines = errors.read_text(errors="replace").strip().splitlines()
    for line in lines[-20:]:
        work.log(line)
    if code == -signal.SIGKILL:
        return "The training process was killed, most likely because the machine ran out of memory. Use fewer rows or a smaller model."
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"The training process ended with {how}: {lines[-1] if lines else 'it said nothing'}"


def _store_model(folder: Path, store: ArtifactStore) -> list[ManifestFile]:
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            stored = store.write(stream)
        files.append(ManifestFile(path=path.relative_to(folder).as_posix(), size=stored.size, sha256=stored.digest))
    return files


def _store_scores(path: Path, store: ArtifactStore, answer: Answer) -> None:
    """Keep the scored hold-out beside the artifacts and cite it in the metrics, so that decision flips can be recounted."""
    with path.open("rb") as stream:
        stored = store.write(stream)
    answer.evidence["metrics"]["holdout"]["scores"] = {
        "digest": stored.digest,
        "size": stored.size,
        "format": "parquet",
    }


def _code_reference() -> str:
    """The package that trained; its version is the release's."""
    try:
        return f"countersign {metadata.version('countersign')}"
    except metadata.PackageNotFoundError:  # run from a checkout
        return "countersign (from source)"


@contextmanager
def _folder(work: Work) -> Iterator[Path]:
    """A private folder of this attempt. What lost workers left behind, of this job or of finished ones, is removed first."""
    parent = Path(settings.VAR_DIR) / "training"
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    others = {str(uuid) for uuid in Job.objects.unfinished().exclude(pk=work.job.pk).values_list("uuid", flat=True)}
    for left in parent.iterdir():
        if left.name.rpartition("-")[0] not in others:
            shutil.rmtree(left, ignore_errors=True)
    folder = parent / f"{work.job.uuid}-{work.attempt}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
