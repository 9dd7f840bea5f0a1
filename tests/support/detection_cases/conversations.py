"""What people say to each other: exports of chats, transcripts, mail and training data, and what only looks like it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from itertools import cycle

from support.detection_cases import Case, case
from support.detection_cases.words import FIRST, NAMES, SAID, SAID_IN, TITLES, at, dice, lines, table


def cases() -> Iterator[Case]:
    yield from _exports()
    yield from _text()
    yield from _transcripts()
    yield from _training()
    yield from _tables()
    yield from _near_misses()


def _turns(number: int = 24, said: Sequence[str] = SAID, people: Sequence[str] = FIRST[:3]) -> list[tuple[str, str]]:
    return [(who, text) for who, text, _ in zip(cycle(people), cycle(said), range(number), strict=False)]


def _exports() -> Iterator[Case]:
    turns = _turns()
    slack = [
        {"type": "message", "user": f"U{n % 3}AB", "text": text, "ts": f"17095{n:05}.000200"}
        for n, (_, text) in enumerate(turns)
    ]
    yield case("chat/slack/2024-03-04.json", json.dumps(slack), "chat")
    discord = {
        "guild": {"name": "g"},
        "messages": [
            {
                "id": str(n),
                "type": "Default",
                "timestamp": at(n).isoformat(),
                "isPinned": False,
                "content": text,
                "author": {"id": who, "name": who, "discriminator": "0001"},
                "attachments": [],
                "mentions": [],
            }
            for n, (who, text) in enumerate(turns)
        ],
    }
    yield case("chat/discord.json", json.dumps(discord), "chat")
    telegram = {
        "name": "Family",
        "type": "private_group",
        "messages": [
            {
                "id": n,
                "type": "message",
                "date": at(n).isoformat(),
                "from": who,
                "from_id": f"user{len(who)}",
                "text": text,
            }
            for n, (who, text) in enumerate(turns)
        ],
    }
    yield case("chat/result.json", json.dumps(telegram), "chat")
    teams = {
        "value": [
            {
                "id": str(n),
                "messageType": "message",
                "createdDateTime": at(n).isoformat(),
                "from": {"user": {"displayName": who}},
                "body": {"contentType": "text", "content": text},
            }
            for n, (who, text) in enumerate(turns)
        ]
    }
    yield case("chat/teams.json", json.dumps(teams), "chat")
    facebook = {
        "participants": [{"name": "a"}],
        "messages": [
            {"sender_name": who, "timestamp_ms": 1709500000000 + n, "content": text}
            for n, (who, text) in enumerate(turns)
        ],
    }
    yield case("chat/message_1.json", json.dumps(facebook), "chat")
    matrix = [
        {
            "type": "m.room.message",
            "sender": f"@{who}:example.org",
            "room_id": "!r",
            "origin_server_ts": 1709500000000 + n,
            "content": {"msgtype": "m.text", "body": text},
        }
        for n, (who, text) in enumerate(turns)
    ]
    yield case("chat/matrix.jsonl", lines(matrix), "chat")
    html = (
        "<html><body>"
        + "".join(
            f'<div class="message default clearfix"><div class="from_name">{who}</div><div class="text">{text}</div></div>'
            for who, text in turns
        )
        + "</body></html>"
    )
    yield case("chat/messages.html", html, "chat")
    tickets = [
        {
            "ticket_id": n,
            "comments": [
                {"author": who, "body": text, "created_at": at(n).isoformat()} for who, text in turns[4 * n : 4 * n + 4]
            ],
        }
        for n in range(5)
    ]
    yield case("chat/tickets.json", json.dumps(tickets), "chat")


def _text() -> Iterator[Case]:
    turns = _turns()
    yield case(
        "chat/irc.log", lines(f"[{at(n):%H:%M:%S}] <{who}> {text}" for n, (who, text) in enumerate(turns)), "chat"
    )
    yield case(
        "chat/weechat.txt", lines(f"{at(n):%H:%M} <@{who}> {text}" for n, (who, text) in enumerate(turns)), "chat"
    )
    yield case(
        "chat/whatsapp.txt",
        lines(f"{at(n):%d/%m/%Y, %H:%M} - {who}: {text}" for n, (who, text) in enumerate(turns)),
        "chat",
    )
    yield case(
        "chat/whatsapp-ios.txt",
        lines(f"[{at(n):%d.%m.%y, %H:%M:%S}] {who}: {text}" for n, (who, text) in enumerate(_turns(20, SAID_IN["de"]))),
        "chat",
    )
    yield case(
        "chat/zoom.txt",
        lines(f"{at(n):%H:%M:%S}\t From {who} to Everyone : {text}" for n, (who, text) in enumerate(turns)),
        "chat",
    )
    yield case("chat/interview.txt", lines(f"{who}: {text}" for who, text in turns), "chat")
    yield case("chat/utf16.txt", lines(f"{who}: {text}" for who, text in turns).encode("utf-16"), "chat")
    yield case(
        "chat/sjis.txt",
        lines(f"{who}：{text}" for who, text in _turns(18, SAID_IN["ja"], ("田中", "鈴木"))).encode("shift_jis"),
        "chat",
    )
    yield case(
        "chat/latin.txt",
        lines(f"{who}: {text}" for who, text in _turns(18, SAID_IN["fr"], ("Zoé", "René"))).encode("latin-1"),
        "chat",
    )
    mail = "".join(
        f"From {who}@example.org Mon Mar  4 08:00:00 2024\nFrom: {who}@example.org\nTo: team@example.org\nSubject: plan {n}\nDate: Mon, 4 Mar 2024 08:00:00 +0000\nMessage-ID: <{n}@example.org>\n\n{text}\n\n"
        for n, (who, text) in enumerate(turns)
    )
    yield case("chat/archive.mbox", mail, "chat")
    yield case(
        "chat/one.eml",
        "Received: from a by b\nFrom: Mira <mira@example.org>\nTo: Jonas <jonas@example.org>\nSubject: slides\nDate: Mon, 4 Mar 2024 08:00:00 +0000\nMIME-Version: 1.0\n\nHi Jonas,\n\ncan you send me the slides?\n\nMira\n",
        "chat",
    )


def _transcripts() -> Iterator[Case]:
    turns = _turns()
    cue = [f"00:{n:02}:01.000 --> 00:{n:02}:04.000" for n in range(len(turns))]
    yield case(
        "chat/meeting.vtt",
        "WEBVTT\n\n"
        + "\n".join(f"{time}\n<v {who}>{text}</v>\n" for time, (who, text) in zip(cue, turns, strict=True)),
        "chat",
    )
    yield case(
        "chat/zoom.vtt",
        "WEBVTT\n\n"
        + "\n".join(
            f"{n}\n{time}\n{who}: {text}\n" for n, (time, (who, text)) in enumerate(zip(cue, turns, strict=True))
        ),
        "chat",
    )
    yield case(
        "chat/meeting.srt",
        "\n".join(
            f"{n}\n{time.replace('.', ',')}\n{who}: {text}\n"
            for n, (time, (who, text)) in enumerate(zip(cue, turns, strict=True), 1)
        ),
        "chat",
    )
    yield case("chat/otter.txt", "".join(f"{who}  0:{n:02}\n{text}\n\n" for n, (who, text) in enumerate(turns)), "chat")
    segments = [
        {"start": n * 2.0, "end": n * 2 + 1.5, "speaker": f"SPEAKER_0{n % 2}", "text": text}
        for n, (_, text) in enumerate(turns)
    ]
    yield case("chat/segments.json", json.dumps({"segments": segments, "language": "en"}), "chat")
    words = {
        "results": {
            "transcripts": [{"transcript": " ".join(SAID)}],
            "speaker_labels": {
                "segments": [
                    {"speaker_label": "spk_0", "start_time": "0.0"},
                    {"speaker_label": "spk_1", "start_time": "3.1"},
                ]
            },
            "items": [],
        }
    }
    yield case("chat/transcribe.json", json.dumps(words), "chat", "audio|chat")
    yield case(
        "chat/child.cha",
        "@Begin\n@Participants:\tCHI Child, MOT Mother\n"
        + lines(f"*{'CHI' if n % 2 else 'MOT'}:\t{text} ." for n, (_, text) in enumerate(turns))
        + "@End\n",
        "chat",
    )
    yield case(
        "none/film.srt",
        "\n".join(
            f"{n}\n{time.replace('.', ',')}\n{title}, where the river meets the hills\n"
            for n, (time, title) in enumerate(zip(cue, cycle(TITLES), strict=False), 1)
        ),
        "none",
        "chat;audio",
    )


def _training() -> Iterator[Case]:
    turns = _turns()
    messages = [
        {"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
        for (_, a), (_, b) in zip(turns[::2], turns[1::2], strict=True)
    ]
    yield case("chat/sft.jsonl", lines(messages), "chat")
    share = [
        {"id": str(n), "conversations": [{"from": "human", "value": a}, {"from": "gpt", "value": b}]}
        for n, ((_, a), (_, b)) in enumerate(zip(turns[::2], turns[1::2], strict=True))
    ]
    yield case("chat/sharegpt.json", json.dumps(share), "chat")
    alpaca = [
        {
            "instruction": f"Write a short note about {title}",
            "input": "",
            "output": f"{title} is a story of a family by the sea.",
        }
        for title in TITLES
    ]
    yield case("chat/alpaca.json", json.dumps(alpaca), "chat")
    prefer = [
        {"prompt": a, "chosen": b, "rejected": "I do not know that."}
        for (_, a), (_, b) in zip(turns[::2], turns[1::2], strict=True)
    ]
    yield case("chat/dpo.jsonl", lines(prefer), "chat")
    yield case(
        "chat/corpus.yml",
        "categories:\n- small talk\nconversations:\n"
        + "".join(f"- - {a}\n  - {b}\n" for (_, a), (_, b) in zip(turns[::2], turns[1::2], strict=True)).replace(
            "?", "？"
        ),
        "chat",
    )
    woz = [
        {
            "dialogue_id": f"{n}",
            "services": ["hotel"],
            "turns": [{"speaker": "USER", "utterance": a}, {"speaker": "SYSTEM", "utterance": b}],
        }
        for n, ((_, a), (_, b)) in enumerate(zip(turns[::2], turns[1::2], strict=True))
    ]
    yield case("chat/multiwoz.json", json.dumps(woz), "chat")
    yield case(
        "chat/dailydialog.txt", lines(" __eou__ ".join(text for _, text in turns[n : n + 5]) for n in range(12)), "chat"
    )
    tree = [
        {
            "message_id": str(n),
            "parent_id": str(n - 1),
            "text": text,
            "role": "prompter" if n % 2 else "assistant",
            "lang": "en",
        }
        for n, (_, text) in enumerate(turns)
    ]
    yield case("chat/oasst.jsonl", lines(tree), "chat")


def _tables() -> Iterator[Case]:
    rows = [[n // 6, n % 6, who, text] for n, (who, text) in enumerate(_turns())]
    yield case("chat/dialogues.csv", table(["conversation_id", "turn", "speaker", "text"], rows), "chat")
    yield case(
        "chat/meaningless.csv",
        table(
            ["col1", "col2", "col3", "col4"],
            [[str(at(n)), f"c{n // 6}", who, text] for n, (who, text) in enumerate(_turns(40))],
        ),
        "chat",
        "unclassified",
    )
    yield case(
        "chat/telemetry.csv",
        table(
            ["event_id", "ts", "user", "payload_text"],
            [[n, at(n).isoformat(), who, text] for n, (who, text) in enumerate(_turns(40))],
        ),
        "chat",
        "chat|telemetry",
    )
    headers = {
        "de": ("Gesprächs-ID", "Sprecher", "Nachricht"),
        "fr": ("id conversation", "expéditeur", "texte"),
        "es": ("conversación", "remitente", "mensaje"),
        "pt": ("conversa", "remetente", "mensagem"),
        "ja": ("会話ID", "話者", "発言"),
        "zh": ("会话", "发送人", "内容"),
    }
    for language, header in headers.items():
        turns = [[n // 5, who, text] for n, (who, text) in enumerate(_turns(25, SAID_IN[language]))]
        yield case(f"chat/chat-{language}.csv", table(header, turns, ";"), "chat")
    rolled = dice("spam")
    sms = [[rolled.choice(("ham", "spam")), text] for _, text in _turns(40)]
    yield case("chat/sms.tsv", table([], sms, "\t"), "chat", "unclassified")
    yield case("chat/talk.db", _sqlite([(n, who, text, str(at(n))) for n, (who, text) in enumerate(_turns())]), "chat")
    yield case("chat/talk.feather", _feather(), "chat")


def _sqlite(rows: list[tuple[int, str, str, str]]) -> bytes:
    import sqlite3

    con = sqlite3.connect(":memory:")
    con.execute("CREATE TABLE message (id INTEGER, sender TEXT, text TEXT, sent_at TEXT)")
    con.executemany("INSERT INTO message VALUES (?, ?, ?, ?)", rows)
    con.commit()
    content = con.serialize()
    con.close()
    return content


def _feather() -> bytes:
    import pyarrow as pa
    from pyarrow import feather

    who, text = zip(*_turns(), strict=True)
    out = io.BytesIO()
    feather.write_feather(
        pa.table({"channel": ["general"] * len(who), "author": list(who), "message": list(text)}), out
    )
    return out.getvalue()


def _near_misses() -> Iterator[Case]:
    rolled = dice("near")
    reviews = [
        [f"A{n:09}", rolled.randint(1, 5), f"{rolled.choice(TITLES)} has a strong plot and a weak ending"]
        for n in range(40)
    ]
    yield case("none/reviews.csv", table(["product_id", "rating", "review"], reviews), "none")
    yield case(
        "none/books.json",
        json.dumps(
            [
                {"title": title, "author": who, "pages": 200 + n}
                for n, (title, who) in enumerate(zip(TITLES, NAMES, strict=True))
            ]
        ),
        "none",
    )
    yield case(
        "none/strings.yml", "en:\n" + "".join(f"  button_{n}: {title}\n" for n, title in enumerate(TITLES)), "none"
    )
    yield case(
        "none/article.txt",
        lines(
            f"{title} was written in a small town. The town lies by a river, and its people keep bees."
            for title in TITLES * 4
        ),
        "none",
    )
    yield case(
        "none/bot.py",
        'import os\n\n\ndef reply(message: str) -> str:\n    """Return what the bot says."""\n    if message == "hi":\n        return "hello, how are you?"\n    return os.environ["ANSWER"]\n'
        * 8,
        "none",
    )
    squad = {
        "data": [
            {
                "title": title,
                "paragraphs": [
                    {
                        "context": f"{title} is a town of bees.",
                        "qas": [
                            {"id": "1", "question": "What is it?", "answers": [{"text": "a town", "answer_start": 4}]}
                        ],
                    }
                ],
            }
            for title in TITLES
        ]
    }
    yield case("none/squad.json", json.dumps(squad), "none", "chat")
    commits = [
        {
            "sha": f"{n:040x}",
            "author": {"name": who, "email": "x@example.org"},
            "message": f"Fix {title.lower()} rendering",
        }
        for n, (who, title) in enumerate(zip(NAMES, TITLES, strict=True))
    ]
    yield case("none/commits.json", json.dumps(commits), "none")
