"""The words steps are made of: what is known of a block, and one thing to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gate.domain.dataset import DatasetVersion
from gate.domain.decision import Decision
from gate.domain.run import TaskRun
from gate.domain.words import Reason

Link = Literal["requests", "accounts", "policy", "gate_task", "model", "log"]


@dataclass(frozen=True, slots=True)
class Concerned:
    """An account that lacks something; `name` is `None` where it is erased or may not be shown."""

    ref: str
    name: str | None
    reasons: frozenset[Reason]


@dataclass(frozen=True, slots=True)
class Case:
    """A decision that blocks, and what is known around it.

    Attributes:
        run: the gate task's try, without suffixes.
        accounts: those the ledger kept in detail; all of them unless there are too many.
        accounts_blocked: how many there are.
        changed: something the decision rests on was recorded since.
        refusal: reason for which the training task was turned away after the decision.
    """

    decision: Decision
    run: TaskRun
    datasets: tuple[DatasetVersion, ...]
    accounts: tuple[Concerned, ...] = ()
    accounts_blocked: int = 0
    changed: bool = False
    refusal: Reason | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        title: what, in a few words.
        text: how, and what it leads to.
        command: what to copy, if it can be copied.
        command_for: what the command is for, where it is not the step itself.
        link, target: kind of page that helps, and which: a reference, a policy row, a model.
        accounts: the accounts to talk to, as far as they are known.
        reasons: reason codes the step lifts, with how many accounts have them (0: not about accounts).
        instead: another way than the steps before it.
    """

    title: str
    text: str
    command: str | None = None
    command_for: str = ""
    link: Link | None = None
    target: str = ""
    accounts: tuple[Concerned, ...] = ()
    reasons: tuple[tuple[Reason, int], ...] = ()
    instead: bool = False
