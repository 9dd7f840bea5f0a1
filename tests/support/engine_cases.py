"""What engines could read otherwise: names, types, files that differ, and text with every kind of quote and blank."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

NAMES = ["account.id", "a`b", 'a"b', "a b,;{}()\n\t=", "ü", "select", "_metadata", "gate_account", "a[0]", "x" * 300]

KINDS: dict[str, pa.Array] = {
    **{str(kind): pa.array([0, 7, None], kind) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    "uint8": pa.array([255, 0, None], pa.uint8()),
    "uint16": pa.array([2**16 - 1, 0, None], pa.uint16()),
    "uint32": pa.array([2**32 - 1, 0, None], pa.uint32()),
    "uint64": pa.array([2**64 - 1, 0, None], pa.uint64()),
    "int64 ends": pa.array([2**63 - 1, -(2**63), None]),
    "text": pa.array(["a", "", None]),
    "large text": pa.array(["a", "", None], pa.large_string()),
    "text view": pa.array(["a", "", None], pa.string_view()),
    "dictionary": pa.array(["a", "a", None]).dictionary_encode(),
    "blank": pa.array([" ", "\t\n", " "]),
    "like and unlike": pa.array(["Acme", "acme", "acme "]),
    "composed and not": pa.array(["é", "é", "\U0001f600"]),
    "nul": pa.array(["a\0", "a", "\0"]),
    "lists": pa.array([["a", "b"], [], None]),
    "lists with nulls": pa.array([["a", None], [None], ["a", "a"]]),
    "lists of integers": pa.array([[1, 2], [], None], pa.list_(pa.int32())),
    "lists of uint64": pa.array([[2**64 - 1], [], [None]], pa.list_(pa.uint64())),
    "large lists": pa.array([["a"], ["b", "a"], None], pa.large_list(pa.large_string())),
    "fixed lists": pa.array([["a", "b"], ["b", "a"], None], pa.list_(pa.string(), 2)),
    "nothing": pa.nulls(3),
    "fractions": pa.array([1.0, 2.5, None]),
    "true": pa.array([True, False, None]),
    "bytes": pa.array([b"a", b"b", None]),
    "records": pa.array([{"a": "b"}, None, None]),
    "lists of lists": pa.array([[["a"]], None, None]),
}

TEXT, WHOLE, SMALL_WHOLE = pa.array(["7", "a"]), pa.array([7, 8]), pa.array([7, 8], pa.int16())
DRIFT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text, then integers": ({"account_id": TEXT}, {"account_id": WHOLE}),
    "integers of two sizes": ({"account_id": WHOLE}, {"account_id": SMALL_WHOLE}),
    "text, then nothing": ({"account_id": TEXT}, {"account_id": pa.nulls(2)}),
    "lists, then nothing": ({"account_id": pa.array([["a"], []])}, {"account_id": pa.nulls(2)}),
    "text, then lists": ({"account_id": TEXT}, {"account_id": pa.array([["a"], []])}),
    "text, then fractions": ({"account_id": TEXT}, {"account_id": pa.array([1.5, 2.5])}),
    "a column goes": ({"account_id": TEXT}, {"other": TEXT}),
    "a name changes its case": ({"account_id": TEXT}, {"Account_ID": TEXT}),
    "two names of one spelling": ({"account_id": TEXT}, {"Account_ID": TEXT, "account_id": TEXT}),
    "two of other types": ({"account_id": TEXT}, {"Account_ID": WHOLE, "account_id": TEXT}),
    "another order": ({"account_id": TEXT, "n": WHOLE}, {"n": WHOLE, "account_id": TEXT}),
    "another type beside": ({"account_id": TEXT, "n": WHOLE}, {"n": TEXT, "account_id": TEXT}),
    "no rows in one": ({"account_id": TEXT}, {"account_id": pa.array([], pa.string())}),
    "no rows of another type": ({"account_id": TEXT}, {"account_id": pa.array([], pa.null())}),
    "no rows": ({"account_id": pa.array([], pa.string())}, {"account_id": pa.array([], pa.string())}),
}

CSV: dict[str, bytes] = {
    "quotes": b'account_id,n\n"a,b",1\n"say ""hi""",2\n"",3\n,4\n"a\nb",5\n"a\r\nb",6\n',
    "blanks": b"account_id,n\n a,1\na ,2\n \t,3\n,4\n",
    "nulls in words": b"account_id,n\nNULL,1\nnull,2\n\\N,3\nNaN,4\nnan,5\n",
    "comments": b"account_id,n\n#a,1\n//b,2\n",
    "backslashes": b'account_id,n\n"a\\",1\n\\a,2\n"a\\\\",3\n',
    "returns": b"account_id,n\r\na,1\r\nb,2\r\n",
    "no newline at the end": b"account_id,n\na,1\nb,2",
    "one column with blank lines": b"account_id\na\n\nb\n",
    "numbers as written": b"account_id,n\n007,1\n7,2\n7.0,3\n+7,4\n1e3,5\n",
    "a row too long": b"account_id,n\na,1\nb,2,3\n",
    "a row too short": b"account_id,n\na,1\nb\n",
    "an open quote": b'account_id,n\na,1\n"b,2\n',
    "a quote within": b'account_id,n\na"b,1\n"a"b,2\n',
    "not UTF-8": b"account_id,n\n\xff\xfe,1\n",
    "emptied names": b"account_id,,n\na,b,1\n",
    "names in two cases": b"account_id,Account_ID\na,b\n",
    "no rows": b"account_id,n\n",
    "semicolons": b"account_id;n\na,b;1\n",
    "unicode": "account_id,n\né,1\né,2\n\U0001f600,3\n\u2028,4\n\u00a0,5\n".encode(),
}

JSONL: dict[str, tuple[str, ...]] = {
    "as written": ('{"account_id": "007"}\n{"account_id": "7"}\n{"account_id": null}\n{}\n{"account_id": ""}',),
    "integers": ('{"account_id": 7}\n{"account_id": 18446744073709551615}\n{"account_id": -7}', '{"account_id": 8}'),
    "integers in one, text in the other": ('{"account_id": 7}', '{"account_id": "7"}'),
    "lists in one, text in the other": ('{"account_id": ["a"]}', '{"account_id": "a"}'),
    "lists": ('{"account_id": ["a", "b"]}\n{"account_id": []}\n{"account_id": [null]}', '{"account_id": null}'),
    "lists of mixed types": ('{"account_id": ["a"]}', '{"account_id": [7]}'),
    "fractions": ('{"account_id": 7.0}',),
    "a field twice": ('{"account_id": "a", "account_id": "b"}',),
    "two cases": ('{"account_id": "a", "Account_ID": "b"}\n{"Account_ID": "c"}',),
    "escapes": (r'{"account_id": "\u00e9"}' + '\n{"account_id": "é"}\n{"account_id": "\\ud83d\\ude00"}',),
    "no such field": ('{"account": "a"}', '{"other": "a"}'),
    "a field in one": ('{"account_id": "a"}', '{"other": "a"}'),
    "no JSON": ('{"account_id": "a"}\n{"account_id": ',),
    "no records": ('{"account_id": "a"}\n["a"]\n7',),
    "blank lines": ('{"account_id": "a"}\n\n\n{"account_id": "b"}\n',),
}
