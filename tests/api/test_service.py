"""Health, telemetry, queue, workers, schemas; and what must not slow a request down."""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from jsonschema_rs import Draft202012Validator
from sqlalchemy import text

from core import logging
from store import workers
from store.session import connect
from tests.api.conftest import SPEC, dataset, job

ROOT = Path(__file__).parent.parent.parent


def test_the_process_is_up(client):
    assert client.get("/healthz").json() == {"alive": True}


def test_the_service_is_ready(client):
    assert client.get("/readyz").json() == {"ready": True, "database": "ok", "broker": "ok"}


def test_a_database_without_the_newest_schema_is_not_ready(make_http, databases):
    http = make_http(database_url=databases.empty())

    answer = http.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["database"] == "behind"
    assert answer.headers["retry-after"]
    assert http.get("/healthz").status_code == 200


def test_a_database_that_is_gone_is_not_ready(make_http):
    answer = make_http(database_url="postgresql://127.0.0.1:1/x").get("/readyz")

    assert (answer.status_code, answer.json()["database"]) == (503, "unreachable")


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "redis+socket:///absent/s.sock", "amqp://guest@127.0.0.1:1//"]
)
def test_a_broker_that_is_gone_is_told_and_not_needed(make_http, url):
    answer = make_http(broker_url=url).get("/readyz")

    assert (answer.status_code, answer.json()["broker"]) == (200, "unreachable")


def sample(client, name, **labels):
    """A number from /metrics."""
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(name) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def test_requests_are_counted_by_route_and_status(http):
    made = job(http)
    where = {"route": "/v1/jobs/{job_id}", "process": str(os.getpid())}
    name = "gradworks_http_requests_total"
    before = {status: sample(http, name, status=status, **where) for status in (200, 404)}
    timed = sample(http, "gradworks_http_request_seconds_count", **where)

    for _ in range(5):
        http.get(f"/v1/jobs/{made['id']}")
    http.get("/v1/jobs/job_absent")

    assert sample(http, name, status=200, **where) == before[200] + 5
    assert sample(http, name, status=404, **where) == before[404] + 1
    assert sample(http, "gradworks_http_request_seconds_count", **where) == timed + 6


def test_paths_that_are_not_ours_make_no_new_series(http):
    for number in range(20):
        http.get(f"/v1/nothing/{number}")
        http.request(f"ODD{number}", "/v1/jobs")

    text = http.get("/metrics").text
    assert "nothing" not in text
    assert "ODD" not in text


def test_jobs_and_the_age_of_the_queue_come_from_the_database(make_http):
    http = make_http()
    job(http)

    assert sample(http, "gradworks_jobs", state="queued") >= 1
    assert sample(http, "gradworks_database_up") == 1
    assert "gradworks_queue_oldest_seconds" in http.get("/metrics").text


def test_telemetry_without_a_database(make_http):
    http = make_http(database_url="postgresql://127.0.0.1:1/x")

    assert sample(http, "gradworks_database_up") == 0
    assert http.get("/metrics").status_code == 200


def test_the_queue_is_counted(http):
    one, _ = job(http), job(http)
    http.post(f"/v1/jobs/{one['id']}/cancel")

    found = http.get("/v1/queue").json()

    assert found["states"]["queued"] == 1
    assert found["states"]["cancelled"] == 1
    assert found["states"]["running"] == 0
    assert 0 <= found["oldest_wait_seconds"] < 60
    assert found["waiting"] >= 1


def test_an_empty_queue_has_no_oldest_job(http):
    assert http.get("/v1/queue").json()["oldest_wait_seconds"] is None


def test_workers_are_listed_without_the_jobs_of_others(http, other, sessions):
    made = job(http)
    with sessions.begin() as session:
        workers.beat(
            session, "wrk_api", host="h", pid=7, device="cpu", job_id=made["id"], threads=2
        )

    [own] = [one for one in http.get("/v1/workers").json()["data"] if one["id"] == "wrk_api"]
    seen = http.get("/v1/workers", headers=other["read"]).json()["data"]
    [foreign] = [one for one in seen if one["id"] == "wrk_api"]

    assert (own["host"], own["pid"], own["device"]) == ("h", 7, "cpu")
    assert own["info"] == {"threads": 2}
    assert own["job_id"] == made["id"]
    assert foreign["job_id"] is None


def test_the_schema_of_a_job_accepts_what_the_service_does(http):
    schema = http.get("/v1/schemas/job").json()

    check = Draft202012Validator(schema)
    assert check.is_valid(SPEC)
    assert not check.is_valid({**SPEC, "model": {"blueprint": {"name": "absent"}}})


@pytest.fixture
def silent_broker():
    """A server that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_silent_broker_does_not_slow_a_submission(make_http, silent_broker, scheme):
    http = make_http(broker_url=f"{scheme}://127.0.0.1:{silent_broker}//")
    dataset(http)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        answer = http.post("/v1/jobs", json=SPEC)
        seconds.append(time.perf_counter() - started)
        assert answer.status_code == 201

    assert statistics.median(seconds) < 1, seconds  # each would wait, if one did
    assert http.get("/readyz").status_code == 200


def test_a_submission_wakes_a_worker(make_http, broker_url):
    import redis

    http = make_http(broker_url=broker_url)
    with redis.Redis(unix_socket_path=broker_url.partition("://")[2].partition("?")[0]) as broker:
        broker.flushdb()
        dataset(http)
        http.post("/v1/jobs", json=SPEC)

        limit = time.monotonic() + 10
        while not broker.llen("gradworks"):
            assert time.monotonic() < limit
            time.sleep(0.02)
        message = json.loads(broker.lindex("gradworks", 0))

    assert message["headers"]["task"] == "worker.wake"
    assert message["headers"]["argsrepr"] == "()"


def test_no_secret_reaches_the_log(api_settings, make_http, caller, capsys, databases):
    settings = api_settings.model_copy(update={"log_level": "DEBUG", "log_format": "json"})
    before = logging.logging.getLogger().handlers[:]
    level = logging.logging.getLogger().level
    logging.configure(settings)
    try:
        http = make_http(broker_url="redis://user:broker-password@127.0.0.1:1/0")
        made = http.post("/v1/keys", json={"name": "a"}).json()
        http.get("/v1/queue", headers={"Authorization": f"Bearer {made['token']}"})
        http.get("/v1/queue", headers={"Authorization": f"Bearer {made['token']}x"})
        http.get(f"/v1/jobs/{made['token']}?key={made['token']}")
        dataset(http)
        http.post("/v1/jobs", json={**SPEC, "name": made["token"]})
        make_http(database_url="postgresql://user:database-password@127.0.0.1:1/x").get("/v1/queue")
        http.app.state.service.waker.close(30)  # it gives up on its broker, and says so
    finally:
        logging.logging.getLogger().handlers = before
        logging.logging.getLogger().setLevel(level)
    lines = capsys.readouterr().err

    assert '"request_id"' in lines
    assert "/v1/queue" in lines
    secrets = [made["token"], caller.tokens["admin"], "broker-password", "database-password"]
    assert [secret for secret in secrets if secret in lines] == []
    assert all(json.loads(line) for line in lines.splitlines())


def test_a_request_is_one_line_in_the_log_with_its_id(http, caplog):
    with caplog.at_level("INFO", "gradworks.api.requests"):
        http.get("/v1/jobs/a%0Ab", headers={"X-Request-ID": "one-line"})

    [record] = [one for one in caplog.records if one.request_id == "one-line"]
    assert "\n" not in record.getMessage()
    assert "404" in record.getMessage()


@pytest.fixture
def process(tmp_path):
    """The service as operators start it: two processes behind one port, and its first key."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADWORKS_DATA_DIR": str(tmp_path / "service")}
    run = [sys.executable, "-m"]
    prepared = subprocess.run(
        [*run, "store"], cwd=ROOT, env=environment, capture_output=True, check=True, timeout=60
    )
    command = [*run, "api", "--port", str(port), "--processes", "2"]
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    with httpx2.Client(base_url=url, trust_env=False, timeout=20) as http:
        http.headers["Authorization"] = f"Bearer {json.loads(prepared.stdout)['token']}"
        wait_until_ready(http)
        yield http, running
    running.kill()
    running.wait(10)


def wait_until_ready(http, seconds=90):
    limit = time.monotonic() + seconds
    while True:
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            assert time.monotonic() < limit, "the service did not start"
        time.sleep(0.1)


def test_the_service_stops_soon_also_while_it_streams(process):
    http, running = process
    dataset(http)
    made = http.post("/v1/jobs", json=SPEC).json()
    stream = {"Accept": "text/event-stream"}
    with http.stream("GET", f"/v1/jobs/{made['id']}/events", headers=stream) as answer:
        lines = answer.iter_lines()
        while not next(lines).startswith("id: 2"):
            pass
        running.send_signal(signal.SIGTERM)
        list(lines)  # to its end

    assert running.wait(15) == 0


def test_connections_that_the_database_ended_are_opened_again(make_http, databases):
    http = make_http()
    service = http.app.state.service
    assert http.get("/v1/queue").status_code == 200
    if databases.kind == "postgresql":
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        name = service.database.url.database
        killer = connect(service.settings.database_url)
        with killer.begin() as connection:
            connection.execute(
                text(f"{end} AND datname = :name AND application_name = :app"),
                {"name": name, "app": "gradworks-api"},
            )
        killer.dispose()

    assert [http.get("/v1/queue").status_code for _ in range(3)] == [200] * 3
