"""Train a meeting summariser on everybody's recordings, chat and transcripts: **blocked**.

Tag what each dataset holds, ask the gate, train. Some accounts never agreed, so the gate fails and says who lacks
what; the training task never starts. Even if somebody marks the gate successful, `@training` finds no permit.
"""

from airflow.sdk import dag

from gate.airflow import ConsentGateOperator, TagDatasetOperator, dataset, training, use
from gate.demo.places import lake_uri

LAKE = lake_uri()
# A dataset is a place, and how its rows or files name the account they belong to.
RECORDINGS = dataset(f"{LAKE}/meetings/recordings", account="path:{account}/*")
CHAT = dataset(f"{LAKE}/meetings/chat/chat.jsonl", account="account_id")
TRANSCRIPTS = dataset(f"{LAKE}/meetings/transcripts", account="path:{account}/*.vtt")
# A use says what for. Who owns the model is looked up in the model registry.
USE = use("train", feature="meeting_summary", model="ms-1")


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["consent-gate", "demo"])
def train_meeting_summary():
    tags = [
        TagDatasetOperator(task_id="tag_recordings", dataset=RECORDINGS, declare=["audio", "video"]),
        TagDatasetOperator(task_id="tag_chat", dataset=CHAT, declare=["chat"]),
        # A transcript is text, and it keeps what its source, the recording, asks for.
        TagDatasetOperator(task_id="tag_transcripts", dataset=TRANSCRIPTS, declare=["chat", "audio"]),
    ]
    gate = ConsentGateOperator(task_id="consent_gate", datasets=[RECORDINGS, CHAT, TRANSCRIPTS], use=USE)

    @training(reads=[RECORDINGS, CHAT, TRANSCRIPTS], use=USE)
    def train(permit):
        from gate.demo import models, places

        folder = places.output_folder("train_meeting_summary", permit.run.run_id)
        with permit.open(RECORDINGS) as sound, permit.open(CHAT) as chat, permit.open(TRANSCRIPTS) as text:
            models.train_meeting_summary(sound.paths(), chat.pandas(), text.paths(), folder)
        return permit.produced(folder / places.MODEL)

    tags >> gate >> train()


train_meeting_summary()
