"""Small secrets come back for the same key and purpose, and for nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.secrecy import decrypted, encrypted


@given(st.text(), st.text(min_size=1))
def test_a_secret_comes_back(text: str, key: str) -> None:
    assert decrypted(encrypted(text, key, purpose="totp"), key, purpose="totp") == text


def test_it_cannot_be_read_and_never_looks_the_same_twice() -> None:
    first, second = (encrypted("JBSWY3DP", "key", purpose="totp") for _ in range(2))

    assert first != second
    assert "JBSWY3DP" not in first


@pytest.mark.parametrize(("key", "purpose"), [("other", "totp"), ("key", "other")])
def test_another_key_or_purpose_reads_nothing(key: str, purpose: str) -> None:
    with pytest.raises(ValueError, match="another key"):
        decrypted(encrypted("secret", "key", purpose="totp"), key, purpose=purpose)


@pytest.mark.parametrize("text", ["", "JBSWY3DP", "v1:", "v1:!!", "v1:AAAA"])
def test_what_was_not_encrypted_here_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        decrypted(text, "key", purpose="totp")


def test_one_changed_character_is_noticed() -> None:
    sealed = encrypted("secret", "key", purpose="totp")
    changed = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]

    with pytest.raises(ValueError):
        decrypted(changed, "key", purpose="totp")
