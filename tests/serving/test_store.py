"""The adapter for MLflow, method by method, without a server: who may download, what a refusal carries, where sources may lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.test.utils import CaptureQueriesContext
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.exceptions import MlflowException
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import SettingsWrapper

from access.models import User
from foundation.refusals import Invalid, NotFound, Requirement, RequirementStatus, TooLarge, Unavailable
from registry.models import ModelVersion, RegisteredModel
from registry.store import ArtifactStore
from serving.caller import set_caller
from serving.freezing import freeze
from serving.mlflow_errors import as_mlflow
from serving.store import DjangoStore
from serving.tracking import artifact_root, folder_of
from serving.wire_rules import Needs, is_ours, needs, plain_path
from tests.conftest import MakeVersion, as_
from tests.serving.conftest import withdraw_approval
