"""Turns a template into a page: what every page shares, its addresses, and the headers that keep it safe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from gate.api.auth import ACCOUNTS, PAGES, RUNS, STATIC, Principal
from gate.domain.instants import format_instant
from gate.domain.remedies import REMEDIES
from gate.domain.words import Reason
from gate.errors import CheckFailed
from gate.service.decision_index import DecisionIndex
from gate.web.access import FORM_TOKEN, form_token
from gate.web.contract import contract_counts, marked_rules
from gate.web.host import Host

BUILT = Path(__file__).with_name("static")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "font-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
SECTIONS = (  # of the navigation: path, words, scopes of which one is needed
    ("decisions", "Decisions", {"read", RUNS}),
    ("lineage", "Lineage", {"read", RUNS}),
    ("accounts", "Accounts", {ACCOUNTS}),
    ("policy", "Policy", {"read", RUNS}),
    ("coverage", "Coverage", {"read", RUNS}),
)


def page(request: Request, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
    """Render a page.

    Args:
        request: what is answered.
        template: name of a file in `templates`.
        status: of the answer.
        **values: what the template shows; everything is escaped. `section` is the page's place in the navigation.
    """
    principal: Principal | None = getattr(request.state, "principal", None)
    held = principal.scopes if principal else frozenset()
    shared = {
        "host": host_of(request),
        "principal": principal,
        "held": held,
        "sections": [(path, words) for path, words, scopes in SECTIONS if scopes & held],
        "section": "",
        "form_field": _form_field(request) if principal else "",
        "to": Addresses(request),
        "assets": Assets(request),
    }
    text = _environment().get_template(template).render(shared | values)
    return HTMLResponse(text, status, HEADERS)


class Addresses:
    """Makes addresses of our own pages, wherever the app is mounted: `to("accounts", q="acme")`."""

    def __init__(self, request: Request) -> None:
        self._root = str(request.scope.get("root_path", "")) + PAGES

    def __call__(self, path: str, **query: Any) -> str:
        """Return the address of a page; parameters that are `None` or empty are left out."""
        wanted = [(name, value) for name, value in query.items() if value not in (None, "", [], ())]
        return f"{self._root}/{path}" + (f"?{urlencode(wanted, doseq=True)}" if wanted else "")


class Assets:
    """Addresses of the built scripts and styles."""

    def __init__(self, request: Request) -> None:
        self._root = str(request.scope.get("root_path", "")) + STATIC

    @property
    def icon(self) -> str:
        """Return the address of our sign."""
        return f"{self._root}/shield.svg"

    def script(self, name: str) -> str:
        """Return the address of a script, such as `page`."""
        return f"{self._root}/{_manifest()[f'src/{name}.ts']['file']}"

    def styles(self, name: str) -> list[str]:
        """Return the addresses of the styles a script brings."""
        return [f"{self._root}/{file}" for file in _manifest()[f"src/{name}.ts"].get("css", ())]


def decisions_of(request: Request) -> DecisionIndex:
    """Return the decisions of the ledger, ready to be searched."""
    found: DecisionIndex = request.app.state.decisions
    return found


def host_of(request: Request) -> Host:
    """Return what surrounds the pages."""
    host: Host = request.app.state.host
    return host


@cache
def _manifest() -> Mapping[str, Any]:
    path = BUILT / "manifest.json"
    if not path.exists():
        raise CheckFailed(
            "the pages' scripts and styles are not built", where=str(path), hint="make pages, or install the wheel"
        )
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gate.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "instant": _instant,
        "age": _age,
        "number": _number,
        "short": short_name,
        "words": _words,
        "breakable": _breakable,
    }
    environment.globals |= {"remedy": _remedy, "marked_rules": marked_rules, "contract_counts": contract_counts}
    return environment


def _form_field(request: Request) -> Markup:
    return Markup('<input type="hidden" name="{}" value="{}">').format(FORM_TOKEN, form_token(request))


def _instant(value: datetime | str | None) -> Markup:
    """Show an instant in UTC; a script turns it into the viewer's zone."""
    if value is None:
        return Markup("<span class=muted>never</span>")
    return Markup('<time datetime="{}">{}</time>').format(*_both(value))


def _age(value: datetime | str) -> Markup:
    """Show how long ago an instant was; without scripts, the instant."""
    return Markup('<time datetime="{}" data-show="age">{}</time>').format(*_both(value))


def _both(value: datetime | str) -> tuple[str, str]:
    """Return an instant for machines and, without scripts, for people."""
    text = value if isinstance(value, str) else format_instant(value)
    return text, text.replace("T", " ").replace("Z", " UTC")


def _number(value: float) -> str:
    return f"{value:,}"


def _words(value: str) -> str:
    """Show one of our words as people write it: `no_consent` as `no consent`."""
    return value.replace("_", " ")


def _breakable(value: str) -> Markup:
    """Let a long word break where people would break it."""
    return Markup("_<wbr>").join(escape(part) for part in value.split("_"))


def short_name(name: str) -> str:
    """Return the last two parts of a dataset's name or address."""
    return "/".join(name.rstrip("/").split("/")[-2:])


def _remedy(reason: str) -> str:
    return REMEDIES[Reason(reason)]
