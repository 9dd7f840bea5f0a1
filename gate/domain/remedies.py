"""What would unblock each reason code, in one sentence a person can act on."""

from __future__ import annotations

from gate.domain.words import Reason
from gate.errors import PermitRefused

REMEDIES: dict[Reason, str] = {
    Reason.NO_CONSENT: "an owner or admin of each account must grant share_for_training (or enable_feature to infer)",
    Reason.CONSENT_REFUSED: "these accounts refused: train without them (on_block='subset')",
    Reason.CONSENT_WITHDRAWN: "these accounts withdrew: train without them (on_block='subset')",
    Reason.CONSENT_EXPIRED: "an owner or admin of each account must renew the consent",
    Reason.CONSENT_NOT_YET_EFFECTIVE: "wait until the consent takes effect, then run again",
    Reason.NOT_ADMIN: "the consent must come from an owner or admin: gate admins show ACCOUNT",
    Reason.WRONG_TOGGLE: "another toggle was switched on: training needs share_for_training, inference enable_feature",
    Reason.WRONG_FEATURE: "the consent names other features: ask for this one",
    Reason.WRONG_PURPOSE: "the consent names other purposes: ask for this one by name",
    Reason.WRONG_CATEGORY: "the consent names other categories: ask for this one by name",
    Reason.WRONG_ACCOUNT: "the consent belongs to another account: an admin of this one must consent",
    Reason.WRONG_OWNERSHIP: "the consent does not cover the owner of this model",
    Reason.THIRD_PARTY_MODEL: "third-party models are never trained on this data: use a first-party model",
    Reason.UNKNOWN_MODEL_OWNER: "register the model with evidence: gate models register MODEL --ownership …",
    Reason.INSTRUMENT_REQUIRED: "the signed form is missing: record it as the consent's instrument and evidence",
    Reason.NO_WITHDRAWAL_CHANNEL: "the consent must name how to withdraw it",
    Reason.NOTICE_MISMATCH: "record which notice was shown (terms version in force then, SHA-256 of its text)",
    Reason.BUNDLED_CONSENT: "consent tied to the service is invalid here: ask again, separately",
    Reason.UNCLASSIFIED_DATA: "tag the version and its sources; answer what is asked: gate dataset tag --resolve",
    Reason.UNATTRIBUTED_ROWS: "give every row its account, or drop these rows (on_block='subset')",
    Reason.STALE_TAG: "the data changed since it was tagged: run the tag task again",
    Reason.STALE_SNAPSHOT: "run the gate again: the consent snapshot is out of date",
    Reason.STALE_FEED: "a consent source is behind: bring its feed up to date",
    Reason.TAG_CONFLICT: "what is declared contradicts what is found or on record: correct it and tag again",
    Reason.CONTRACT_ERRORED: "a data contract could not be checked: mend it and tag again",
    Reason.POLICY_DENIED: "the policy forbids this use; no consent changes that",
    Reason.POLICY_UNDECIDED: "the policy leaves this open: ask the policy's owner to decide it",
    Reason.REGION_RULE: "the account's region is unknown or has a rule of its own: gate accounts show ACCOUNT",
    Reason.SEGMENT_RULE: "the account's segment is unknown or has a rule of its own: gate accounts show ACCOUNT",
    Reason.TERMS_UNKNOWN: "record which terms the account accepted: gate accounts profile ACCOUNT --terms-version …",
    Reason.NO_MATCHING_ROW: "no policy row covers this use: ask the policy's owner to add one",
    Reason.DATASET_CHANGED: "the data changed after the decision: run the gate again",
    Reason.PERMIT_MISSING: "run the gate upstream of this task; marking it successful issues no permit",
    Reason.PERMIT_EXPIRED: "run the gate again: its permit has expired",
    Reason.PERMIT_MISMATCH: "run the gate again: its permit is for another run, task, use, data or ledger state",
    Reason.CANNOT_DECIDE: "something needed for the decision was not there: see the log, then retry",
}
"""A sentence for every reason code."""


def refused(message: str, reason: Reason) -> PermitRefused:
    """Return the refusal of a permit, with the remedy of its reason."""
    return PermitRefused(message, hint=REMEDIES[reason], reason=reason.value)
