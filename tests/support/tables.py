"""Reads the tables of our pages: what a screen reader would read out."""

from __future__ import annotations

import re
from html import unescape


def cells(page: str, table: str) -> list[list[str]]:
    """Return the words in the cells of the table below the heading with that id, row by row."""
    section = re.split(r"<h2", page.partition(f'id="{table}"')[2], maxsplit=1)[0]
    body = section.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    texts = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[" ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split()) for text in row] for row in texts]
