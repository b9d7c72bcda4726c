"""What an operator sets is read once and turned into what Django needs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from config.environment import Environment, database
from config.management.commands.setup import _write_secret_once


def test_without_an_address_the_database_is_sqlite_that_queues_writers_and_survives_a_power_cut(tmp_path: Path) -> None:
    found = database("", tmp_path)

    options = found["OPTIONS"]
    assert isinstance(options, dict)
    assert options["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in options["init_command"]
    assert "synchronous=FULL" in options["init_command"]


def test_an_address_of_postgresql_is_taken_apart(tmp_path: Path) -> None:
    found = database("postgres://ann:p%40ss@db:5433/models?sslmode=require", tmp_path)

    assert {key: found[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")} == {
        "USER": "ann",
        "PASSWORD": "p@ss",
        "HOST": "db",
        "PORT": "5433",
        "NAME": "models",
    }
    assert found["OPTIONS"] == {"sslmode": "require"}


def test_an_address_of_another_database_is_refused_with_what_it_should_look_like(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be postgres://user:password@host:port/name"):
        database("mysql://db/models", tmp_path)


def test_the_broker_s_socket_fits_into_a_unix_address_however_deep_the_folder_is(tmp_path: Path) -> None:
    deep = Environment(var_dir=tmp_path / ("x" * 120))

    assert len(bytes(deep.run_dir / "broker.sock")) <= 107


def test_a_secret_comes_from_the_environment_else_from_its_file_else_lives_as_long_as_the_process(
    tmp_path: Path,
) -> None:
    env = Environment(var_dir=tmp_path)

    assert env.secret("secret_key", "given") == "given"
    assert env.secret("secret_key", "") != env.secret("secret_key", "")
    env.secrets_dir.mkdir()
    (env.secrets_dir / "secret_key").write_text("kept\n")
    assert env.secret("secret_key", "") == "kept"


def test_a_secret_is_written_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret"

    assert _write_secret_once(path)
    first = path.read_text()
    assert not _write_secret_once(path)
    assert path.read_text() == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
