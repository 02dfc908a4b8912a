"""Events of a job: pages, and a stream that is replayed, followed and ended."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from store import events, jobs, leases, progress
from tests.api.conftest import SPEC, job

STREAM = {"Accept": "text/event-stream"}


def parse(text):
    """The events of a finished stream: (id, type, data)."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "data" in lines:
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


def say(sessions, job_id, *messages):
    with sessions.begin() as session:
        return events.extend(
            session,
            job_id,
            [{"type": "log", "data": {"level": "info", "message": m}} for m in messages],
        )


def end(sessions, caller, job_id):
    with sessions.begin() as session:
        jobs.request_cancel(session, caller.project_id, job_id)


def test_events_come_in_pages(http, sessions):
    made = job(http)
    say(sessions, made["id"], *"abc")
    path = f"/v1/jobs/{made['id']}/events"

    first = http.get(path, params={"limit": 3}).json()
    second = http.get(path, params={"limit": 3, "after": first["next_cursor"]}).json()

    assert [event["seq"] for event in first["data"] + second["data"]] == [1, 2, 3, 4, 5]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert second["data"][-1]["data"] == {"level": "info", "message": "c"}


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=1001", f"after={2**70}"]
)
def test_a_page_that_cannot_be(http, query):
    made = job(http)

    assert http.get(f"/v1/jobs/{made['id']}/events?{query}").status_code == 422


def test_a_stream_of_a_finished_job_is_replayed_and_ends(http, sessions, caller):
    made = job(http)
    say(sessions, made["id"], "hello\nworld", "läuft")
    end(sessions, caller, made["id"])

    answer = http.get(f"/v1/jobs/{made['id']}/events", headers=STREAM)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    found = parse(answer.text)
    assert [(seq, kind) for seq, kind, _ in found] == [
        (1, "state"), (2, "state"), (3, "log"), (4, "log"), (5, "state"),
    ]  # fmt: skip
    assert found[2][2]["data"]["message"] == "hello\nworld"
    assert found[4][2]["data"]["to"] == "cancelled"
    assert [data["seq"] for _, _, data in found] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_stream_goes_on_where_it_broke_off(http, sessions, caller, how):
    made = job(http)
    end(sessions, caller, made["id"])
    given = {"headers": {**STREAM, "Last-Event-ID": "2"}} if how == "header" else {
        "headers": STREAM, "params": {"after": 2}
    }  # fmt: skip

    answer = http.get(f"/v1/jobs/{made['id']}/events", **given)

    assert [seq for seq, _, _ in parse(answer.text)] == [3]


def test_a_stream_that_had_everything_is_not_to_come_back(http, sessions, caller):
    made = job(http)
    end(sessions, caller, made["id"])

    answer = http.get(f"/v1/jobs/{made['id']}/events", headers={**STREAM, "Last-Event-ID": "3"})

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("number", ["x", "-1", "1.5", "٣"])
def test_a_last_event_id_that_is_no_number(http, number):
    made = job(http)
    headers = {**STREAM, "Last-Event-ID": number.encode()}

    assert http.get(f"/v1/jobs/{made['id']}/events", headers=headers).status_code == 422


def test_events_that_were_done_again_are_left_out(http, sessions):
    spec = {**SPEC, "resources": {"priority": 1000}}
    made = job(http, spec)
    with sessions.begin() as session:
        claim = leases.claim(session, worker_id="wrk_tests", lease_seconds=60)
        assert claim.job_id == made["id"]
        steps = [{"type": "epoch", "data": {"step": step, "epoch": 1}} for step in (5, 10)]
        progress.commit(session, claim, step=10, epoch=1, events=steps)
        progress.rewind(session, claim, step=5)
        leases.fail(session, claim, reason="error", error={"detail": "over"})

    page = http.get(f"/v1/jobs/{made['id']}/events").json()["data"]
    stream = http.get(f"/v1/jobs/{made['id']}/events", headers=STREAM).text

    assert [event["seq"] for event in page] == [seq for seq, _, _ in parse(stream)]
    assert [event["data"].get("step") for event in page if event["type"] == "epoch"] == [5]


class Follower:
    """A client of its own thread that writes down what a stream says, and when."""

    def __init__(self, server, caller, job_id, **headers):
        self.events, self.lines, self.error = [], [], None
        self._url = f"{server.url}/v1/jobs/{job_id}/events"
        self._headers = {**caller["read"], **STREAM, **headers}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with (
            httpx2.Client(trust_env=False, timeout=60) as http,
            http.stream("GET", self._url, headers=self._headers) as answer,
        ):
            assert answer.status_code == 200
            for line in answer.iter_lines():
                self.lines.append(line)
                if line.startswith("data: "):
                    self.events.append((time.monotonic(), json.loads(line[6:])))

    def numbers(self):
        return [event["seq"] for _, event in self.events]

    def until(self, true, seconds=30):
        limit = time.monotonic() + seconds
        while not true(self):
            assert time.monotonic() < limit, self.lines
            time.sleep(0.005)

    def join(self):
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_a_follower_hears_within_half_a_second_and_until_the_end(http, server, sessions, caller):
    made = job(http)
    follower = Follower(server, caller, made["id"])
    follower.until(lambda it: len(it.events) == 2)
    delays = []
    for number in range(5):
        say(sessions, made["id"], str(number))
        said = time.monotonic()
        follower.until(lambda it, n=number: len(it.events) == 3 + n)
        delays.append(follower.events[-1][0] - said)

    end(sessions, caller, made["id"])

    follower.join()
    assert follower.numbers() == list(range(1, 9))
    assert follower.events[-1][1]["data"]["to"] == "cancelled"
    assert sorted(delays)[2] <= 0.5, delays


def test_a_follower_that_comes_back_misses_nothing_and_hears_nothing_twice(
    http, server, sessions, caller
):
    made = job(http)
    say(sessions, made["id"], *"abcdef")
    follower = Follower(server, caller, made["id"], **{"Last-Event-ID": "5"})
    follower.until(lambda it: len(it.events) == 3)

    end(sessions, caller, made["id"])

    follower.join()
    assert follower.numbers() == [6, 7, 8, 9]


def test_many_followers_of_one_job_hear_the_same(http, server, sessions, caller):
    made = job(http)
    followers = [Follower(server, caller, made["id"]) for _ in range(8)]
    for follower in followers:
        follower.until(lambda it: len(it.events) == 2)
    followed_by(server, 8)

    for number in range(30):
        say(sessions, made["id"], *[str(number)] * 40)
    end(sessions, caller, made["id"])

    for follower in followers:
        follower.join()
        assert follower.numbers() == list(range(1, 2 + 30 * 40 + 2))
    followed_by(server, 0)


def test_the_writes_of_many_reach_a_follower_in_order(http, server, sessions, caller):
    made = job(http)
    follower = Follower(server, caller, made["id"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: say(sessions, made["id"], str(n)), range(40)))
    end(sessions, caller, made["id"])

    follower.join()
    assert follower.numbers() == list(range(1, 44))


def followed_by(server, count, seconds=20):
    """Wait until so many follow live."""
    feed = server.app.state.service.feed
    limit = time.monotonic() + seconds
    while feed.followers != count:
        assert time.monotonic() < limit, f"{feed.followers} follow, not {count}"
        time.sleep(0.02)


def test_one_who_hangs_up_is_not_served_on(http, server, caller):
    made = job(http)
    with (
        httpx2.Client(trust_env=False, timeout=60) as client,
        client.stream(
            "GET", f"{server.url}/v1/jobs/{made['id']}/events", headers={**caller["read"], **STREAM}
        ) as answer,
    ):
        lines = answer.iter_lines()
        while not next(lines).startswith("id: 2"):
            pass
        followed_by(server, 1)

    followed_by(server, 0)


def test_a_stream_ends_after_its_time_and_keeps_alive_meanwhile(make_http):
    http = make_http(sse_max_seconds=0.5)
    made = job(http)
    started = time.monotonic()

    answer = http.get(f"/v1/jobs/{made['id']}/events", headers=STREAM)

    assert 0.4 < time.monotonic() - started < 5
    assert answer.text.startswith("retry: 1000\n\n")
    assert answer.text.endswith(": still here\n\n")
    assert [seq for seq, _, _ in parse(answer.text)] == [1, 2]


def test_streams_end_when_the_process_is_told_to_stop(make_http):
    http = make_http()
    made = job(http)
    feed = http.app.state.service.feed
    closing = threading.Timer(0.5, lambda: http.portal.call(feed.close))
    closing.start()

    answer = http.get(f"/v1/jobs/{made['id']}/events", headers=STREAM)

    assert [seq for seq, _, _ in parse(answer.text)] == [1, 2]
    closing.join()


def test_a_stream_of_a_job_that_is_not_there(http, other):
    made = job(http)

    assert http.get("/v1/jobs/job_absent/events", headers=STREAM).status_code == 404
    foreign = http.get(f"/v1/jobs/{made['id']}/events", headers={**STREAM, **other["read"]})
    assert foreign.status_code == 404
