"""Our consent expectation on a large frame against GX's set of allowed values, per row, and against pandas' `isin`."""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks._common import Row, alone, best_of, ratio
from benchmarks._permitted import grant
from gate.domain.consent import Appointment, Profile, parse_consent_event
from gate.domain.words import Ownership, Role
from gate.ledger import records
from gate.service.anchors import recording
from gate.service.consents import record_model
from gate.service.core import Service, set_up
from gate.service.settings import read_settings

ON_RECORD = 40  # one account in so many agreed, and is known to the ledger at all: recording takes longest
CUT = 100_000  # rows for GX's set of values
BAR_SET = 1.0  # times GX's set of values, per row
BAR_ISIN = 60.0  # times pandas' `isin`, which knows no policy, no reason and no instant
SINCE = datetime(2023, 1, 1, tzinfo=UTC)


def frame_of(rows: int, accounts: int) -> pd.DataFrame:
    """Return rows of accounts in an order without pattern, the same each time."""
    return pd.DataFrame({"account_id": [f"acct-{row * 7_919_993 % accounts:07d}" for row in range(rows)]})


def agreed_of(accounts: int) -> list[str]:
    """Return who agreed."""
    return [f"acct-{number:07d}" for number in range(0, accounts, ON_RECORD)]


def record(service: Service, agreed: list[str]) -> None:
    """Record admins, profiles and grants of these accounts in one transaction."""
    with recording(service) as tx:
        said: dict[str, Any] = {"recorded_at": service.now(tx), "by": "service:bench", "via": "import"}
        admins = [Appointment(name, f"admin@{name}", "appoint", Role.ADMIN, SINCE) for name in agreed]
        records.record_appointments(tx, admins, **said)
        for name in agreed:
            records.record_profile(tx, name, Profile("US", "none", "2023-08-07"), **said)
        records.record_consents(tx, [parse_consent_event(grant(name)) for name in agreed], **said)
    record_model(service, "ms-1", Ownership.FIRST_PARTY, ["meeting_summary"], "bench", by="bench", via="cli")


def frames_asset() -> Any:
    """Return what makes batches of pandas frames, in a context that lives in memory and draws nothing."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return (
        context.data_sources.add_pandas("bench").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("a")
    )


def main(rows: int = 2_000_000, accounts: int = 200_000) -> list[Row]:
    """Measure all three; a row's `ok` says whether they agree on how many rows may be used."""
    agreed, frame = agreed_of(accounts), frame_of(rows, accounts)
    with tempfile.TemporaryDirectory(prefix="gate-bench-") as home:
        before = {name: os.environ.pop(name, None) for name in ("GATE_HOME", "GATE_DATABASE_URL")}
        os.environ["GATE_HOME"] = home
        try:
            with set_up(read_settings({"GATE_HOME": str(Path(home))})) as service:
                record(service, agreed)
            return _measured(frame, agreed)
        finally:
            os.environ.pop("GATE_HOME")
            os.environ.update({name: value for name, value in before.items() if value is not None})


def _measured(frame: pd.DataFrame, agreed: list[str]) -> list[Row]:
    frames = frames_asset()
    import great_expectations as gx

    from gate.gx import ExpectAccountsToHaveConsent

    consent = ExpectAccountsToHaveConsent(
        column="account_id", categories=["chat"], purpose="train", feature="meeting_summary", model="ms-1"
    )
    in_set = gx.expectations.ExpectColumnValuesToBeInSet(column="account_id", value_set=agreed)
    whole, cut = frames.get_batch({"dataframe": frame}), frame.iloc[:CUT]
    (ours, answer), (isin, mask) = best_of(
        3, partial(whole.validate, consent), lambda: frame["account_id"].isin(agreed)
    )
    small = frames.get_batch({"dataframe": cut})
    (small_set, set_answer), (small_ours, small_answer) = best_of(
        2, partial(small.validate, in_set), partial(small.validate, consent)
    )
    exact = len(frame) - answer.result["unexpected_count"] == int(mask.sum())
    small_exact = small_answer.result["unexpected_count"] == set_answer.result["unexpected_count"]
    million, set_million = ours / len(frame) * 1e6, small_set / len(cut) * 1e6
    note = f"a million rows; both on {len(cut):,} rows: {small_ours:.2f} against {small_set:.2f} s; "
    note += _told(exact and small_exact)
    return [
        ratio(
            f"consent on {len(frame):,} rows / GX's set of {len(agreed):,} values, per row",
            million,
            set_million,
            BAR_SET,
            note=note,
            ok=exact and small_exact,
        ),
        ratio(f"consent on {len(frame):,} rows / pandas isin", ours, isin, BAR_ISIN, note=_told(exact), ok=exact),
    ]


def _told(exact: bool) -> str:
    return "same rows may be used" if exact else "ANSWERS DIFFER"


if __name__ == "__main__":
    sys.exit(alone(main))
