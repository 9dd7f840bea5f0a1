"""Train the same summariser, and let a person decide what becomes of a blocked run: **waits for a reviewer**.

One word differs from `train_meeting_summary`: `on_block="review"`. The gate parks and stands among Airflow's
*Required Actions*. A reviewer has it checked again once the missing consents are recorded, trains on the consented
subset, or keeps it blocked; nobody there can consent for a customer. A week without an answer keeps it blocked.
"""

from datetime import timedelta

from airflow.sdk import dag

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, training, use
from gate.demo.places import lake_uri

LAKE = lake_uri()
RECORDINGS = dataset(f"{LAKE}/meetings/recordings", account="path:{account}/*")
CHAT = dataset(f"{LAKE}/meetings/chat/chat.jsonl", account="account_id")
TRANSCRIPTS = dataset(f"{LAKE}/meetings/transcripts", account="path:{account}/*.vtt")
USE = use("train", feature="meeting_summary", model="ms-1")


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["consent-gate", "demo"])
def train_meeting_summary_review():
    tags = [
        TagDatasetOperator(task_id="tag_recordings", dataset=RECORDINGS, declare=["audio", "video"]),
        TagDatasetOperator(task_id="tag_chat", dataset=CHAT, declare=["chat"]),
        TagDatasetOperator(task_id="tag_transcripts", dataset=TRANSCRIPTS, declare=["chat", "audio"]),
    ]
    gate = ConsentGateOperator(
        task_id="consent_gate",
        datasets=[RECORDINGS, CHAT, TRANSCRIPTS],
        use=USE,
        on_block="review",
        review_timeout=timedelta(days=7),
    )

    @training(reads=[RECORDINGS, CHAT, TRANSCRIPTS], use=USE)
    def train(permit):
        from gate.demo import models, places

        folder = places.output_folder("train_meeting_summary_review", permit.run.run_id)
        with permit.open(RECORDINGS) as sound, permit.open(CHAT) as chat, permit.open(TRANSCRIPTS) as text:
            models.train_meeting_summary(sound.paths(), chat.pandas(), text.paths(), folder)
        return permit.produced(folder / places.MODEL)

    tags >> gate >> train()


train_meeting_summary_review()
