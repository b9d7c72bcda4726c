"""The proof that the ledger which somebody saw is the beginning of the one that they see now: hashes only, for every signed-in caller.

Whoever pulls keeps the largest checkpoint that they were shown, and asks this about the next one (RFC 6962, section 2.1.2).
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit import store
from audit.merkle import consistency_proof
from audit.tiles import TileNodes
from foundation.refusals import NotFound


class SizesIn(serializers.Serializer[Any]):
    """Two sizes of the ledger: how many entries it had, and how many it has in a later checkpoint."""

    old = serializers.IntegerField(min_value=1)
    new = serializers.IntegerField(min_value=1)


class ConsistencyOut(serializers.Serializer[Any]):
    """The proof between two sizes; each hash in base64."""

    old = serializers.IntegerField()
    new = serializers.IntegerField()
    proof = serializers.ListField(child=serializers.CharField())


class ConsistencyView(APIView):
    """That the ledger only grew."""

    @extend_schema(operation_id="ledger_consistency", parameters=[SizesIn], responses=ConsistencyOut)
    def get(self, request: Request) -> Response:
        """The hashes that lead from the roots of two checkpoints to each other; whoever has both checks them without us."""
        asked = SizesIn(data=request.query_params)
        asked.is_valid(raise_exception=True)
        old, new = asked.validated_data["old"], asked.validated_data["new"]
        latest = store.latest_checkpoint()
        if latest is None or not old <= new <= latest.size:
            signed = latest.size if latest else 0
            raise NotFound(
                f"The ledger has {signed:,} signed entries, so nothing leads from {old:,} to {new:,}.",
                code="ledger-size-unknown",
            )
        proof = consistency_proof(TileNodes(store.read_tile), old, new)
        return Response(
            {"old": old, "new": new, "proof": [b64encode(one).decode() for one in proof]},
            headers={"Cache-Control": "private, max-age=86400, immutable"},
        )
