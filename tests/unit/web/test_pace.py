"""How many pages one caller gets."""

from __future__ import annotations

from fastapi.testclient import TestClient

from gate.service.core import Service
from gate.web.pace import CALLERS, Pace, Pacing, TooMany
from gate.web.site import create_site
from support.pages import logged_in


def refused(pacing: Pacing, caller: str, times: int = 1) -> int:
    """Return how many of so many requests were refused."""
    count = 0
    for _ in range(times):
        try:
            pacing.take(caller)
        except TooMany:
            count += 1
    return count


def test_a_bucket_empties_and_refills() -> None:
    now = [0.0]
    pacing = Pacing(Pace(burst=10, per_second=2), lambda: now[0])
    assert refused(pacing, "ada", 12) == 2
    assert refused(pacing, "bob", 10) == 0  # everybody has one of their own
    now[0] = 1.5
    assert refused(pacing, "ada", 4) == 1
    now[0] = 1000.0
    assert refused(pacing, "ada", 11) == 1  # it never holds more than a burst


def test_strangers_cannot_fill_the_memory() -> None:
    pacing = Pacing(Pace(burst=1, per_second=0))
    for number in range(CALLERS + 5):
        pacing.take(str(number))
    assert len(pacing._buckets) == CALLERS


def test_who_asks_too_often_is_told_on_a_page_and_others_go_on(service: Service) -> None:
    app = create_site(lambda: service, authenticators=[logged_in], pace=Pace(burst=3, per_second=0))
    client = TestClient(app)
    ada, bob = ({"X-Person": f"{name} viewer"} for name in ("ada", "bob"))
    assert [client.get("/ui/policy", headers=ada).status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = client.get("/ui/policy", headers=ada)
    assert "too many requests" in answer.text
    assert answer.headers["Retry-After"]
    assert client.get("/ui/policy", headers=bob).status_code == 200
    assert [client.get("/ui/login").status_code for _ in range(4)][-1] == 429
