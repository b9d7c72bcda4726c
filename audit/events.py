"""Decides the words of the ledger: what can happen, how it can end, who did it and what it was done to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, Protocol


class Action(StrEnum):
    """Everything that the ledger records, as `noun.verb`.

    The noun is the kind of thing that it happened to, in the words of the design, singular, with underscores; the verb is
    in the present tense and says what was asked for. An entry of a refused attempt has the same action with the outcome
    `denied`. Members are `NOUN_VERB`, sorted within their room. A member is never renamed or reused: old entries keep their word.
    """

    # audit
    KEY_DESTROY = "key.destroy"
    KEY_ROTATE = "key.rotate"
    LEDGER_ACKNOWLEDGE = "ledger.acknowledge"
    LEDGER_EXPORT = "ledger.export"
    LEDGER_RECOVER = "ledger.recover"
    LEDGER_VERIFY = "ledger.verify"
    LEDGER_VIEW = "ledger.view"
    SUBJECT_ERASE = "subject.erase"

    # access
    ACCESS_GRANT = "access.grant"
    ACCESS_WITHDRAW = "access.withdraw"
    AUTHENTICATOR_ADD = "authenticator.add"
    AUTHENTICATOR_REMOVE = "authenticator.remove"
    AUTHENTICATOR_RESET = "authenticator.reset"
    GROUP_ADD = "group.add"
    GROUP_REMOVE = "group.remove"
    PERSON_CREATE = "person.create"
    PERSON_DEACTIVATE = "person.deactivate"
    PERSON_REACTIVATE = "person.reactivate"
    PERSON_SET_KEYS = "person.set_keys"
    PERSON_SET_PASSWORD = "person.set_password"  # noqa: S105 - a word, not a password
    ROLE_ASSIGN = "role.assign"
    ROLE_WITHDRAW = "role.withdraw"
    SERVICE_CREATE = "service.create"
    SESSION_END = "session.end"
    SESSION_REAUTHENTICATE = "session.reauthenticate"
    SESSION_START = "session.start"
    TOKEN_ISSUE = "token.issue"  # noqa: S105 - the name of an action
    TOKEN_REVOKE = "token.revoke"  # noqa: S105 - the name of an action
    TOKEN_USE = "token.use"  # noqa: S105 - the name of an action

    # jobs
    JOB_CANCEL = "job.cancel"
    JOB_ENQUEUE = "job.enqueue"
    JOB_FAIL = "job.fail"
    JOB_FINISH = "job.finish"
    JOB_RETRY = "job.retry"

    # notices
    NOTIFICATION_READ = "notification.read"
    NOTIFICATION_SET = "notification.set"

    # datasets
    DATASET_REGISTER = "dataset.register"
    DATASET_VERSION_ADD = "dataset_version.add"
    DATASET_VERSION_PROFILE = "dataset_version.profile"
    RECIPE_ADD = "recipe.add"

    # registry
    ALIAS_DELETE = "alias.delete"
    ALIAS_SET = "alias.set"
    CARD_REVISE = "card.revise"
    COMPARISON_REQUEST = "comparison.request"
    EVIDENCE_ADD = "evidence.add"
    EVIDENCE_EXPORT = "evidence.export"
    MODEL_ARCHIVE = "model.archive"
    MODEL_CREATE = "model.create"
    MODEL_TAG = "model.tag"
    MODEL_UNTAG = "model.untag"
    MODEL_UPDATE = "model.update"
    MODEL_VIEW = "model.view"
    VERSION_ADMIT = "version.admit"
    VERSION_DOWNLOAD = "version.download"
    VERSION_MOVE = "version.move"
    VERSION_REGISTER = "version.register"
    VERSION_RETIRE = "version.retire"
    VERSION_TAG = "version.tag"
    VERSION_UNTAG = "version.untag"
    VERSION_UPDATE = "version.update"

    # reviews
    APPROVAL_LAPSE = "approval.lapse"
    APPROVAL_REMIND = "approval.remind"
    BREAK_GLASS_ASK = "break_glass.ask"
    BREAK_GLASS_DECLINE = "break_glass.decline"
    BREAK_GLASS_END = "break_glass.end"
    BREAK_GLASS_SECOND = "break_glass.second"
    COMMENT_ADD = "comment.add"
    COMMENT_EDIT = "comment.edit"
    DELEGATION_END = "delegation.end"
    DELEGATION_GIVE = "delegation.give"
    ENVELOPE_PROPOSE = "envelope.propose"
    ENVELOPE_SIGN = "envelope.sign"
    ENVELOPE_USE = "envelope.use"
    ENVELOPE_WITHDRAW = "envelope.withdraw"
    EXCEPTION_GRANT = "exception.grant"
    EXCEPTION_WITHDRAW = "exception.withdraw"
    FINDING_ANSWER = "finding.answer"
    FINDING_CLOSE = "finding.close"
    FINDING_COMMENT = "finding.comment"
    FINDING_EXTEND = "finding.extend"
    FINDING_LAPSE = "finding.lapse"
    FINDING_RAISE = "finding.raise"
    FINDING_RETURN = "finding.return"
    FINDING_WITHDRAW = "finding.withdraw"
    GRACE_GIVE = "grace.give"
    POLICY_DRAFT = "policy.draft"
    POLICY_PROPOSE = "policy.propose"
    POLICY_PUBLISH = "policy.publish"
    POLICY_REHEARSE = "policy.rehearse"
    POLICY_RETURN = "policy.return"
    POLICY_SIGN = "policy.sign"
    REVIEW_ESCALATE = "review.escalate"
    REVIEW_READ = "review.read"
    REVIEW_REQUEST = "review.request"
    REVIEW_WITHDRAW = "review.withdraw"
    ROUND_CLOSE = "round.close"
    ROUND_OPEN = "round.open"
    SIGN_OFF_DISMISS = "sign_off.dismiss"
    SIGN_OFF_GIVE = "sign_off.give"
    SIGN_OFF_REQUEST = "sign_off.request"
    SIGN_OFF_WITHDRAW = "sign_off.withdraw"
    THREAD_OPEN = "thread.open"
    THREAD_REOPEN = "thread.reopen"
    THREAD_RESOLVE = "thread.resolve"
    VERSION_PROMOTE = "version.promote"
    VERSION_REVOKE = "version.revoke"
    VERSION_ROLL_BACK = "version.roll_back"

    # training
    TRAINING_CANCEL = "training.cancel"
    TRAINING_FAIL = "training.fail"
    TRAINING_FINISH = "training.finish"
    TRAINING_REQUEST = "training.request"
    TRAINING_RETRY = "training.retry"
    TRAINING_START = "training.start"

    # serving
    DEPLOYMENT_CREATE = "deployment.create"
    DEPLOYMENT_PAUSE = "deployment.pause"
    DEPLOYMENT_RESUME = "deployment.resume"
    DEPLOYMENT_START = "deployment.start"
    DEPLOYMENT_STOP = "deployment.stop"
    MODEL_SCORE = "model.score"
    VERSION_PULL = "version.pull"

    # monitoring
    ALERT_ACKNOWLEDGE = "alert.acknowledge"
    ALERT_RAISE = "alert.raise"
    ALERT_RESOLVE = "alert.resolve"
    OUTCOMES_FEED = "outcomes.feed"
    PREDICTIONS_COUNT = "predictions.count"
    RETRAINING_REQUEST = "retraining.request"
    THRESHOLDS_SET = "thresholds.set"
    WINDOW_MEASURE = "window.measure"

    # reports
    CERTIFICATE_ISSUE = "certificate.issue"
    REVIEW_PACK_ISSUE = "review_pack.issue"

    @property
    def noun(self) -> str:
        """The kind of thing that it happened to."""
        return self.value.partition(".")[0]


PROMPT: Final = frozenset(
    {
        Action.BREAK_GLASS_ASK,
        Action.BREAK_GLASS_SECOND,
        Action.ENVELOPE_SIGN,
        Action.EXCEPTION_GRANT,
        Action.FINDING_EXTEND,
        Action.KEY_ROTATE,
        Action.POLICY_PUBLISH,
        Action.POLICY_SIGN,
        Action.SIGN_OFF_GIVE,
        Action.SIGN_OFF_WITHDRAW,
        Action.VERSION_PROMOTE,
        Action.VERSION_REVOKE,
        Action.VERSION_ROLL_BACK,
    }
)
"""Actions whose callers wait for the signed receipt: the sequencer signs these at once instead of within a second."""


class Outcome(StrEnum):
    """How it ended: done, refused by a rule, or failed by a fault."""

    OK = "ok"
    DENIED = "denied"
    ERROR = "error"


ActorKind = Literal["person", "service", "system", "anonymous"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it. `private` (address, user agent, name) enters the ledger as salted digests only and can be erased."""

    kind: ActorKind
    id: str
    via: str
    request_id: str = ""
    private: Mapping[str, str] = field(default_factory=dict)

    @property
    def actor(self) -> Actor:
        """Itself, so that an actor can stand wherever something that has one is asked for."""
        return self


class HasActor(Protocol):
    """Whoever can answer for an entry; `access.principal.Principal` does."""

    @property
    def actor(self) -> Actor:
        """Who acts."""


@dataclass(frozen=True, slots=True)
class Obj:
    """What it was done to: a kind of thing and its identifier; name and version as they were at that moment."""

    kind: str
    id: str
    name: str = ""
    version: str = ""
