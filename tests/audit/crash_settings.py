"""Settings for the processes of `test_crash`: the ledger alone, so that they start quickly."""

import json
import os
from pathlib import Path

_CRASH = json.loads(os.environ["CRASH"])
_FOLDER = Path(_CRASH["folder"])

SECRET_KEY = "tests only"
INSTALLED_APPS = ["foundation", "audit"]
DATABASES = {"default": dict(_CRASH["database"])}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
AUDIT_LOG_KEY_FILE = _FOLDER / "ledger-key.pem"
AUDIT_LOG_ORIGIN = "countersign.test/crash"
AUDIT_STATE_FILE = _FOLDER / "state"
AUDIT_ANCHOR_DIR = _FOLDER / "anchors"
AUDIT_ARCHIVE_DIR = _FOLDER / "archive"
AUDIT_IN_PRODUCTION = False
AUDIT_MAC_KEY = _CRASH["mac_key"].encode()
AUDIT_ANCHORS: list[dict[str, str]] = []
AUDIT_MAC_KEY_ID = "1"
AUDIT_OLD_MAC_KEYS: dict[str, bytes] = {}
