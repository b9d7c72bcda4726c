"""Loaded before Django's settings (`-p tests.environment`): a throw-away var folder, fixed secrets, and the database that was asked for."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# One folder a process: workers of a parallel run must not find each other's files in it.
os.environ["COUNTERSIGN_VAR_DIR"] = tempfile.mkdtemp(prefix="countersign-tests-")
atexit.register(shutil.rmtree, os.environ["COUNTERSIGN_VAR_DIR"], ignore_errors=True)
os.environ.setdefault("COUNTERSIGN_SECRET_KEY", "tests-only-secret-key-of-sufficient-length-0123456789")
os.environ.setdefault("COUNTERSIGN_AUDIT_MAC_KEY", "tests-only-mac-key")
os.environ.setdefault("COUNTERSIGN_MFA_KEY", "tests-only-mfa-key")
os.environ.setdefault("COUNTERSIGN_DATABASE_URL", os.environ.get("DATABASE_URL", ""))
os.environ.setdefault("COUNTERSIGN_LOG_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
