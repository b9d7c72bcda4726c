"""How the API says where the ledger has a decision."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit.actions import Receipt
from audit.handed import hand


class ReceiptOut(serializers.Serializer[Any]):
    """The entry of a decision by its writer's number; `seq` and `checkpoint` are null while it is recorded and not signed yet."""

    writer = serializers.CharField()
    n = serializers.IntegerField()
    leaf = serializers.CharField(help_text="the entry's hash in the tree, in hexadecimal digits")
    seq = serializers.IntegerField(allow_null=True, help_text="its position in the ledger")
    checkpoint = serializers.CharField(allow_null=True, help_text="the signed checkpoint that first covers it")
    proof = serializers.CharField(help_text="where its receipt is, as soon as it is signed")


@extend_schema_field(ReceiptOut(allow_null=True))
class ReceiptField(serializers.Field[Any, Any, Any, Any]):
    """The receipt of what this request did, after waiting for its signature; null in lists of what was done before."""

    def __init__(self) -> None:
        super().__init__(read_only=True, allow_null=True, default=None)

    def get_attribute(self, instance: Any) -> Receipt | None:
        """What the action left on its result."""
        return getattr(instance, "receipt", None)

    def to_representation(self, value: Receipt) -> dict[str, Any]:
        """Waits for the signature, as long as a person would."""
        return hand(value).as_json()
