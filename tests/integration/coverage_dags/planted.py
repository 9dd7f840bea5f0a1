"""What the planted DAG files share."""

from gate.airflow import dataset, mark_training, use

DATA = dataset("/lake/chat.jsonl", "account_id")
USE = use("train", feature="meeting_summary", model="ms-1")
TUNE = use("tune", feature="meeting_summary", model="ms-1")


def marked(task):
    """Lock a task, as its author would."""
    return mark_training(task, reads=[DATA], use=USE)


def unmarked(task):
    """Leave a task to the platform team's rules."""
    return task
