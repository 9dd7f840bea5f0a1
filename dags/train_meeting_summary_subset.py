"""Train the same summariser on the accounts that agreed: **allowed on the consented subset**.

One word differs from `train_meeting_summary`: `on_block="subset"`. Where missing consent is all that blocks, the gate
writes the consented rows and files as new dataset versions and permits only these. The training code does not change:
`permit.open` opens the subset.
"""

from airflow.sdk import dag

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, training, use
from gate.demo.places import lake_uri

LAKE = lake_uri()
RECORDINGS = dataset(f"{LAKE}/meetings/recordings", account="path:{account}/*")
CHAT = dataset(f"{LAKE}/meetings/chat/chat.jsonl", account="account_id")
TRANSCRIPTS = dataset(f"{LAKE}/meetings/transcripts", account="path:{account}/*.vtt")
USE = use("train", feature="meeting_summary", model="ms-1")


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["consent-gate", "demo"])
def train_meeting_summary_subset():
    tags = [
        TagDatasetOperator(task_id="tag_recordings", dataset=RECORDINGS, declare=["audio", "video"]),
        TagDatasetOperator(task_id="tag_chat", dataset=CHAT, declare=["chat"]),
        TagDatasetOperator(task_id="tag_transcripts", dataset=TRANSCRIPTS, declare=["chat", "audio"]),
    ]
    gate = ConsentGateOperator(
        task_id="consent_gate", datasets=[RECORDINGS, CHAT, TRANSCRIPTS], use=USE, on_block="subset"
    )

    @training(reads=[RECORDINGS, CHAT, TRANSCRIPTS], use=USE)
    def train(permit):
        from gate.demo import models, places

        folder = places.output_folder("train_meeting_summary_subset", permit.run.run_id)
        with permit.open(RECORDINGS) as sound, permit.open(CHAT) as chat, permit.open(TRANSCRIPTS) as text:
            models.train_meeting_summary(sound.paths(), chat.pandas(), text.paths(), folder)
        return permit.produced(folder / places.MODEL)

    tags >> gate >> train()


train_meeting_summary_subset()
