"""Looks into a dataset's files on Spark's executors, each by the detection that looks into it on one machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gate.domain.dataset import Dataset
from gate.errors import CannotDecide
from gate.scan.detect.examination import FileSeen, examine_file
from gate.scan.detect.recognisers import RecogniserError, installed
from gate.scan.detect.signals import load_signals
from gate.scan.location import FileRef
from gate.scan.readers import FILE
from gate.scan.spark.cluster import Spark, computing, session
from gate.scan.spark.counting import checked, each_file
from gate.scan.spark.executors import Task, per_file

_SEEN = "gate_seen"


def examined(dataset: Dataset, files: Sequence[FileRef], spark: Spark) -> list[FileSeen]:
    """Return what each file shows, in their order.

    Raises:
        DatasetError: the executors see other files.
        CannotDecide: Spark failed, or the executors have other recognisers.
        RecogniserError: a recogniser of another package does not work.
    """
    with session(spark) as own, computing(dataset):
        found = checked(each_file(_looking(tuple(files)), tuple(files), own))
    told = dict(zip(found[FILE].to_pylist(), found[_SEEN].to_pylist(), strict=True))
    return [_read(json.loads(told[place])) for place in range(len(files))]


def _looking(files: tuple[FileRef, ...]) -> Task:
    here = [name for name, _ in installed()]

    def look(file: FileRef, place: int) -> Iterable[Mapping[str, Any]]:
        try:
            there = [name for name, _ in installed()]
            if there != here:  # whoever lacks one finds less
                hint = "install the same packages on Spark's executors as here"
                raise CannotDecide("Spark's executors have other recognisers", where="engine", hint=hint)
            seen = examine_file(file, load_signals())
        except RecogniserError as error:
            raise CannotDecide(error.message, where=error.where, hint=error.hint) from None
        return [{FILE: [place], _SEEN: [json.dumps(asdict(seen))]}]

    return per_file(files, look, {FILE: "int64", _SEEN: "string"})


def _read(told: Mapping[str, Any]) -> FileSeen:
    return FileSeen(
        sure=tuple(told["sure"]),
        questions=tuple(told["questions"]),
        signals=tuple((category, signal) for category, signal in told["signals"]),
        columns=tuple((category, column) for category, column in told["columns"]),
        unread=told["unread"],
    )
