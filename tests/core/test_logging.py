import json
import logging

import pytest

from core.logging import configure, redact
from core.settings import Settings
from tests import factories

URL = "postgresql://gradworks:hunter2hunter2@db:5432/x"


@pytest.fixture
def lines(tmp_path, capsys):
    """Configure logging in a format; then read what came out. Undone afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level

    def start(log_format, log_level="INFO"):
        configure(
            Settings(
                _env_file=None,
                data_dir=tmp_path,
                secret="s",
                log_format=log_format,
                log_level=log_level,
            )
        )
        return lambda: capsys.readouterr().err.splitlines()

    yield start
    root.handlers, root.level = handlers, level


def test_text(lines):
    read = lines("text")

    logging.getLogger("store").info("job %s is queued", "job_1")

    (line,) = read()
    assert line.endswith("INFO    store: job job_1 is queued")
    assert line[:10].count("-") == 2


def test_json(lines):
    read = lines("json")

    logging.getLogger("store").warning("job %s", "job_1", extra={"step": 3, "path": "/v1"})

    (line,) = read()
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "warning",
        "logger": "store",
        "message": "job job_1",
        "step": 3,
        "path": "/v1",
    }


def test_json_of_an_error_is_one_line(lines):
    read = lines("json")

    try:
        raise ValueError(f"cannot reach {URL}")
    except ValueError:
        logging.getLogger("store").exception("failed")

    (line,) = read()
    assert "ValueError" in json.loads(line)["error"]
    assert "hunter2" not in line


def test_the_level_holds(lines):
    read = lines("text", "WARNING")

    logging.getLogger("store").info("quiet")

    assert read() == []


def test_requests_are_not_told_of_twice(lines):
    read = lines("text")

    logging.getLogger("uvicorn.access").info("GET /healthz")

    assert not logging.getLogger("uvicorn.access").hasHandlers()
    assert read() == []


def test_configuring_twice_logs_once(lines):
    lines("text")
    read = lines("text")

    logging.getLogger("uvicorn.error").info("hello")

    assert len(read()) == 1


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_do_not_reach_the_log(lines, session, log_format):
    _, token = factories.key(session)
    read = lines(log_format)
    log = logging.getLogger("api")

    log.info("got %s", token)
    log.info("headers %r", {"authorization": f"Bearer {token}"})
    log.info("Authorization: Bearer abcdefghijkl.mnop")
    log.info("Authorization: Basic dXNlcjpwYXNzd29yZA==")
    log.info("extra", extra={"url": URL, "key": token})
    log.info("broker redis://:hunter2hunter2@h:6379/0 and %s", "amqp://u:hunter2hunter2@h//")
    log.info("GET /v1/files?signature=hunter2hunter2&x=1")
    try:
        raise ValueError(token)
    except ValueError:
        log.exception("failed with %s", URL)

    text = "\n".join(read())
    assert text.count("***") >= 9
    for secret in (token[16:59], "hunter2", "abcdefghijkl", "dXNlcjpwYXNzd29yZA"):
        assert secret not in text


@pytest.mark.parametrize(
    "text",
    [
        "job job_01m84mz02xqn4cwqwqpbsecj8sv is queued",
        "GET http://127.0.0.1:8000/v1/jobs?limit=3 200",
        "mailto:somebody@example.org",
        "train/loss: 0.25",
    ],
)
def test_what_is_no_secret_is_left_alone(text):
    assert redact(text) == text
