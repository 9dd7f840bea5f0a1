"""Keys: made once, rotated without a gap, revoked at once; what dies half-way is finished by doing it again."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gate.domain.instants import format_instant, utc_now
from gate.errors import CannotDecide, InputError, KeyLost, LedgerUnavailable, PermitRefused, TamperingFound
from gate.ledger.checkpoints import Note
from gate.permits.keys import PublicKey, create_key, load_key, public_key_to_text
from gate.permits.permit import verify_permit
from gate.permits.succession import successors
from gate.service.acting import Person
from gate.service.acts import act_alone, approve, propose, settle_keys
from gate.service.anchors import check_anchor, publish
from gate.service.auditing import checked_note
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.keyring import (
    KeyState,
    check_signed,
    drop_revoked_pins,
    key_file,
    key_states,
    keyring,
    named_key,
    statements,
    trusted,
)
from gate.service.publishing import sign_checkpoint
from gate.service.tagging import tag_dataset
from support.world import ASKING, USE, Clock, add_account, chat_file, event, new_service, say

ALICE, BOB = Person("airflow", "alice"), Person("airflow", "bob")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        yield opened


def rotate(service: Service) -> str:
    """Rotate and return the new key's id."""
    return str(act_alone(service, "key_rotation", {}, by="root").body["key_id"])


def revoke(service: Service, key_id: str) -> None:
    act_alone(service, "key_revocation", {"key_id": key_id}, "laptop stolen", by="root")


def states(service: Service) -> list[str]:
    with service.ledger.read() as reader:
        return [state.value for state in key_states(reader).values()]


def pins(service: Service) -> list[str]:
    return [key.key_id for key in service.pinned_keys]


def note(service: Service) -> str:
    return sign_checkpoint(service).note


def permit(service: Service, folder: Path) -> dict[str, object]:
    add_account(service, "acme")
    say(service, event("acme"))
    data = chat_file(folder, ["acme"])
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    return dict(decide(service, [data], USE, ASKING).permits["train"])


def check(service: Service, envelope: dict[str, object], clock: Clock) -> None:
    """What redeeming asks of a permit's key: pinned, and not revoked."""
    verify_permit(envelope, service.pinned_keys, now=clock.now)
    with service.ledger.read() as reader:
        check_signed(envelope, keyring(reader))


def test_a_new_ledger_has_one_key(service: Service) -> None:
    assert states(service) == ["signing"]
    with service.ledger.read() as reader:
        assert named_key(reader) == service.key.key_id == pins(service)[0]
        assert statements(reader) == []


def test_a_rotation_takes_effect_in_a_service_that_runs(service: Service) -> None:
    old = service.key.key_id
    new = rotate(service)
    assert service.key.key_id == new != old
    assert states(service) == ["retired", "signing"]
    assert pins(service) == [old, new]
    third = rotate(service)
    assert (service.key.key_id, states(service)) == (third, ["retired", "retired", "signing"])


def test_no_key_file_is_ever_overwritten(service: Service) -> None:
    first = service.settings.key_path.read_bytes()
    for number in (2, 3):
        rotate(service)
        path = key_file(service.settings, number)
        assert path.name == f"signing-{number}.pem"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert load_key(path).key_id == service.key.key_id
    assert service.settings.key_path.read_bytes() == first
    assert not [path for path in service.settings.key_path.parent.iterdir() if path.name.startswith(".")]


def test_what_a_retired_key_signed_still_counts(service: Service, clock: Clock, tmp_path: Path) -> None:
    envelope, checkpoint = permit(service, tmp_path), note(service)
    rotate(service)
    check(service, envelope, clock)
    assert isinstance(checked_note(service, checkpoint), Note)
    clock.forward(hours=1)
    with pytest.raises(PermitRefused, match="expired"):
        check(service, envelope, clock)


def test_what_a_revoked_key_signed_counts_no_more(service: Service, clock: Clock, tmp_path: Path) -> None:
    envelope, checkpoint, old = permit(service, tmp_path), note(service), service.key
    pinned_before = service.pinned_keys
    revoke(service, old.key_id)
    assert states(service) == ["revoked", "signing"]
    assert pins(service) == [service.key.key_id] != [old.key_id]
    with pytest.raises(PermitRefused, match="pinned"):
        verify_permit(envelope, service.pinned_keys, now=clock.now)
    with service.ledger.read() as reader, pytest.raises(PermitRefused, match="revoked") as refused:
        check_signed(envelope, keyring(reader))
    assert refused.value.reason == "permit_mismatch"
    with pytest.raises(TamperingFound):
        checked_note(service, checkpoint)
    with service.ledger.read() as reader:
        assert trusted(pinned_before, reader) == ()
        assert statements(reader) == []  # a compromised key vouches for nobody
    with pytest.raises(InputError, match="revoked already"):
        revoke(service, old.key_id)


def test_a_retired_key_is_revoked_without_a_rotation(service: Service) -> None:
    old = service.key.key_id
    new = rotate(service)
    revoke(service, old)
    assert (states(service), service.key.key_id, pins(service)) == (["revoked", "signing"], new, [new])


def test_a_revocation_says_since_when(service: Service, clock: Clock) -> None:
    key, since = service.key.key_id, clock.now - timedelta(days=2)
    later = format_instant(clock.now + timedelta(seconds=1))
    with pytest.raises(InputError, match="not come"):
        propose(service, "key_revocation", {"key_id": key, "since": later}, "stolen", by=ALICE)
    index = propose(service, "key_revocation", {"key_id": key, "since": format_instant(since)}, "stolen", by=ALICE)
    approve(service, index, by=BOB)
    with service.ledger.read() as reader:
        revoked, signing = keyring(reader)
    assert (revoked.state, revoked.revoked_since) == (KeyState.REVOKED, since)
    assert (signing.state, signing.revoked_since) == (KeyState.SIGNING, None)
    assert signing.to_dict()["number"] == 2


def test_a_key_of_another_ledger_signs_nothing_here(service: Service, clock: Clock, tmp_path: Path) -> None:
    with new_service(tmp_path / "other", clock) as other:
        envelope = permit(other, tmp_path)
    with service.ledger.read() as reader, pytest.raises(PermitRefused, match="not of this ledger"):
        check_signed(envelope, keyring(reader))


def test_a_lost_key_is_revoked_not_rotated(service: Service) -> None:
    lost = service.key.key_id
    service.settings.key_path.unlink()
    with pytest.raises(KeyLost):
        rotate(service)
    assert states(service) == ["signing"]
    revoke(service, lost)
    assert service.key.key_id == pins(service)[0] != lost


def test_a_rotation_that_died_after_the_file_is_finished_with_that_file(service: Service) -> None:
    orphan = create_key(key_file(service.settings, 2))
    assert service.key.key_id != orphan.key_id
    assert rotate(service) == orphan.key_id == service.key.key_id


def test_a_rotation_that_died_after_the_pin_pins_nothing_twice(service: Service) -> None:
    orphan = create_key(key_file(service.settings, 2))
    with service.settings.pinned_keys_path.open("a") as file:
        file.write(public_key_to_text(orphan.public_key) + "\n")
    assert rotate(service) == orphan.key_id
    assert pins(service).count(orphan.key_id) == 1


def test_a_revocation_that_died_before_the_pin_went_is_finished_later(
    service: Service, clock: Clock, tmp_path: Path
) -> None:
    envelope, old = permit(service, tmp_path), service.key.key_id
    before = service.settings.pinned_keys_path.read_text()
    revoke(service, old)
    service.settings.pinned_keys_path.write_text(before + public_key_to_text(service.key.public_key) + "\n")
    assert old in pins(service)
    with pytest.raises(PermitRefused, match="revoked"):  # the ledger's word is enough
        check(service, envelope, clock)
    drop_revoked_pins(service.ledger, service.settings)
    assert pins(service) == [service.key.key_id]


def test_a_rotation_the_database_refuses_changes_nothing_and_can_be_repeated(service: Service) -> None:
    old = service.key.key_id
    refuse = "CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    with service.ledger.engine.begin() as connection:
        connection.exec_driver_sql(refuse)
    with pytest.raises((LedgerUnavailable, TamperingFound)):
        rotate(service)
    assert (service.key.key_id, states(service)) == (old, ["signing"])
    orphan = load_key(key_file(service.settings, 2)).key_id
    with service.ledger.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    assert rotate(service) == orphan
    assert pins(service) == [old, orphan]


def test_a_missing_file_of_pins_stops_a_rotation(service: Service) -> None:
    service.settings.pinned_keys_path.unlink()
    with pytest.raises(KeyLost):
        rotate(service)
    assert states(service) == ["signing"]


def test_a_known_key_in_the_place_of_the_next_is_not_taken(service: Service) -> None:
    key_file(service.settings, 2).hardlink_to(service.settings.key_path)
    with pytest.raises(CannotDecide, match="knows already"):
        rotate(service)
    assert states(service) == ["signing"]


_KILLED = """
    import os, signal, sys
    from pathlib import Path
    from gate.service.acts import act_alone
    from gate.service.core import open_service
    from gate.service.settings import read_settings

    step, home = int(sys.argv[1]), Path(sys.argv[2])
    seen = 0

    def watch(event, args):
        global seen
        if event in ("open", "os.rename", "os.link", "os.remove") and str(home) in str(args[0]):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    with open_service(read_settings({"GATE_HOME": str(home)})) as service:
        first = service.key.key_id
        sys.addaudithook(watch)
        act_alone(service, sys.argv[3], {"key_id": first} if "revo" in sys.argv[3] else {}, by="root")
    print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("act", ["key_rotation", "key_revocation"])
def test_killed_at_every_touch_of_a_file_the_ledger_always_has_a_key_that_is_pinned(act: str, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(_KILLED))
    step, finished = 0, False
    while not finished:
        step += 1
        assert step < 40
        home = tmp_path / f"home{step}"
        new_service(home).close()
        done = subprocess.run(
            [sys.executable, script, str(step), home, act], capture_output=True, text=True, check=False
        )
        finished = done.returncode == 0
        assert finished or done.returncode == -signal.SIGKILL, done.stderr
        with new_service(home, Clock(utc_now())) as service:
            assert service.key.key_id in pins(service)
            before = len(states(service))
            rotate(service)
            assert service.key.key_id in pins(service)
            assert states(service).count("signing") == 1
            assert len(states(service)) == before + 1
            with service.ledger.read() as reader:
                assert trusted(service.pinned_keys, reader) == service.pinned_keys
    assert step > 4


def test_two_rotations_at_once_make_two_keys(tmp_path: Path) -> None:
    new_service(tmp_path / "home").close()
    script = tmp_path / "rotate.py"
    script.write_text(
        textwrap.dedent("""
        import sys
        from pathlib import Path
        from gate.service.acts import act_alone
        from gate.service.core import open_service
        from gate.service.settings import read_settings
        with open_service(read_settings({"GATE_HOME": sys.argv[1]})) as service:
            act_alone(service, "key_rotation", {}, by="root")
        """)
    )
    running = [subprocess.Popen([sys.executable, script, tmp_path / "home"]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    with new_service(tmp_path / "home", Clock(utc_now())) as service:
        assert states(service) == ["retired"] * 3 + ["signing"]
        assert len(set(pins(service))) == 4


def test_who_pins_an_old_key_comes_to_trust_the_new_one(service: Service) -> None:
    with service.ledger.read() as reader:
        pinned: tuple[PublicKey, ...] = service.pinned_keys
        origin = reader.origin
    first, second, third = service.key.key_id, rotate(service), rotate(service)
    with service.ledger.read() as reader:
        said = statements(reader)
    assert [key.key_id for key in successors(pinned, said, ledger_origin=origin)] == [first, second, third]
    assert [key.key_id for key in successors(pinned, said[:1], ledger_origin=origin)] == [first, second]


def test_published_checkpoints_outlive_a_revocation(tmp_path: Path, clock: Clock) -> None:
    """The last checkpoint was signed by the revoked key: it is signed anew here and elsewhere before the pin goes."""
    with new_service(tmp_path / "home", clock) as opened:
        service = Service(
            replace(opened.settings, checkpoints_uri=(tmp_path / "elsewhere").as_uri()), opened.ledger, clock
        )
        publish(service)
        revoke(service, service.key.key_id)
        with service.ledger.read() as reader:
            found = check_anchor(service, reader)
            assert found is not None
            assert found.size == reader.size
        assert checked_note(service, (tmp_path / "elsewhere" / "latest").read_text()).size == found.size


def test_a_second_place_that_is_away_keeps_the_pin_and_not_the_permits(
    tmp_path: Path, clock: Clock, service: Service
) -> None:
    envelope, old = permit(service, tmp_path), service.key.key_id
    away = Service(replace(service.settings, checkpoints_uri=(tmp_path / "elsewhere").as_uri()), service.ledger, clock)
    publish(away)
    (tmp_path / "elsewhere").rename(tmp_path / "gone")
    (tmp_path / "elsewhere").write_text("not a folder")
    with pytest.raises(LedgerUnavailable):
        revoke(away, old)
    assert (states(service), old in pins(service)) == (["revoked", "signing"], True)
    with pytest.raises(PermitRefused, match="revoked"):
        check(service, envelope, clock)
    (tmp_path / "elsewhere").unlink()
    (tmp_path / "gone").rename(tmp_path / "elsewhere")
    settle_keys(away)
    assert pins(service) == [service.key.key_id]
    with service.ledger.read() as reader:
        assert check_anchor(away, reader) is not None
