"""Decides the words of the ledger: what can happen, how it can end, who did it and what it was done to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, Protocol, Self


class Action(StrEnum):
    """Everything that the ledger records, as `noun.verb`.

    The noun is the kind of thing that it happened to, in the words of the design, singular, with underscores; the verb is
    in the present tense and says what was asked for. An entry of a refused attempt has the same action with the outcome
    `denied`. Members are `NOUN_VERB`, sorted within their room. A member is never renamed or reused: old entries keep their word.

    The sentence says it in the past tense for people, without who did it: "promoted a version to a stage".
    """

    sentence: str

    def __new__(cls, word: str, sentence: str = "") -> Self:
        """A member whose value is the word; the sentence goes with it."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        return member

    # audit
    KEY_CREATE = "key.create", "made the ledger's first signing key"
    KEY_DESTROY = "key.destroy", "destroyed a private key of the ledger that had been replaced"
    KEY_ROTATE = "key.rotate", "put a new key of the ledger in the place of another"
    LEDGER_ACKNOWLEDGE = "ledger.acknowledge", "answered for a ledger that did not verify, so that promotions go on"
    LEDGER_ARCHIVE = "ledger.archive", "moved old entries of the ledger from the database to files"
    LEDGER_EXPORT = "ledger.export", "took entries of the ledger away as a file"
    LEDGER_RECOVER = "ledger.recover", "continued the ledger under a new name after a loss"
    LEDGER_VERIFY = "ledger.verify", "verified the ledger"
    LEDGER_VIEW = "ledger.view", "read the ledger"
    SUBJECT_ERASE = "subject.erase", "destroyed the personal data that the ledger held of somebody"

    # access
    ACCESS_GRANT = "access.grant", "gave somebody a permission on one model"
    ACCESS_POLICY_DRAFT = "access_policy.draft", "drafted a version of an access policy"
    ACCESS_POLICY_EXPORT = "access_policy.export", "took what an access policy would change away as a file"
    ACCESS_POLICY_PUBLISH = "access_policy.publish", "put a version of an access policy in force"
    ACCESS_POLICY_RETIRE = "access_policy.retire", "ended an access policy"
    ACCESS_POLICY_VIEW = "access_policy.view", "read a version of an access policy"
    ACCESS_WITHDRAW = "access.withdraw", "took somebody's permission on one model away"
    ADDRESS_REQUEST = "address.request", "asked for an address of the portal that was refused"
    ADMIN_VIEW = "admin.view", "read a page of the Django admin"
    AUTHENTICATOR_ADD = "authenticator.add", "added an authenticator, a passkey or recovery codes to an account"
    AUTHENTICATOR_RENAME = "authenticator.rename", "gave a passkey another name"
    AUTHENTICATOR_REMOVE = "authenticator.remove", "took an authenticator or a passkey away from an account"
    AUTHENTICATOR_RESET = "authenticator.reset", "made new recovery codes"
    GROUP_ADD = "group.add", "put somebody into a group"
    GROUP_CREATE = "group.create", "created a group"
    GROUP_DELETE = "group.delete", "deleted a group that nobody was in"
    GROUP_RENAME = "group.rename", "gave a group another name"
    GROUP_REMOVE = "group.remove", "took somebody out of a group"
    PERSON_CREATE = "person.create", "created an account for a person"
    PERSON_DEACTIVATE = "person.deactivate", "closed an account"
    PERSON_REACTIVATE = "person.reactivate", "opened a closed account again"
    PERSON_SET_KEYS = "person.set_keys", "chose whether single keys act on pages"
    PERSON_SET_PASSWORD = "person.set_password", "chose a new password"
    PERSON_VIEW = "person.view", "read the page of a person or of a service account"
    ROLE_ASSIGN = "role.assign", "gave somebody a role"
    ROLE_CREATE = "role.create", "created a role"
    ROLE_DELETE = "role.delete", "deleted a role that nobody held"
    ROLE_UPDATE = "role.update", "changed what a role lets its holders do"
    ROLE_WITHDRAW = "role.withdraw", "took a role away from somebody"
    SERVICE_CREATE = "service.create", "created a service account"
    SESSION_END = "session.end", "signed out"
    SESSION_END_ALL = "session.end_all", "ended every session of an account, or every other one of their own"
    SESSION_REAUTHENTICATE = "session.reauthenticate", "proved again who they are, to sign"
    SESSION_START = "session.start", "signed in"
    SESSION_USE = "session.use", "sent a session"
    TOKEN_ISSUE = "token.issue", "issued a token of a service account"
    TOKEN_REVOKE = "token.revoke", "revoked a token of a service account"
    TOKEN_USE = "token.use", "sent a token"

    # jobs
    JOB_CANCEL = "job.cancel", "asked for a job to stop"
    JOB_ENQUEUE = "job.enqueue", "put a job into the queue"
    JOB_FAIL = "job.fail", "ended a job without its result"
    JOB_FINISH = "job.finish", "finished a job"
    JOB_RETRY = "job.retry", "put a failed job into the queue again"

    # notices
    NOTIFICATION_READ = "notification.read", "marked notifications as read"
    NOTIFICATION_SET = "notification.set", "chose what is sent by mail"
    WEBHOOK_CREATE = "webhook.create", "had events sent to another system"
    WEBHOOK_DELETE = "webhook.delete", "deleted a webhook"
    WEBHOOK_FAIL = "webhook.fail", "gave up what a webhook did not take, and paused it after several in a row"
    WEBHOOK_REDELIVER = "webhook.redeliver", "had an event sent to a webhook once more"
    WEBHOOK_TEST = "webhook.test", "sent a webhook an example"
    WEBHOOK_UPDATE = "webhook.update", "changed a webhook, or switched it on or off"
    WEBHOOK_VIEW = "webhook.view", "read what a webhook was sent"

    # datasets
    DATASET_REGISTER = "dataset.register", "registered a dataset"
    DATASET_VERSION_ADD = "dataset_version.add", "added a version to a dataset"
    DATASET_VERSION_PROFILE = "dataset_version.profile", "profiled a version of a dataset"
    DATASET_VIEW = "dataset.view", "read the page of a dataset or of one of its versions"
    RECIPE_ADD = "recipe.add", "added a recipe that prepares a dataset"

    # registry
    ALIAS_DELETE = "alias.delete", "deleted an alias of a model"
    ALIAS_SET = "alias.set", "pointed an alias at a version"
    CARD_REVISE = "card.revise", "revised a model card"
    CARD_VIEW = "card.view", "read a model card"
    COMPARISON_REQUEST = "comparison.request", "asked for a version to be compared with another"
    EVIDENCE_ADD = "evidence.add", "added evidence to a version"
    EVIDENCE_EXPORT = "evidence.export", "took evidence away as a file"
    EVIDENCE_VIEW = "evidence.view", "read evidence about a version"
    MODEL_ARCHIVE = "model.archive", "archived a model"
    MODEL_CHANGE_TEAM = "model.change_team", "moved a model to another team"
    MODEL_CREATE = "model.create", "registered a model"
    MODEL_TAG = "model.tag", "set a tag of a model"
    MODEL_UNTAG = "model.untag", "deleted a tag of a model"
    MODEL_UPDATE = "model.update", "changed what is said of a model"
    MODEL_VIEW = "model.view", "read a page of a model"
    VERSION_ADMIT = "version.admit", "decided whether a version's files are admitted"
    VERSION_DOWNLOAD = "version.download", "took a file of a version away"
    VERSION_FETCH = "version.fetch", "fetched the files of a version from where it was registered from"
    VERSION_MOVE = "version.move", "moved a version to another state"
    VERSION_REGISTER = "version.register", "registered a version of a model"
    VERSION_RETIRE = "version.retire", "retired a version"
    VERSION_TAG = "version.tag", "set a tag of a version"
    VERSION_UNTAG = "version.untag", "deleted a tag of a version"
    VERSION_UPDATE = "version.update", "changed what is said of a version"
    VERSION_VIEW = "version.view", "read a page of a version"

    # reviews
    APPROVAL_LAPSE = "approval.lapse", "ended an approval whose time or conditions ran out"
    APPROVAL_REMIND = "approval.remind", "reminded of an approval that runs out"
    BREAK_GLASS_ASK = "break_glass.ask", "asked for a version to go live in an emergency, without its review"
    BREAK_GLASS_DECLINE = "break_glass.decline", "declined an emergency promotion"
    BREAK_GLASS_END = "break_glass.end", "ended an emergency promotion"
    BREAK_GLASS_SECOND = "break_glass.second", "agreed to an emergency promotion as the second person"
    BREAK_GLASS_VIEW = "break_glass.view", "read the page of an emergency promotion"
    COMMENT_ADD = "comment.add", "replied in a discussion"
    COMMENT_EDIT = "comment.edit", "edited a comment of their own"
    DELEGATION_END = "delegation.end", "ended a delegation"
    DELEGATION_GIVE = "delegation.give", "let somebody stand in for them"
    ENVELOPE_PROPOSE = "envelope.propose", "proposed bounds within which retrained versions need no new review"
    ENVELOPE_SIGN = "envelope.sign", "signed the bounds of a retraining envelope"
    ENVELOPE_USE = "envelope.use", "approved a retrained version by its envelope"
    ENVELOPE_WITHDRAW = "envelope.withdraw", "withdrew a retraining envelope"
    EXCEPTION_GRANT = "exception.grant", "let a version pass in spite of a failed gate, for a time"
    EXCEPTION_WITHDRAW = "exception.withdraw", "withdrew an exception to a failed gate"
    FINDING_ANSWER = "finding.answer", "answered a finding"
    FINDING_CLOSE = "finding.close", "verified the answer to a finding and closed it"
    FINDING_COMMENT = "finding.comment", "said something about a finding"
    FINDING_EXPORT = "finding.export", "took the findings away as a file"
    FINDING_EXTEND = "finding.extend", "gave a finding a later due date"
    FINDING_LAPSE = "finding.lapse", "let a finding lapse that was not answered in time"
    FINDING_RAISE = "finding.raise", "raised a finding about a version"
    FINDING_RETURN = "finding.return", "sent the answer to a finding back"
    FINDING_VIEW = "finding.view", "read a finding"
    FINDING_WITHDRAW = "finding.withdraw", "withdrew a finding"
    GRACE_GIVE = "grace.give", "gave a live version time to meet a stricter policy"
    POLICY_DRAFT = "policy.draft", "drafted a version of a policy"
    POLICY_EXPORT = "policy.export", "took a policy or what it would have decided away as a file"
    POLICY_PROPOSE = "policy.propose", "proposed a version of a policy for signature"
    POLICY_PUBLISH = "policy.publish", "put a version of a policy in force"
    POLICY_REHEARSE = "policy.rehearse", "tried a version of a policy on reviews and on past promotions"
    POLICY_RETURN = "policy.return", "took a proposed policy back to draft"
    POLICY_SIGN = "policy.sign", "signed a version of a policy"
    POLICY_VIEW = "policy.view", "read a version of a policy"
    REVIEW_ESCALATE = "review.escalate", "passed a review on that nobody had answered in time"
    REVIEW_READ = "review.read", "marked a section of a review as read, or as unread"
    REVIEW_REQUEST = "review.request", "asked for a review of a version"
    REVIEW_VIEW = "review.view", "read a review"
    REVIEW_WITHDRAW = "review.withdraw", "withdrew a review"
    ROUND_CLOSE = "round.close", "closed a round of a review"
    ROUND_OPEN = "round.open", "opened a round of a review"
    SIGN_OFF_DISMISS = "sign_off.dismiss", "dismissed a sign-off"
    SIGN_OFF_EXPORT = "sign_off.export", "took a sign-off and what proves it away as a file"
    SIGN_OFF_GIVE = "sign_off.give", "signed a version off, or refused to"
    SIGN_OFF_REQUEST = "sign_off.request", "asked for a sign-off to be given again"
    SIGN_OFF_WITHDRAW = "sign_off.withdraw", "withdrew a sign-off of their own"
    THREAD_OPEN = "thread.open", "opened a discussion"
    THREAD_REOPEN = "thread.reopen", "opened a resolved discussion again"
    THREAD_RESOLVE = "thread.resolve", "resolved a discussion"
    VERSION_PROMOTE = "version.promote", "promoted a version to a stage"
    VERSION_REVOKE = "version.revoke", "revoked a version"
    VERSION_ROLL_BACK = "version.roll_back", "put the version before back in a stage"

    # training
    TRAINING_CANCEL = "training.cancel", "asked for a training to stop"
    TRAINING_FINISH = "training.finish", "finished a training"
    TRAINING_REQUEST = "training.request", "asked for a training"
    TRAINING_RETRY = "training.retry", "asked for a failed training once more"
    TRAINING_START = "training.start", "started a training"

    # serving
    DEPLOYMENT_CREATE = "deployment.create", "created a deployment"
    DEPLOYMENT_PAUSE = "deployment.pause", "paused a deployment"
    DEPLOYMENT_RESUME = "deployment.resume", "let a paused deployment go on"
    DEPLOYMENT_START = "deployment.start", "began to serve a version at a deployment"
    DEPLOYMENT_STOP = "deployment.stop", "stopped serving at a deployment"
    EXPERIMENT_ADOPT = "experiment.adopt", "found experiments of MLflow's that nobody owned yet"
    EXPERIMENT_CREATE = "experiment.create", "created an experiment"
    EXPERIMENT_GIVE = "experiment.give", "gave an experiment to another owner"
    EXPERIMENT_OPEN = "experiment.open", "said what everybody else may do with an experiment"
    EXPERIMENT_SHARE = "experiment.share", "shared an experiment"
    EXPERIMENT_UNSHARE = "experiment.unshare", "stopped sharing an experiment"
    EXPERIMENT_UPDATE = "experiment.update", "renamed an experiment, put it away or restored it"
    EXPERIMENT_VIEW = "experiment.view", "read who has an experiment, or asked for what is in it"
    MODEL_SCORE = "model.score", "scored with a model"
    VERSION_ATTEST = "version.attest", "took the proof that a version is approved"
    VERSION_PULL = "version.pull", "pulled the files of a version"
    VERSION_WATCH = "version.watch", "watched which versions are live"

    # monitoring
    ALERT_ACKNOWLEDGE = "alert.acknowledge", "acknowledged an alert"
    ALERT_RAISE = "alert.raise", "raised an alert"
    ALERT_RESOLVE = "alert.resolve", "found that what an alert was about is over"
    DEPLOYMENT_EXPORT = "deployment.export", "took what was measured of a deployment away as a file"
    OUTCOMES_FEED = "outcomes.feed", "brought what really happened to a deployment's predictions"
    PREDICTIONS_COUNT = "predictions.count", "counted a group of predictions into the figures of a deployment"
    RETRAINING_REQUEST = "retraining.request", "asked for a retraining because of an alert"
    THRESHOLDS_SET = "thresholds.set", "set the thresholds of a deployment's alerts"
    WINDOW_MEASURE = "window.measure", "measured the windows of a deployment"

    # reports
    AS_OF_ASK = "as_of.ask", "asked what stood on a day, on whose authority, and who had it"
    CERTIFICATE_ISSUE = "certificate.issue", "issued a certificate as a file"
    CERTIFICATE_VIEW = "certificate.view", "read a certificate"
    REPORT_EXPORT = "report.export", "took a report away as a file"
    REPORT_VIEW = "report.view", "read a report"
    REVIEW_PACK_ISSUE = "review_pack.issue", "issued a review pack as a file"

    # search
    SEARCH_RUN = "search.run", "searched the portal"

    @property
    def noun(self) -> str:
        """The kind of thing that it happened to."""
        return self.value.partition(".")[0]


PROMPT: Final = frozenset(
    {
        Action.AS_OF_ASK,
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
