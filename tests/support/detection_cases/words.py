"""Invented names, sentences and numbers that the cases are made of."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

NAMES = ("Mira Holt", "Jonas Pell", "Aiko Tanabe", "Lucia Ferro", "Omar Said", "Greta Lind", "Tomas Vega", "Nora Quist")
FIRST = tuple(name.split()[0] for name in NAMES)
SAID = (
    "can you send me the slides before lunch?",
    "sure, I will do it right away",
    "thanks, you are the best",
    "we should move the meeting to Tuesday",
    "I don't think that works for us",
    "ok, what about Thursday then?",
    "yes, Thursday is fine with me",
    "did you see my last mail?",
    "no, sorry, I was on the train",
    "please call me when you are free",
    "I just talked to the customer and they want a refund",
    "let me check that for you, one moment",
    "great, see you tomorrow",
    "hi, how are you today?",
)
SAID_IN = {
    "de": (
        "kannst du mir die Folien schicken?",
        "ja, das mache ich gleich",
        "danke, das ist nett von dir",
        "wir sollten den Termin verschieben",
        "ich bin morgen leider nicht da",
        "hast du meine Mail gesehen?",
        "nein, ich war im Zug",
    ),
    "fr": (
        "tu peux m'envoyer le document ?",
        "oui, je le fais tout de suite",
        "merci beaucoup à vous",
        "nous devons changer la date",
        "je ne suis pas là demain",
        "vous avez vu mon message ?",
        "non, j'étais dans le train",
    ),
    "es": (
        "¿me puedes enviar el documento?",
        "sí, lo hago ahora mismo",
        "muchas gracias a usted",
        "nosotros tenemos que cambiar la fecha",
        "yo no puedo mañana",
        "hola, ¿cómo estás?",
        "no, estaba en el tren",
    ),
    "pt": (
        "você pode me enviar o documento?",
        "sim, eu faço agora mesmo",
        "muito obrigado a vocês",
        "não posso amanhã, eu viajo",
        "oi, tudo bem com você?",
        "você viu minha mensagem?",
    ),
    "ja": (
        "資料を送ってもらえますか？",
        "はい、すぐに送ります",
        "ありがとうございます",
        "会議を火曜日に変えましょうか？",
        "すみません、明日は休みです",
        "メールを見ましたか？",
    ),
    "zh": (
        "你能把资料发给我吗？",
        "好的，我马上发给你",
        "谢谢你的帮助",
        "我们把会议改到星期二吧",
        "我明天不在，你找小王吧",
        "你看到我的邮件了吗？",
    ),
}
TITLES = (
    "The Long Harvest",
    "A Winter Abroad",
    "Signals at Dawn",
    "The Glass Orchard",
    "Rivers of Salt",
    "Nine Quiet Rooms",
    "Under the Copper Sky",
    "Letters to No One",
)
ICD = ("E11.9", "I10", "J45.909", "K21.9", "M54.5", "N39.0", "F32.9", "J18.9", "I25.10", "E78.5")
DIAGNOSES = (
    "Essential hypertension",
    "Type 2 diabetes mellitus",
    "Pneumonia",
    "Asthma",
    "Acute bronchitis",
    "Sepsis",
    "Chest pain",
    "Coronary artery disease",
)
DRUGS = (
    "Metformin 500 mg oral tablet",
    "Lisinopril 10 mg",
    "Aspirin 81 mg",
    "Furosemide 40 mg",
    "Insulin glargine",
    "Amoxicillin 250 mg",
)
START = datetime(2024, 3, 4, 8, 0, 0)  # noqa: DTZ001 a wall clock of no place


def dice(*parts: object) -> random.Random:
    """Return random numbers that are the same for the same words."""
    return random.Random(":".join(map(str, parts)))


def at(number: int, step: float = 37.0) -> datetime:
    """Return a moment, the later the higher the number."""
    return START + timedelta(seconds=step * number)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], delimiter: str = ",") -> str:
    """Return rows as CSV text."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    if header:
        writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def lines(items: Iterable[Any]) -> str:
    """Return objects as JSON lines, texts as lines."""
    return "".join((one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)) + "\n" for one in items)
