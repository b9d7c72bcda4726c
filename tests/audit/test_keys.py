"""The log key is for the sequencer alone; without the right keys nothing is signed and nothing believed."""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pytest_django.fixtures import Settings

from audit import keys
from audit.keys import KeyRefused, PublicLine
from foundation.keys import create_key


def test_a_key_is_made_once_and_only_its_owner_can_read_it(settings: Settings) -> None:
    first = keys.create_log_key()
    second = keys.create_log_key()

    assert first == second
    assert settings.AUDIT_LOG_KEY_FILE.stat().st_mode & 0o777 == 0o600
    assert keys.trusted_verifiers() == [first]
    assert first.name == "countersign.test/ledger"


def test_no_second_key_is_made_in_silence_where_the_private_one_is_gone(settings: Settings) -> None:
    keys.create_log_key()
    settings.AUDIT_LOG_KEY_FILE.unlink()

    with pytest.raises(KeyRefused, match="rotate-key --lost"):
        keys.create_log_key()


def test_a_private_key_that_the_public_file_does_not_name_does_not_sign(settings: Settings) -> None:
    keys.create_log_key()
    settings.AUDIT_LOG_KEY_FILE.unlink()
    create_key(settings.AUDIT_LOG_KEY_FILE)

    with pytest.raises(KeyRefused, match=r"not the key that ledger-key\.pub names"):
        keys.load_log_key()


def test_a_public_line_says_for_which_sizes_it_counts_and_reads_back(settings: Settings) -> None:
    first = keys.create_log_key()
    ended = PublicLine(replace(first, last=12), datetime(2026, 11, 23, 16, tzinfo=UTC))

    keys.write_public_lines([ended])

    assert keys.public_lines() == [ended]
    assert str(ended).endswith(" from=0 until=12 replaced=2026-11-23T16:00:00+00:00")
    assert [ended.verifier.covers(size) for size in (0, 12, 13)] == [True, True, False]


@pytest.mark.parametrize("said", ["weather=fine", "from=early", "until", "replaced=soon"])
def test_a_public_line_with_something_else_is_refused(settings: Settings, said: str) -> None:
    key = keys.create_log_key()
    settings.AUDIT_LOG_KEY_FILE.with_suffix(".pub").write_text(f"{key} {said}\n")

    with pytest.raises(KeyRefused, match="does not hold verifier keys"):
        keys.trusted_verifiers()


def test_a_key_that_others_can_read_does_not_sign(settings: Settings) -> None:
    keys.create_log_key()
    settings.AUDIT_LOG_KEY_FILE.chmod(0o640)

    with pytest.raises(KeyRefused, match="Others can read"):
        keys.load_log_key()


def test_a_missing_key_is_said(settings: Settings) -> None:
    with pytest.raises(KeyRefused, match=r"signing key .* is missing"):
        keys.load_log_key()
    with pytest.raises(KeyRefused, match=r"public key .* is missing"):
        keys.trusted_verifiers()


def test_a_key_of_another_kind_is_refused(settings: Settings) -> None:
    path: Path = settings.AUDIT_LOG_KEY_FILE
    path.parent.mkdir()
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(other)
    path.chmod(0o600)

    with pytest.raises(KeyRefused, match="no Ed25519 key"):
        keys.load_log_key()


def test_a_public_key_file_that_was_tampered_with_is_refused(settings: Settings) -> None:
    keys.create_log_key()
    public = settings.AUDIT_LOG_KEY_FILE.with_suffix(".pub")
    public.write_text(public.read_text().replace("+", "+0", 1))

    with pytest.raises(KeyRefused, match="does not hold verifier keys"):
        keys.trusted_verifiers()


def test_a_mac_under_another_key_or_another_name_is_not_ours(settings: Settings) -> None:
    ours = keys.mac(b"payload")
    settings.AUDIT_MAC_KEY = b"another key"
    theirs = keys.mac(b"payload")

    assert not keys.mac_is_ours(b"payload", ours)
    assert not keys.mac_is_ours(b"payload", theirs.replace("1:", "2:"))
    assert keys.mac_is_ours(b"payload", theirs)


def test_an_old_mac_key_is_accepted_under_its_own_id_only_and_only_while_it_is_listed(settings: Settings) -> None:
    old = keys.mac(b"payload")
    settings.AUDIT_MAC_KEY, settings.AUDIT_MAC_KEY_ID = b"the new key", "2"

    refused = keys.mac_is_ours(b"payload", old)
    settings.AUDIT_OLD_MAC_KEYS = {"1": b"the app's key"}

    assert not refused
    assert keys.mac_is_ours(b"payload", old)
    assert not keys.mac_is_ours(b"payload", old.replace("1:", "2:"))
    assert keys.mac(b"payload").startswith("2:")


@pytest.mark.parametrize("key", [b"k", b"k" * 64, b"k" * 65])
def test_a_mac_is_hmac_sha256_whatever_was_marked_before(settings: Settings, key: bytes) -> None:
    settings.AUDIT_MAC_KEY = key

    for payload in (b"first", b"second", b""):
        assert keys.mac(payload) == f"1:{hmac.digest(key, payload, 'sha256').hex()}"
