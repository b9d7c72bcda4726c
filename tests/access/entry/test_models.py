"""What stands in the database about access policies, and what it refuses."""

import pytest
from django.db import DatabaseError, transaction

from access.entry.deciding import PolicyInForce, set_digest
from access.entry.documents import parse
from access.models import AccessPolicyPublication, AccessPolicyVersion

pytestmark = pytest.mark.django_db


def test_the_built_in_policy_is_in_force_and_says_what_it_is_hashed_as() -> None:
    version = AccessPolicyVersion.objects.in_force().get()
    document = parse(version.content)

    assert version.policy.name == "everybody-with-the-permission"
    assert version.digest == document.digest
    newest = AccessPolicyPublication.objects.first()
    assert newest is not None
    assert newest.set_digest == set_digest([PolicyInForce(version.policy.name, version.number, document)])


@pytest.mark.parametrize("model", [AccessPolicyVersion, AccessPolicyPublication])
def test_what_was_published_is_never_changed_nor_deleted(model: type[AccessPolicyVersion]) -> None:
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        model.objects.update(**({"note": "other"} if model is AccessPolicyVersion else {"set_digest": "0" * 64}))
    with pytest.raises(DatabaseError), transaction.atomic():
        model.objects.all()._raw_delete(model.objects.db)


def test_a_draft_may_change() -> None:
    policy = AccessPolicyVersion.objects.in_force().get().policy
    draft = AccessPolicyVersion.objects.create(policy=policy, number=2, content={}, digest="0" * 64)

    draft.note = "other"
    draft.save()

    assert [one.number for one in AccessPolicyVersion.objects.in_force()] == [1]
