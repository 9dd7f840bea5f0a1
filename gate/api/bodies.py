"""What workers send: the values of `gate.service.ports`, checked field by field before anything is done with them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gate.service.answers import MAX_NOTE

MAX_COUNT = 2**53 - 1  # what canonical JSON can hold
MAX_DATASETS = 64  # in one request
MAX_OPTIONS = 10  # of a question to a reviewer
MAX_FACTS = 1000  # lines of evidence or contradictions

Text = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=r"^[^\x00]*$")]
Note = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NOTE, pattern=r"^[^\x00]*$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Nonce = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Pair = Annotated[tuple[Text, Text], Field(strict=False)]  # JSON has no tuples
Evidence = Annotated[tuple[Text, Text, Count], Field(strict=False)]


class Body(BaseModel):
    """A request's body: unknown fields are errors, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Run(Body):
    """One try of one task instance."""

    dag_id: Text
    run_id: Text
    task_id: Text
    map_index: Annotated[int, Field(ge=-1, le=MAX_COUNT)] = -1
    try_number: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 1


class DatasetName(Body):
    """A dataset as a DAG author names it."""

    uri: Uri
    account: Uri
    category_column: Text | None = None


class Version(DatasetName):
    """A dataset version: what the worker found when it looked."""

    digest: Digest
    files: Count
    size: Count
    subset_of: Uri | None = None


class Use(Body):
    """What a task wants; who owns the model is looked up."""

    purpose: Text
    feature: Text | None = None
    model: Text | None = None


class ContractRule(Body):
    """How one rule of a data contract went on one column."""

    category: Text
    rule: Text
    says: Text
    severity: Text
    kind: Text
    column: Text
    outcome: Text
    values: Count = 0
    empty: Count = 0
    unexpected: Count = 0
    error: Annotated[str, StringConstraints(max_length=500)] = ""


class Contract(Body):
    """How the data contracts of a version's categories went."""

    outcome: Text | None = None
    categories: Annotated[list[Text], Field(max_length=MAX_FACTS)]
    rules: Annotated[list[ContractRule], Field(max_length=MAX_FACTS)]
    rows: Count
    checked_at: Text
    suite: Annotated[str, StringConstraints(max_length=500)] = ""
    gx: Annotated[str, StringConstraints(max_length=500)] = ""
    note: Annotated[str, StringConstraints(max_length=500)] = ""


class Tag(Body):
    """What a worker says of one dataset version."""

    version: Version
    declared: Annotated[list[Text], Field(max_length=MAX_FACTS)] = []
    detected: Annotated[list[Text], Field(max_length=MAX_FACTS)] = []
    source: Version | None = None
    evidence: Annotated[list[Evidence], Field(max_length=MAX_FACTS)] = []
    contradictions: Annotated[list[Uri], Field(max_length=MAX_FACTS)] = []
    unreadable: Count = 0
    run: Run | None = None
    columns: Annotated[list[Pair], Field(max_length=MAX_FACTS)] = []
    questions: Annotated[list[Uri], Field(max_length=MAX_FACTS)] = []
    made_from: Annotated[list[Uri], Field(max_length=MAX_FACTS)] = []
    resolve: Annotated[list[Text], Field(max_length=MAX_FACTS)] = []
    contract: Contract | None = None


class Lineage(Body):
    """The OpenLineage job and run under which the decision's event appears."""

    namespace: Text
    job: Text
    run_id: Text


class Question(Body):
    """Who asks, and for which tasks; by whom is known from the token."""

    run: Run
    consumers: Annotated[list[Text], Field(max_length=MAX_FACTS)]
    lineage: Lineage | None = None
    elsewhere: Annotated[list[Pair], Field(max_length=MAX_FACTS)] = []


class Looks(Body):
    """The dataset versions a worker looked at; their censuses follow as files, in the same order."""

    versions: Annotated[list[Version], Field(min_length=1, max_length=MAX_DATASETS)]
    wanted: Use


class Deciding(Looks):
    """A question for a decision."""

    asking: Question


class Review(Body):
    """What a reviewer answered to a blocked gate, as the worker heard it."""

    run: Run
    decision: Count
    round: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    answer: Text
    options: Annotated[list[Text], Field(max_length=MAX_OPTIONS)]
    responder: Text | None = None
    answered_at: Text | None = None
    note: Note | None = None


class Redemption(Body):
    """What a training task shows to redeem its permit."""

    run: Run
    reads: Annotated[list[DatasetName], Field(max_length=MAX_DATASETS)]
    wanted: Use
    measured: Annotated[dict[Digest, Digest | None], Field(max_length=MAX_DATASETS)]
    nonce: Nonce


class Model(Body):
    """What a training task says it produced, for the redemption of its own try."""

    redemption: Count
    run: Run
    model: Version


class Check(Body):
    """A redemption whose permission is to be looked at again."""

    index: Count
    run: Run
    nonce: Nonce
