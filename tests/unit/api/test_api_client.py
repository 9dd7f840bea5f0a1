"""What a worker believes: answers of the service it pinned, and nothing that merely looks like one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

import gate.api.sending as sending
from gate.api.client import RemoteService
from gate.domain.run import Confirmed, TaskRun
from gate.errors import Blocked, CannotDecide, DatasetError, InputError, LedgerUnavailable, PermitRefused
from gate.permits.keys import PublicKey
from gate.service.core import Service, set_up
from gate.service.deciding import decide
from gate.service.ports import Redeemed, RedemptionRequest
from gate.service.settings import read_settings
from gate.service.tagging import tag_dataset
from gate.service.worker import check_still_standing, redeem
from support.served import Served, listening, served
from support.world import ASKING, RUN, TRAIN, USE, Clock, add_account, chat_file, event, new_service, say

TOKEN = f"gate_{'0' * 16}_secret"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "RETRY_FOR", 0.3)
    monkeypatch.setattr(sending, "FIRST_PAUSE", 0.01)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def here(tmp_path: Path, clock: Clock) -> Iterator[Served]:
    with new_service(tmp_path / "home", clock) as service:
        service.confirm = lambda run: Confirmed()
        add_account(service, "acme")
        say(service, event("acme"))
        with served(service) as running:
            yield running


def permitted(here: Served, folder: Path) -> tuple[RemoteService, Any]:
    """Tag and decide over the wire; return the worker's service and its dataset."""
    remote, data = here.remote(), chat_file(folder, ["acme"] * 3)
    tag_dataset(remote, data, ["chat"], by="ignored", via="ui")
    assert decide(remote, [data], USE, ASKING).allowed
    return remote, data


def test_a_worker_tags_decides_redeems_and_checks(here: Served, tmp_path: Path) -> None:
    remote, data = permitted(here, tmp_path)
    redeemed = redeem(remote, TRAIN, [data], USE, by="ignored")
    assert redeemed.permit is not None
    assert redeemed.receipt is not None
    check_still_standing(remote, redeemed)
    assert redeem(remote, TRAIN, [data], USE, by="ignored").index == redeemed.index
    with here.service.ledger.read() as reader:
        by = {
            entry.kind: (entry.by, entry.via) for entry in reader.entries(("tag", "decision", "permit", "redemption"))
        }
    assert set(by.values()) == {("service:worker", "airflow")}  # never what the worker says of itself
    say(here.service, event("acme", "withdraw", effective_at="2023-12-01T00:00:00Z"))
    with pytest.raises(PermitRefused) as refused:
        check_still_standing(remote, redeemed)
    assert refused.value.reason == "consent_withdrawn"
    with pytest.raises(PermitRefused):
        redeem(remote, replace(TRAIN, try_number=2), [data], USE, by="ignored")
    found = remote.refusal_of_run(TRAIN.dag_id, TRAIN.run_id)
    assert found is not None
    assert found["reason"] == "consent_withdrawn"


def test_a_block_arrives_as_one_with_its_subset(here: Served, tmp_path: Path) -> None:
    from gate.service.subsetting import decide_on_subset

    add_account(here.service, "bolt")
    remote, data = here.remote(), chat_file(tmp_path, ["acme", "bolt", "acme"])
    tag_dataset(remote, data, ["chat"], by="ignored", via="airflow")
    blocked = decide(remote, [data], USE, ASKING)
    assert (blocked.allowed, blocked.reasons) == (False, ["no_consent"])
    assert remote.decision_of_run(RUN.dag_id, RUN.run_id) == blocked == remote.recorded_decision(RUN)
    subset = decide_on_subset(remote, blocked, USE, ASKING, (tmp_path / "subsets").as_uri())
    assert subset.allowed
    redeemed = redeem(remote, TRAIN, [data], USE, by="ignored")
    assert redeemed.version_for(data).subset_of == data.uri


def test_a_preview_records_nothing(here: Served, tmp_path: Path) -> None:
    from gate.service.deciding import preview

    remote, data = here.remote(), chat_file(tmp_path, ["acme"])
    size = remote.ledger_size()
    seen, decision = preview(remote, [data], USE)
    assert (seen, decision.verdict.value) == (size, "block")
    assert remote.ledger_size() == size
    assert remote.recorded_decision(RUN) is None
    assert remote.permit_of(TRAIN) is None
    assert remote.decision_of_run("nobody", "never") is None
    assert remote.refusal_of_run("nobody", "never") is None


def test_errors_are_what_they_were_at_the_service(here: Served, tmp_path: Path) -> None:
    remote, data = permitted(here, tmp_path)

    def not_running(run: TaskRun) -> Confirmed:
        raise PermitRefused("it is not running", reason="permit_mismatch", hint="start it")

    def no_airflow(run: TaskRun) -> Confirmed:
        raise CannotDecide("Airflow is away", reason="cannot_decide")

    here.service.confirm = not_running
    with pytest.raises(PermitRefused, match="not running") as refused:
        redeem(remote, TRAIN, [data], USE, by="x")
    assert (refused.value.reason, refused.value.hint) == ("permit_mismatch", "start it")
    here.service.confirm = no_airflow
    with pytest.raises(CannotDecide, match="Airflow is away"):
        redeem(remote, TRAIN, [data], USE, by="x")


def test_a_token_without_the_scope_decides_nothing(here: Served, tmp_path: Path) -> None:
    with pytest.raises(CannotDecide, match="scope tag"):
        tag_dataset(here.remote("read"), chat_file(tmp_path, ["acme"]), ["chat"], by="x", via="airflow")


# A service that lies


def liar(here: Served, change: Callable[[dict[str, Any]], Any], path: str = "/api/v1/redemptions") -> FastAPI:
    """Return an app that passes everything on to the real service and changes one answer."""
    app = FastAPI()
    client = here.http("tag", "decide", "redeem")

    @app.api_route("/{rest:path}", methods=["GET", "POST"])
    async def anything(rest: str, request: Request) -> Response:
        kept = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        body = await request.body()
        answer = client.request(request.method, "/" + rest, params=request.query_params, content=body, headers=kept)
        if "/" + rest != path or not answer.is_success:
            return Response(answer.content, answer.status_code, media_type=answer.headers["Content-Type"])
        changed = change(answer.json())
        return changed if isinstance(changed, Response) else JSONResponse(changed, answer.status_code)

    return app


def redeem_from(app: FastAPI, here: Served, data: Any, keys: Sequence[PublicKey] | None = None) -> Redeemed:
    with listening(app) as url:
        keys = here.service.pinned_keys if keys is None else keys
        remote = RemoteService(url, TOKEN, keys, settings=here.service.settings, clock=here.service.clock)
        with remote:
            return redeem(remote, TRAIN, [data], USE, by="x")


def test_an_honest_go_between_is_believed(here: Served, tmp_path: Path) -> None:
    _, data = permitted(here, tmp_path)
    assert redeem_from(liar(here, lambda answer: answer), here, data).index > 0


@pytest.mark.parametrize(
    "change",
    [
        lambda a: {**a, "receipt": None},
        lambda a: {**a, "receipt": {}},
        lambda a: {**a, "receipt": a["envelope"]},
        lambda a: {**a, "index": a["index"] - 1},
        lambda a: {**a, "envelope": None},
        lambda a: {**a, "envelope": {**a["envelope"], "signatures": []}},
        lambda a: {**a, "versions": [{**a["versions"][0], "uri": "file:///somewhere/else"}]},
        lambda a: {**a, "versions": []},
        lambda a: {**a, "run": {**a["run"], "try_number": 9}},
        lambda a: {**a, "use": {**a["use"], "model": "other"}},
    ],
)
def test_an_answer_that_was_changed_is_refused(
    here: Served, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    _, data = permitted(here, tmp_path)
    with pytest.raises(PermitRefused):
        redeem_from(liar(here, change), here, data)


def test_a_service_with_another_key_is_refused(here: Served, tmp_path: Path) -> None:
    _, data = permitted(here, tmp_path)
    with set_up(read_settings({"GATE_HOME": str(tmp_path / "other")}), clock=here.service.clock) as other:
        theirs = other.pinned_keys
    with pytest.raises(PermitRefused):
        redeem_from(liar(here, lambda answer: answer), here, data, theirs)


def test_an_old_answer_is_refused(here: Served, tmp_path: Path, clock: Clock) -> None:
    _, data = permitted(here, tmp_path)
    kept: list[dict[str, Any]] = []
    redeem_from(liar(here, lambda answer: kept.append(answer) or answer), here, data)
    with pytest.raises(PermitRefused, match="nonce"):
        redeem_from(liar(here, lambda _: kept[0]), here, data)

    class Ahead:
        def __call__(self) -> Any:
            return clock.now.replace(minute=clock.now.minute + 5)

    late = here.remote(clock=Ahead())
    with pytest.raises(PermitRefused, match="issued"):
        redeem(late, TRAIN, [data], USE, by="x")


def test_the_right_receipt_of_a_permit_for_other_data_is_refused(here: Served, tmp_path: Path) -> None:
    """The service itself is made to accept; the worker compares with what it measured."""
    remote, data = permitted(here, tmp_path)
    version = decide(remote, [data], USE, ASKING).versions[0]
    request = RedemptionRequest(TRAIN, (data,), USE, {version.key: version.digest}, "a" * 64)
    lied = RedemptionRequest(TRAIN, (data,), USE, {version.key: "sha256:" + "0" * 64}, "a" * 64)
    answer = here.http("redeem").post("/api/v1/redemptions", json=request.to_dict()).json()
    with listening(liar(here, lambda _: answer)) as url:
        settings, clock = here.service.settings, here.service.clock
        with RemoteService(url, TOKEN, here.service.pinned_keys, settings=settings, clock=clock) as forwarding:
            assert forwarding.record_redemption(request, by="x").index == answer["index"]
            with pytest.raises(PermitRefused):
                forwarding.record_redemption(lied, by="x")


@pytest.mark.parametrize(
    "change",
    [
        lambda new, old: {"standing": True},
        lambda new, old: {**new, "receipt": None},
        lambda new, old: {**new, "receipt": {}},
        lambda new, old: {**new, "receipt": []},
        lambda new, old: old,
        lambda new, old: {**new, "receipt": {**new["receipt"], "signatures": []}},
    ],
)
def test_a_permission_stands_only_by_a_fresh_receipt(
    here: Served, tmp_path: Path, change: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
) -> None:
    remote, data = permitted(here, tmp_path)
    redeemed = redeem(remote, TRAIN, [data], USE, by="x")
    kept: list[dict[str, Any]] = []
    with listening(liar(here, lambda answer: kept.append(answer) or answer, "/api/v1/checks")) as url:
        settings, clock = here.service.settings, here.service.clock
        with RemoteService(url, TOKEN, here.service.pinned_keys, settings=settings, clock=clock) as honest:
            check_still_standing(honest, redeemed)
    app = liar(here, lambda answer: change(answer, kept[0]), "/api/v1/checks")
    with (
        listening(app) as url,
        RemoteService(url, TOKEN, here.service.pinned_keys, settings=settings, clock=clock) as lying,
        pytest.raises(PermitRefused),
    ):
        check_still_standing(lying, redeemed)


# A service that is not one


def answering(*answers: Response) -> tuple[FastAPI, list[Request]]:
    """Return an app that gives these answers one after the other, the last one again and again."""
    app, seen = FastAPI(), list[Request]()

    @app.api_route("/{rest:path}", methods=["GET", "POST"])
    async def anything(rest: str, request: Request) -> Response:
        seen.append(request)
        return answers[min(len(seen), len(answers)) - 1]

    return app, seen


def refused(message: str | None = None) -> Any:
    return pytest.raises(CannotDecide, match=message)


@pytest.fixture
def key(here: Served) -> Sequence[PublicKey]:
    return here.service.pinned_keys


@pytest.mark.parametrize(
    "answer",
    [
        HTMLResponse("<html>welcome</html>"),
        HTMLResponse("<html>error</html>", 500),
        HTMLResponse("<html>log in</html>", 401),
        RedirectResponse("http://127.0.0.1:1/elsewhere"),
        Response(status_code=204),
        Response(b"{", media_type="application/json"),
        Response(b"[]", media_type="application/json"),
        Response(b"[" * 100_000, media_type="application/json"),
        JSONResponse({}),
        JSONResponse({"size": "7"}),
        JSONResponse({"size": -1}),
        JSONResponse({"size": True}),
        JSONResponse({"standing": False}),
        Response(b" " * (sending.MAX_ANSWER + 1), media_type="application/json"),
    ],
    ids=lambda answer: f"{answer.status_code}-{answer.body[:20]!r}",
)
def test_what_is_no_answer_decides_nothing(answer: Response, key: Sequence[PublicKey], tmp_path: Path) -> None:
    app, _ = answering(answer)
    with listening(app) as url, RemoteService(url, TOKEN, key, settings=read_settings(home=tmp_path)) as remote:
        for ask in (
            remote.ledger_size,
            lambda: remote.permit_of(TRAIN),
            lambda: remote.recorded_decision(RUN),
            lambda: remote.pinned_keys,
            lambda: remote.record_check(Redeemed(None, 1, TRAIN, None, (), 0)),  # type: ignore[arg-type]
            lambda: remote.preview([], USE),
            lambda: remote.decision_of_run("d", "r"),
        ):
            with pytest.raises(CannotDecide):
                ask()


def test_it_tries_again_for_a_moment_and_then_gives_up(
    key: Sequence[PublicKey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, fine = HTMLResponse("bad gateway", 502), JSONResponse({"size": 7})
    settings = read_settings(home=tmp_path)
    app, seen = answering(busy, busy, fine)
    monkeypatch.setattr(sending, "RETRY_FOR", 30.0)  # a slow machine's first answer may take longer than a moment
    with listening(app) as url, RemoteService(url, TOKEN, key, settings=settings) as remote:
        assert remote.ledger_size() == 7
    assert len(seen) == 3
    monkeypatch.setattr(sending, "RETRY_FOR", 2.0)
    app, seen = answering(busy)
    with listening(app) as url, RemoteService(url, TOKEN, key, settings=settings) as remote, refused():
        remote.ledger_size()
    assert 2 <= len(seen) < 50
    for status in (400, 403, 404, 500):
        app, seen = answering(HTMLResponse("no", status))
        with listening(app) as url, RemoteService(url, TOKEN, key, settings=settings) as remote, refused():
            remote.ledger_size()
        assert len(seen) == 1


def test_a_write_is_repeated_under_one_key(
    key: Sequence[PublicKey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "RETRY_FOR", 30.0)
    app, seen = answering(HTMLResponse("bad gateway", 502), JSONResponse({"index": 1}))
    with listening(app) as url, RemoteService(url, TOKEN, key, settings=read_settings(home=tmp_path)) as remote:
        assert remote.write("/acts", {"act": "mode"}) == {"index": 1}
        assert remote.write("/acts", {"act": "mode"}) == {"index": 1}
    first, again, other = (request.headers["Idempotency-Key"] for request in seen)
    assert first == again != other


def test_nobody_there(key: Sequence[PublicKey], tmp_path: Path) -> None:
    settings = read_settings(home=tmp_path)
    with RemoteService("http://127.0.0.1:9", TOKEN, key, settings=settings) as remote, refused("cannot be reached"):
        remote.ledger_size()


def test_a_service_that_stops_in_the_middle_comes_back_to_the_same_answer(here: Served, tmp_path: Path) -> None:
    remote, data = permitted(here, tmp_path)
    first = redeem(remote, TRAIN, [data], USE, by="x")
    size = remote.ledger_size()
    with served(here.service) as again:  # the worker never saw the answer and asks the restarted service
        assert redeem(again.remote(), TRAIN, [data], USE, by="x").index == first.index
    assert here.service.ledger_size() == size + 1  # a token, and no second redemption


@pytest.mark.parametrize(
    "url",
    [
        "http://gate.example:8686",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
        "https://user:pass@gate.example",
        "https://gate.example/?x=1",
        "ftp://127.0.0.1",
        "gate.example",
        "",
        "https://",
        "https://gate.example:99999",
        "http://[::1",
    ],
)
def test_addresses_that_are_refused(url: str, key: Sequence[PublicKey]) -> None:
    with pytest.raises(InputError):
        RemoteService(url, TOKEN, key)


def test_what_else_a_worker_must_have(key: Sequence[PublicKey], tmp_path: Path) -> None:
    settings = read_settings(home=tmp_path)
    for token in ("", "x\ny", "ü"):
        with pytest.raises(InputError):
            RemoteService("https://gate.example", token, key, settings=settings)
    with pytest.raises(InputError):
        RemoteService("https://gate.example", TOKEN, (), settings=settings)
    for url in ("https://gate.example", "https://gate.example:8686/prefix/", "http://[::1]:8686", "http://localhost:1"):
        RemoteService(url, TOKEN, key, settings=settings).close()


def test_the_token_never_shows(
    here: Served, tmp_path: Path, key: Sequence[PublicKey], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = here.token()
    remote = RemoteService(here.url, token, key, settings=read_settings(home=tmp_path))
    remote.ledger_size()
    here.service.confirm = None  # type: ignore[assignment]  # breaks the service inside
    with remote, pytest.raises(CannotDecide) as failed:
        remote.record_redemption(RedemptionRequest(TRAIN, (), USE, {}, "a" * 64), by="x")
    secret = token.split("_", 2)[2]
    assert secret not in caplog.text + repr(remote) + repr(vars(remote)) + str(failed.value) + repr(failed.value)


def test_a_rotated_key_is_trusted_through_the_one_that_is_pinned(here: Served, tmp_path: Path) -> None:
    from gate.service.acts import act_alone

    old = here.service.pinned_keys
    act_alone(here.service, "key_rotation", {}, by="eve")
    add = here.remote()
    data = chat_file(tmp_path, ["acme"])
    tag_dataset(add, data, ["chat"], by="x", via="airflow")
    decide(add, [data], USE, ASKING)
    with RemoteService(here.url, here.token(), old, settings=here.service.settings, clock=here.service.clock) as worker:
        assert {key.key_id for key in worker.pinned_keys} > {key.key_id for key in old}
        assert redeem(worker, TRAIN, [data], USE, by="x").permit is not None


def test_blocked_kinds_stay_apart(here: Served) -> None:
    """Retried or not: what a task does next depends on the class."""
    assert issubclass(PermitRefused, Blocked)
    assert issubclass(DatasetError, CannotDecide)
    assert issubclass(LedgerUnavailable, CannotDecide)
    assert isinstance(here.service, Service)
