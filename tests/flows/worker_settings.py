"""Settings for a Celery worker that a test starts: the product's, with the test's own database, folders and broker."""

import json
import os

from config.settings import *  # noqa: F403 - a settings module builds on another by taking all of it
from config.settings import DATABASES

_TEST = json.loads(os.environ["WORKER_OF_A_TEST"])

DATABASES = {"default": {**DATABASES["default"], "NAME": _TEST["database"]}}
ARTIFACT_DIR = _TEST["artifacts"]
DATASET_DIR = _TEST["datasets"]
MLFLOW_TRACKING_URI = ""
CELERY_BROKER_URL = "filesystem://"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "data_folder_in": _TEST["queue"],
    "data_folder_out": _TEST["queue"],
    "control_folder": f"{_TEST['queue']}-control",
}
