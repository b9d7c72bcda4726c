"""Which programs make up Countersign on one machine."""

from __future__ import annotations

import sys
from pathlib import Path

from config.environment import Environment, embedded_broker
from config.processes import Program, manage


def broker(env: Environment) -> Program | None:
    """The embedded broker on a unix socket that only this user may open, or nothing where another one is configured."""
    server = embedded_broker()
    if env.broker_url or server is None:
        return None
    data = env.var_dir / "broker"
    data.mkdir(parents=True, exist_ok=True)
    env.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = {
        "port": "0",
        "unixsocket": str(env.run_dir / "broker.sock"),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
    }
    arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
    return Program("broker", (str(server), *arguments), serves_others=True)


def portal(env: Environment) -> Program:
    """The portal and API under gunicorn: two processes of four threads."""
    return Program(
        "portal",
        (
            sys.executable, "-m", "gunicorn", "config.wsgi:application",
            "--bind", f"{env.host}:{env.portal_port}",
            "--worker-class", "gthread", "--workers", "2", "--threads", "4", "--preload",
            "--timeout", "60", "--graceful-timeout", "10", "--keep-alive", "30",
            "--worker-tmp-dir", str(_short_lived()),
            "--access-logfile", "-",
            "--access-logformat", '{"event":"request","method":"%(m)s","path":"%(U)s","status":%(s)s,"us":%(D)s}',
        ),
    )  # fmt: skip


def worker() -> Program:
    """The Celery worker with its beat (the job sweeper, monitoring)."""
    return Program(
        "worker",
        (
            sys.executable, "-m", "celery", "--app", "config", "worker", "--beat",
            "--concurrency", "2", "--loglevel", "WARNING", "--without-gossip", "--without-mingle",
        ),
    )  # fmt: skip


def sequencer() -> Program:
    """The ledger's sequencer: the only process that reads the ledger's signing key."""
    return Program("sequencer", manage("audit", "sequencer"))


def stream(env: Environment) -> Program | None:
    """What sends the ledger's entries on to other systems, where any is configured."""
    return Program("stream", manage("audit", "stream")) if env.audit_streams else None


def mlflow_wire() -> Program:
    """MLflow's own server with our store and our authentication."""
    return Program("mlflow", manage("mlflow_wire"))


def pull_gateway(env: Environment) -> Program | None:
    """What answers pulls and watches for many clients, where a port is set for it."""
    return Program("gateway", manage("pull_gateway")) if env.gateway_port else None


def scoring_worker(name: str, port: int) -> Program:
    """The scoring worker of one deployment."""
    return Program(f"scoring-{name}", manage("scoring_worker", "--deployment", name, "--port", str(port)))


def _short_lived() -> Path:
    """Where gunicorn keeps its heartbeat files: in memory where the system has it, so that a slow disk kills no worker."""
    memory = Path("/dev/shm")  # noqa: S108 - gunicorn creates unlinked files in it with mkstemp
    return memory if memory.is_dir() else Path("/tmp")  # noqa: S108 - see above
