"""The description is kept: whatever is sent, the answers are those that it promises."""

from collections import Counter

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from schemathesis.engine.run import PhaseName
from schemathesis.generation.meta import TestPhase
from schemathesis.hooks import unregister
from schemathesis.python import asgi

from api.app import create_app
from api.limits import Bucket
from store import leases
from tests.api.conftest import SPEC, finish, job

pytestmark = pytest.mark.timeout(400)  # the first test waits for all the requests

CONFIG = {
    "seed": 20260101,
    "generation": {"max-examples": 6, "database": "none"},
    # What a schema cannot say (a cursor must be ours, a spec must fit its data) is refused.
    "checks": {"positive_data_acceptance": {"enabled": False}},
    "phases": {"stateful": {"max-steps": 12, "generation": {"max-examples": 20}}},
    # The boundaries of the spec's grammar are many thousands, and tried where specs are parsed.
    "operations": [{"include-name": "POST /v1/jobs", "phases": {"coverage": {"enabled": False}}}],
}
# Things that are made, read, used and deleted by requests that follow each other.
REACHED = ["/v1/jobs/{job_id}", "/v1/keys/{key_id}", "/v1/models/{model_id}", "/v1/datasets/{"]


@pytest.fixture(scope="module")
def run(api_settings, client, sessions, make_caller, trained):
    """What came of sending all kinds of requests with one key: the finished scenarios."""
    caller = make_caller()
    client.headers = caller["admin"]
    finish(client, sessions, trained)
    job(client, {**SPEC, "resources": {"priority": 1000}})
    with sessions.begin() as session:  # a running job, so that nobody can delete the dataset
        leases.claim(session, worker_id="wrk_tests", lease_seconds=600)
    app = create_app(api_settings.model_copy(update={"sse_max_seconds": 0.2}))
    app.state.service.callers.failures = Bucket(burst=1e9, per_second=1)
    config = SchemathesisConfig.from_dict({**CONFIG, "headers": caller["admin"]})
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)
    schemathesis.hook(before_call)
    try:
        events = list(from_schema(schema).execute())
    finally:
        unregister(before_call)
        asgi.shutdown_lifespans()
    assert not [event for event in events if isinstance(event, FatalError | NonFatalError)]
    return [event for event in events if isinstance(event, ScenarioFinished)]


def before_call(context, case, kwargs):
    """Sequences may begin with a job that can be queued: chance alone would hardly find one."""
    meta = case.meta
    if (
        meta is None
        or meta.phase.name is not TestPhase.STATEFUL
        or meta.generation.mode.is_negative
    ):
        return
    if case.operation.label == "POST /v1/jobs":
        case.body, case.media_type, case.query = SPEC, "application/json", {}


def test_every_operation_answers_as_described(run):
    failures = {
        f"{node.value.operation.label}: {check.failure_info.failure}"
        for scenario in run
        for case_id, checks in scenario.recorder.checks.items()
        for check in checks
        if check.status is Status.FAILURE
        for node in [scenario.recorder.cases[case_id]]
    }
    assert not failures, "\n\n".join(sorted(failures))


def test_sequences_of_requests_really_ran(run):
    seen = Counter()
    for scenario in run:
        if scenario.phase is PhaseName.STATEFUL_TESTING:
            for case_id, node in scenario.recorder.cases.items():
                answer = scenario.recorder.interactions[case_id].response
                if node.parent_id is not None and answer.status_code < 300:
                    seen[node.value.operation.label] += 1
    for path in REACHED:
        assert [label for label in seen if path in label], seen
    assert len(seen) >= 8, seen


def test_every_operation_was_tried(run, app):
    tried = {scenario.label for scenario in run if scenario.phase is PhaseName.FUZZING}
    assert len(tried) == sum(len(methods) for methods in app.openapi()["paths"].values())
