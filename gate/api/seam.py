"""What workers ask over HTTP: a route per question of `gate.service.ports.DecisionService`; the token says by whom."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from gate.api.auth import Principal, needs
from gate.api.bodies import MAX_DATASETS, Check, Deciding, Looks, Model, Redemption, Review, Tag, Text, Version
from gate.api.health import service_of
from gate.api.metrics import Metrics
from gate.api.wire import API
from gate.domain.dataset import DatasetVersion
from gate.domain.decision import wanted_use
from gate.domain.run import TaskRun
from gate.errors import GateError, InputError, PermitRefused
from gate.scan.census import Census, Look, check_census
from gate.service.answers import ReviewAnswer
from gate.service.core import Service
from gate.service.facts import scratch
from gate.service.outcome import Asking, Outcome
from gate.service.ports import Produced, RedemptionRequest, TagStatement
from gate.service.receipts import find_redemption, sign_receipt

MAX_QUESTION = 1_048_576  # bytes of the JSON part beside censuses
COPY = 1_048_576  # bytes copied at a time
ZIP = "application/zip"

router = APIRouter(prefix=API, tags=["workers"])

_B = TypeVar("_B", bound=BaseModel)

Tags = Annotated[Principal, needs("tag")]
Decides = Annotated[Principal, needs("decide")]
Redeems = Annotated[Principal, needs("redeem")]
Works = Annotated[Principal, needs("read", "tag", "decide", "redeem")]


def _run(
    dag_id: Annotated[Text, Query()],
    run_id: Annotated[Text, Query()],
    task_id: Annotated[Text, Query()],
    map_index: Annotated[int, Query(ge=-1)] = -1,
    try_number: Annotated[int, Query(ge=1)] = 1,
) -> TaskRun:
    return TaskRun(dag_id, run_id, task_id, map_index, try_number)


OfTry = Annotated[TaskRun, Depends(_run)]


@router.post("/tags", status_code=201)
def record_tag(body: Tag, request: Request, caller: Tags) -> JSONResponse:
    """Record what a worker says of a dataset version; answer everything recorded of it."""
    statement = TagStatement.from_dict(body.model_dump())
    # A worker's word is the DAG author's, however it travels: it never counts as a second person's.
    tagged = service_of(request).record_tag(statement, by=caller.actor, via="airflow")
    return JSONResponse(tagged.to_dict(), 201)


@router.get("/decisions")
def recorded_decision(run: OfTry, request: Request, _: Decides) -> JSONResponse:
    """Show what was decided for this very try, if it asked before."""
    return _maybe("decision", service_of(request).recorded_decision(run))


_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["question", "census"],
                    "properties": {
                        "question": {"type": "string", "contentMediaType": "application/json"},
                        "census": {
                            "type": "array",
                            "maxItems": MAX_DATASETS,
                            "items": {"type": "string", "contentMediaType": "application/vnd.apache.parquet"},
                        },
                    },
                }
            }
        },
    }
}


@router.post("/decisions", status_code=201, openapi_extra=_UPLOAD)
async def record_decision(request: Request, caller: Decides) -> Response:
    """Decide about what a worker saw, record the answer and issue permits; a try that asked before gets its answer."""

    def decide(service: Service, question: Deciding, looks: list[Look], _: Path) -> Response:
        asking = Asking.from_dict(question.asking.model_dump(), by=caller.actor, via="airflow")
        outcome = service.record_decision(looks, wanted_use(**question.wanted.model_dump()), asking)
        _watched(request).decisions.labels("allow" if outcome.allowed else "block").inc()
        return JSONResponse(outcome.to_dict(), 201)

    return await _with_looks(request, Deciding, decide)


@router.post("/previews", openapi_extra=_UPLOAD)
async def preview(request: Request, _: Decides) -> Response:
    """Say what would be decided now, recording nothing."""

    def answer(service: Service, question: Looks, looks: list[Look], _: Path) -> Response:
        size, decision = service.preview(looks, wanted_use(**question.wanted.model_dump()))
        return JSONResponse({"size": size, "decision": decision.to_dict()})

    return await _with_looks(request, Looks, answer)


@router.post("/passing", openapi_extra=_UPLOAD, response_class=StreamingResponse)
async def passing(request: Request, _: Decides) -> Response:
    """Say which accounts of each dataset pass: a ZIP of `0.parquet`, `1.parquet`, … in the order of the versions."""

    def answer(service: Service, question: Looks, looks: list[Look], folder: Path) -> Response:
        paths = service.passing(looks, wanted_use(**question.wanted.model_dump()), folder)
        packed = TemporaryFile(prefix="gate-")  # noqa: SIM115  # lives until it is sent
        with zipfile.ZipFile(packed, "w") as archive:
            for number, path in enumerate(paths):
                archive.write(path, f"{number}.parquet")
        return StreamingResponse(_sent(packed), media_type=ZIP)

    return await _with_looks(request, Looks, answer)


@router.post("/reviews", status_code=201)
def record_review(body: Review, request: Request, caller: Decides) -> JSONResponse:
    """Record what a reviewer answered to a blocked gate, once Airflow itself has said so; it lets nothing pass."""
    try:
        answer = ReviewAnswer.from_dict(body.model_dump())
    except ValueError:
        raise InputError("is no answer of a reviewer", where="answer") from None
    index = service_of(request).record_review(answer, by=caller.actor, via="airflow")
    return JSONResponse({"index": index}, 201)


@router.get("/permits")
def permit_of(run: OfTry, request: Request, _: Redeems) -> JSONResponse:
    """Show the newest permit of this task of this run, if it has one."""
    return JSONResponse({"permit": service_of(request).permit_of(run)})


@router.post("/redemptions", status_code=201)
def record_redemption(body: Redemption, request: Request, caller: Redeems) -> JSONResponse:
    """Exchange a permit for the right to train now; the answer bears a signed receipt that repeats the nonce."""
    service, counted = service_of(request), _watched(request).redemptions
    try:
        redeemed = service.record_redemption(RedemptionRequest.from_dict(body.model_dump()), by=caller.actor)
        receipt = sign_receipt(service, redeemed, body.nonce)
    except GateError as error:
        refused = isinstance(error, PermitRefused)
        counted.labels("refused" if refused else "failed", error.reason or "none").inc()
        raise
    counted.labels("observed" if redeemed.observed else "redeemed", "none").inc()
    return JSONResponse({**redeemed.to_dict(), "receipt": receipt}, 201)


@router.post("/checks")
def record_check(body: Check, request: Request, _: Redeems) -> JSONResponse:
    """Look again at what a redemption rests on; a permission that is gone is recorded and refused.

    The answer bears a signed receipt that repeats the nonce.
    """
    service = service_of(request)
    redeemed = find_redemption(service, body.index, TaskRun.from_dict(body.run.model_dump()))
    service.record_check(redeemed)
    return JSONResponse({"standing": True, "receipt": sign_receipt(service, redeemed, body.nonce)})


@router.post("/attestations", status_code=201)
def record_attestation(body: Model, request: Request, caller: Redeems) -> JSONResponse:
    """Attest a model to the try that trained it, while that try is running; answer the signed in-toto statement."""
    attested = service_of(request).record_attestation(Produced.from_dict(body.model_dump()), by=caller.actor)
    return JSONResponse(attested.to_dict(), 201)


@router.get("/runs/decision")
def decision_of_run(
    dag_id: Annotated[Text, Query()], run_id: Annotated[Text, Query()], request: Request, _: Works
) -> JSONResponse:
    """Show the newest decision of a DAG run, if there is one."""
    return _maybe("decision", service_of(request).decision_of_run(dag_id, run_id))


@router.get("/runs/refusal")
def refused_run(
    dag_id: Annotated[Text, Query()], run_id: Annotated[Text, Query()], request: Request, _: Works
) -> JSONResponse:
    """Show the newest refused redemption of a DAG run, if there is one."""
    return JSONResponse({"refusal": service_of(request).refusal_of_run(dag_id, run_id)})


def _maybe(name: str, outcome: Outcome | None) -> JSONResponse:
    return JSONResponse({name: outcome and outcome.to_dict()})


def _watched(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


async def _with_looks(
    request: Request, kind: type[_B], answer: Callable[[Service, _B, list[Look], Path], Response]
) -> Response:
    """Take in a question with its censuses, and answer it in a thread."""
    async with request.form(max_files=MAX_DATASETS, max_fields=1, max_part_size=MAX_QUESTION) as form:
        question = _question(form, kind)
        uploads = [item for item in form.getlist("census") if isinstance(item, UploadFile)]

        def work() -> Response:
            with scratch() as folder:
                looks = _looks(question, uploads, Path(folder))
                return answer(service_of(request), question, looks, Path(folder))

        return await run_in_threadpool(work)


def _sent(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        yield from iter(lambda: file.read(COPY), b"")


def _question(form: FormData, kind: type[_B]) -> _B:
    text = form.get("question")
    if not isinstance(text, str):
        raise InputError("is missing", where="question", hint="multipart/form-data with question and census parts")
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


def _looks(question: Any, uploads: list[UploadFile], folder: Path) -> list[Look]:
    versions: list[Version] = question.versions
    if len(versions) != len(uploads):
        raise InputError(f"{len(versions)} versions need as many censuses", where="census")
    looks = []
    for number, (said, upload) in enumerate(zip(versions, uploads, strict=True)):
        path = folder / f"census-{number}.parquet"
        with path.open("wb") as file:
            shutil.copyfileobj(upload.file, file, COPY)
        version = DatasetVersion.from_dict(said.model_dump())
        looks.append(Look(version, check_census(Census(version.dataset, path))))
    return looks
