"""The bytes of an entry are RFC 8785, whatever wrote them; personal data is in them as digests only."""

from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit.payload import (
    Json,
    NotRecordable,
    canonical,
    conceal,
    decode,
    decode_disclosures,
    difference,
    digests_of,
    encode,
    plain,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text(st.characters(max_codepoint=127))
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=25)


@given(VALUES)
def test_the_bytes_are_those_of_an_independent_rfc_8785_library(value: Json) -> None:
    assert canonical(value) == rfc8785.dumps(value)


def test_the_example_of_rfc_8785_for_strings_is_met() -> None:
    # RFC 8785, section 3.2.2: the string member of the sample object and the literals.
    value: Json = {"string": '€$\u000f\u000aA\'B"\\\\"/', "literals": [None, True, False]}

    assert canonical(value) == (b'{"literals":[null,true,false],"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}')


@pytest.mark.parametrize(
    "value", [1.5, 2**53, -(2**53), b"bytes", {"ä": 1}, {1: 2}, {"a": {"b": [0.1]}}, ("a",), {1}, object()]
)
def test_values_with_more_than_one_spelling_are_not_recorded(value: Json) -> None:
    with pytest.raises(NotRecordable):
        canonical(value)


def test_text_that_is_not_unicode_is_replaced_and_long_text_is_cut() -> None:
    assert canonical(plain("a\ud800b")) == b'"a?b"'
    assert plain("x" * 1_001) == "x" * 999 + "…"
    with pytest.raises(NotRecordable):
        canonical("a\ud800b")


def test_a_disclosure_is_recomputed_with_a_hash_function_alone() -> None:
    digests, stored = conceal({"ip": "192.0.2.7"})

    (one,) = decode_disclosures(stored)

    expected = urlsafe_b64encode(sha256(rfc8785.dumps([one.salt, "ip", "192.0.2.7"])).digest()).decode().rstrip("=")
    assert digests == [one.digest] == digests_of(stored) == [expected]
    assert len(one.salt) == 22


def test_equal_values_have_different_digests() -> None:
    assert conceal({"ip": "192.0.2.7"})[0] != conceal({"ip": "192.0.2.7"})[0]


def test_disclosures_are_read_back_as_stored_and_empty_ones_are_none() -> None:
    digests, stored = conceal({"ip": "192.0.2.7", "user": "Alice Ångström", "agent": ""})

    opened = decode_disclosures(stored)

    assert [(one.name, one.value) for one in opened] == [("ip", "192.0.2.7"), ("user", "Alice Ångström")]
    assert digests == sorted(one.digest for one in opened) == digests_of(stored)
    assert conceal({}) == conceal({"ip": ""}) == ([], b"")
    assert decode_disclosures(b"") == []
    assert digests_of(b"") == []


def test_digests_of_what_is_no_list_are_refused() -> None:
    with pytest.raises(ValueError, match="not a list"):
        digests_of(b"{}")


@pytest.mark.parametrize("stored", [b"{}", b"[1]", b'[["a","b"]]', b'[["a","b",1]]', b"not json"])
def test_malformed_disclosures_are_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_disclosures(stored)


def test_only_what_changed_is_recorded() -> None:
    changed = difference({"tier": 2, "owner": "alice"}, {"tier": 1, "owner": "alice", "note": ""})

    assert changed == {"before": {"tier": 2}, "after": {"tier": 1, "note": ""}}
    assert difference(None, None) == {}


def test_a_large_field_gives_way_to_its_digest_and_size() -> None:
    card = "x" * 70_000

    recorded = decode(encode({"action": "card.revise", "d": {"after": {"card": card, "title": "short"}}}))

    digest = sha256(rfc8785.dumps(card)).hexdigest()
    assert recorded["d"]["after"] == {"card": {"sha256": digest, "bytes": 70_002}, "title": "short"}


def test_many_small_fields_give_way_to_one_digest() -> None:
    after: Json = {f"field{number}": "y" * 500 for number in range(200)}

    recorded = decode(encode({"d": {"after": after}}))

    encoded = rfc8785.dumps(after)
    assert recorded["d"] == {"after": {"sha256": sha256(encoded).hexdigest(), "bytes": len(encoded)}}


def test_an_entry_that_cannot_be_made_small_enough_is_refused() -> None:
    with pytest.raises(NotRecordable, match="65,535"):
        encode({"d": {}, "sd": ["z" * 43] * 2_000})
