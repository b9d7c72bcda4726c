"""What the API shows of the registry and what it takes. Every serializer names its fields; what it does not name cannot be written."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from registry.models import Alias, Evidence, ModelCardRevision, ModelVersion, RegisteredModel

ORDERINGS = ("name", "-name", "created_at", "-created_at", "updated_at", "-updated_at", "tier", "-tier")


class AliasSerializer(serializers.ModelSerializer[Alias]):
    """An alias; a protected one belongs to a stage and moves by promotion only."""

    version = serializers.IntegerField(source="version.number", read_only=True)
    protected = serializers.BooleanField(read_only=True)
    stage = serializers.CharField(source="stage.name", read_only=True, default=None)

    class Meta:
        model = Alias
        fields = ("name", "version", "protected", "stage", "updated_at")
        read_only_fields = fields


class ModelSerializer(serializers.ModelSerializer[RegisteredModel]):
    """A registered model."""

    owner = serializers.CharField(source="owner.username", read_only=True)
    tags = serializers.SerializerMethodField()
    aliases = AliasSerializer(many=True, read_only=True)
    archived = serializers.SerializerMethodField()

    class Meta:
        model = RegisteredModel
        fields = (
            "name",
            "tier",
            "description",
            "intended_use",
            "owner",
            "archived",
            "aliases",
            "tags",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields

    def get_tags(self, model: RegisteredModel) -> dict[str, str]:
        """Free labels, key to value."""
        return {tag.key: tag.value for tag in model.tags.all()}

    def get_archived(self, model: RegisteredModel) -> bool:
        """Whether it takes no changes any more."""
        return model.archived_at is not None


class NewModelSerializer(serializers.Serializer[Any]):
    """What to register. The owner is whoever asks, or the person who owns the asking service account."""

    name = serializers.CharField(max_length=128)
    tier = serializers.ChoiceField(choices=RegisteredModel.Tier.choices, default=RegisteredModel.Tier.HIGH)
    description = serializers.CharField(allow_blank=True, default="", max_length=20_000)
    intended_use = serializers.CharField(allow_blank=True, default="", max_length=20_000)


class ModelChangeSerializer(serializers.Serializer[Any]):
    """What to change; what is not sent stays."""

    tier = serializers.ChoiceField(choices=RegisteredModel.Tier.choices, required=False)
    description = serializers.CharField(allow_blank=True, required=False, max_length=20_000)
    intended_use = serializers.CharField(allow_blank=True, required=False, max_length=20_000)


class ModelFilterSerializer(serializers.Serializer[Any]):
    """How to narrow and order the list of models."""

    q = serializers.CharField(
        required=False, allow_blank=True, max_length=200, help_text="part of name, description or intended use"
    )
    tier = serializers.ChoiceField(choices=RegisteredModel.Tier.choices, required=False)
    owner = serializers.CharField(required=False, max_length=150, help_text="the owner's username")
    archived = serializers.BooleanField(required=False, default=False)
    ordering = serializers.ChoiceField(choices=ORDERINGS, required=False, default="name")


class FileSerializer(serializers.Serializer[Any]):
    """One file of a version."""

    path = serializers.CharField()
    size = serializers.IntegerField(help_text="bytes")
    sha256 = serializers.CharField()


class VersionSerializer(serializers.ModelSerializer[ModelVersion]):
    """A version: immutable bytes and where they came from."""

    model = serializers.CharField(source="model.name", read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)
    aliases = serializers.SerializerMethodField()
    tags = serializers.SerializerMethodField()

    class Meta:
        model = ModelVersion
        fields = (
            "model",
            "number",
            "state",
            "status_message",
            "digest",
            "size_bytes",
            "flavour",
            "source",
            "run_id",
            "logged_model_id",
            "description",
            "code_reference",
            "aliases",
            "tags",
            "created_by",
            "created_at",
        )
        read_only_fields = fields

    def get_aliases(self, version: ModelVersion) -> list[str]:
        """The names that point at it now."""
        return [alias.name for alias in version.aliases.all()]

    def get_tags(self, version: ModelVersion) -> dict[str, str]:
        """Free labels, key to value."""
        return {tag.key: tag.value for tag in version.tags.all()}


class VersionDetailSerializer(VersionSerializer):
    """A version with its manifest."""

    files = FileSerializer(source="manifest", many=True, read_only=True)

    class Meta(VersionSerializer.Meta):
        fields = (*VersionSerializer.Meta.fields, "files")  # type: ignore[assignment]  # the base fixes its length
        read_only_fields = fields  # type: ignore[assignment]  # as above


class ExpectedFileSerializer(serializers.Serializer[Any]):
    """One file that is sent, as the sender knows it."""

    path = serializers.CharField(max_length=512)
    sha256 = serializers.RegexField(r"^[0-9a-f]{64}$")
    size = serializers.IntegerField(min_value=0, required=False)


class NewVersionSerializer(serializers.Serializer[Any]):
    """The text fields beside the files of a new version."""

    manifest = serializers.JSONField(
        help_text="list of {path, sha256, size?}: every file that is sent, no more and no fewer"
    )
    source = serializers.CharField(  # type: ignore[assignment]  # DRF's own attribute of that name is on instances only
        allow_blank=True, default="", max_length=2000
    )
    run_id = serializers.CharField(allow_blank=True, default="", max_length=64)
    description = serializers.CharField(allow_blank=True, default="", max_length=20_000)
    code_reference = serializers.CharField(allow_blank=True, default="", max_length=200)


class VersionChangeSerializer(serializers.Serializer[Any]):
    """What may change about a version: its description."""

    description = serializers.CharField(allow_blank=True, max_length=20_000)


class EvidenceSerializer(serializers.ModelSerializer[Evidence]):
    """A dated result with its producer."""

    producer = serializers.CharField(source="producer.username", read_only=True)

    class Meta:
        model = Evidence
        fields = (
            "id",
            "kind",
            "subject_digest",
            "content",
            "digest",
            "producer",
            "produced_via",
            "job_kind",
            "run_id",
            "created_at",
        )
        read_only_fields = fields


class NewEvidenceSerializer(serializers.Serializer[Any]):
    """What to add."""

    kind = serializers.CharField(max_length=20)
    content = serializers.JSONField()
    run_id = serializers.CharField(allow_blank=True, default="", max_length=64)


class CardSerializer(serializers.ModelSerializer[ModelCardRevision]):
    """One revision of the model card."""

    author = serializers.CharField(source="author.username", read_only=True)

    class Meta:
        model = ModelCardRevision
        fields = ("number", "sections", "digest", "author", "created_at")
        read_only_fields = fields


class CardChangeSerializer(serializers.Serializer[Any]):
    """Sections to replace, key to Markdown."""

    sections = serializers.DictField(child=serializers.CharField(allow_blank=True, max_length=20_000))


class CardRestoreSerializer(serializers.Serializer[Any]):
    """Which revision the card is to say again."""

    revision = serializers.IntegerField(min_value=1)


class AliasChangeSerializer(serializers.Serializer[Any]):
    """Where an alias is to point."""

    version = serializers.IntegerField(min_value=1)
    expected = serializers.IntegerField(min_value=1, required=False, help_text="the number that it must point at now")


class TagSerializer(serializers.Serializer[Any]):
    """A free label's value."""

    value = serializers.CharField(allow_blank=True, max_length=5000)
