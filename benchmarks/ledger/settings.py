"""Django with the ledger, its peers and nothing else; where the database and the files lie comes from the environment."""

import os
from pathlib import Path

_FOLDER = Path(os.environ["BENCH_FOLDER"])
_POSTGRES = os.environ.get("BENCH_POSTGRES", "")

SECRET_KEY = "a benchmark's"  # noqa: S105 - no secret: nothing is signed with it
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "foundation",
    "audit",
    "auditlog",
    "easyaudit",
    "simple_history",
    *(["pgtrigger", "pghistory"] if _POSTGRES else []),
    "benchmarks.ledger",
]
if _POSTGRES:
    _host, _port, _user, _name = _POSTGRES.split(" ")
    DATABASES: dict[str, dict[str, object]] = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": _host,
            "PORT": _port,
            "USER": _user,
            "NAME": _name,
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(_FOLDER / "bench.sqlite3"),
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    }
AUDIT_LOG_KEY_FILE = _FOLDER / "ledger-key.pem"
AUDIT_LOG_ORIGIN = "countersign.test/benchmark"
AUDIT_STATE_FILE = _FOLDER / "state"
AUDIT_ANCHOR_DIR = _FOLDER / "anchors"
AUDIT_ARCHIVE_DIR = _FOLDER / "archive"
AUDIT_IN_PRODUCTION = False
AUDIT_MAC_KEY = b"a benchmark's"
AUDIT_MAC_KEY_ID = "1"
AUDIT_OLD_MAC_KEYS: dict[str, bytes] = {}
AUDIT_ANCHORS: tuple[object, ...] = ()
AUDITLOG_LOGENTRY_MODEL = "auditlog.LogEntry"
DJANGO_EASY_AUDIT_WATCH_MODEL_EVENTS = True
DJANGO_EASY_AUDIT_REGISTERED_CLASSES = ["ledger.EasyAudited"]
DJANGO_EASY_AUDIT_PROPAGATE_EXCEPTIONS = True
