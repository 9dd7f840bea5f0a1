"""The closed vocabularies: every code that appears in tables, entries, facets and messages."""

from __future__ import annotations

from enum import StrEnum


class Category(StrEnum):
    """What kind of data a dataset version bears."""

    AUDIO = "audio"
    VIDEO = "video"
    CHAT = "chat"
    TELEMETRY = "telemetry"
    EDUCATION_RECORD = "education_record"
    PHI = "phi"
    AGGREGATED_ANONYMOUS = "aggregated_anonymous"
    UNCLASSIFIED = "unclassified"
    NONE = "none"


CONTENT = frozenset({Category.AUDIO, Category.VIDEO, Category.CHAT})


class Purpose(StrEnum):
    """What a job wants the data for."""

    PROVIDE_SERVICE = "provide_service"
    INFER = "infer"
    PROTECT_SERVICE = "protect_service"
    IMPROVE_PRODUCT = "improve_product"
    TRAIN = "train"
    TUNE = "tune"
    TEST = "test"
    DISCLOSE = "disclose"


TRAINING_PURPOSES = frozenset({Purpose.TRAIN, Purpose.TUNE, Purpose.TEST, Purpose.IMPROVE_PRODUCT})


class Ownership(StrEnum):
    """Who owns the model; looked up in the model registry, never taken from a DAG."""

    FIRST_PARTY = "first_party"
    THIRD_PARTY = "third_party"
    CUSTOMER_OWNED = "customer_owned"
    UNKNOWN = "unknown"


class Toggle(StrEnum):
    """The two switches an admin has; neither implies nor withdraws the other."""

    ENABLE_FEATURE = "enable_feature"
    SHARE_FOR_TRAINING = "share_for_training"


class Action(StrEnum):
    """What a consent event does."""

    GRANT = "grant"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"


class Role(StrEnum):
    """A person's part in an account. Only owner and admin can consent."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    PARTICIPANT = "participant"
    GUEST = "guest"
    END_USER = "end_user"


ADMIN_ROLES = frozenset({Role.OWNER, Role.ADMIN})


class Instrument(StrEnum):
    """The legal form a consent took."""

    ADMIN_TOGGLE = "admin_toggle"
    CONTRACT = "contract"
    HIPAA_AUTHORIZATION = "hipaa_authorization"
    FERPA_CONSENT = "ferpa_consent"
    PARENTAL_CONSENT = "parental_consent"


class Requirement(StrEnum):
    """What a policy cell asks for, least restrictive first."""

    ALLOW = "allow"
    CONSENT = "consent"
    UNDECIDED = "undecided"
    DENY = "deny"


class Verdict(StrEnum):
    """The answer of a decision."""

    ALLOW = "allow"
    BLOCK = "block"


class TagSource(StrEnum):
    """How we came to say that a dataset version bears a category."""

    DECLARED = "declared"
    DETECTED = "detected"
    INHERITED = "inherited"
    DECLASSIFIED = "declassified"


class Method(StrEnum):
    """How data came to be anonymous, as a declassification states it; sources in `gate.domain.anonymity`."""

    K_ANONYMITY = "k_anonymity"
    AGGREGATION = "aggregation"
    SAFE_HARBOR = "safe_harbor"
    EXPERT_DETERMINATION = "expert_determination"


class Authority(StrEnum):
    """Whether the person behind a consent event could speak for the account."""

    ADMIN = "admin"
    NOT_ADMIN = "not_admin"
    WRONG_ACCOUNT = "wrong_account"


class Reason(StrEnum):
    """Why something was blocked. Stable: used in facets, JSON, pages and messages."""

    NO_CONSENT = "no_consent"
    CONSENT_REFUSED = "consent_refused"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CONSENT_EXPIRED = "consent_expired"
    CONSENT_NOT_YET_EFFECTIVE = "consent_not_yet_effective"
    NOT_ADMIN = "not_admin"
    WRONG_TOGGLE = "wrong_toggle"
    WRONG_FEATURE = "wrong_feature"
    WRONG_PURPOSE = "wrong_purpose"
    WRONG_CATEGORY = "wrong_category"
    WRONG_ACCOUNT = "wrong_account"
    WRONG_OWNERSHIP = "wrong_ownership"
    THIRD_PARTY_MODEL = "third_party_model"
    UNKNOWN_MODEL_OWNER = "unknown_model_owner"
    INSTRUMENT_REQUIRED = "instrument_required"
    NO_WITHDRAWAL_CHANNEL = "no_withdrawal_channel"
    NOTICE_MISMATCH = "notice_mismatch"
    BUNDLED_CONSENT = "bundled_consent"
    UNCLASSIFIED_DATA = "unclassified_data"
    UNATTRIBUTED_ROWS = "unattributed_rows"
    STALE_TAG = "stale_tag"
    STALE_SNAPSHOT = "stale_snapshot"
    STALE_FEED = "stale_feed"
    TAG_CONFLICT = "tag_conflict"
    CONTRACT_ERRORED = "contract_errored"
    POLICY_DENIED = "policy_denied"
    POLICY_UNDECIDED = "policy_undecided"
    REGION_RULE = "region_rule"
    SEGMENT_RULE = "segment_rule"
    TERMS_UNKNOWN = "terms_unknown"
    NO_MATCHING_ROW = "no_matching_row"
    DATASET_CHANGED = "dataset_changed"
    PERMIT_MISSING = "permit_missing"
    PERMIT_EXPIRED = "permit_expired"
    PERMIT_MISMATCH = "permit_mismatch"
    CANNOT_DECIDE = "cannot_decide"


CONSENT_REASONS = frozenset(
    {
        Reason.NO_CONSENT,
        Reason.CONSENT_REFUSED,
        Reason.CONSENT_WITHDRAWN,
        Reason.CONSENT_EXPIRED,
        Reason.CONSENT_NOT_YET_EFFECTIVE,
        Reason.NOT_ADMIN,
        Reason.WRONG_TOGGLE,
        Reason.WRONG_FEATURE,
        Reason.WRONG_PURPOSE,
        Reason.WRONG_CATEGORY,
        Reason.WRONG_ACCOUNT,
        Reason.WRONG_OWNERSHIP,
        Reason.INSTRUMENT_REQUIRED,
        Reason.NO_WITHDRAWAL_CHANNEL,
        Reason.NOTICE_MISMATCH,
        Reason.BUNDLED_CONSENT,
    }
)
"""Reasons a customer's admin can remove by consenting properly; `subset` is possible only for these."""
