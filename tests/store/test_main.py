import json
import subprocess
import sys
from pathlib import Path

from store import keys, projects
from store.__main__ import setup
from store.session import connect, sessions

ROOT = Path(__file__).parents[2]
SECRET = "a secret of the tests"


def test_setup_makes_a_project_and_a_key_that_may_everything(session):
    made = setup(session, secret=SECRET)

    key = keys.authenticate(session, made["token"], secret=SECRET)
    assert key.project_id == made["project"] == projects.named(session, "default").id
    assert keys.allows(key, "admin")


def test_setup_twice_changes_nothing(session):
    made = setup(session, secret=SECRET)

    assert setup(session, secret=SECRET) == {"project": made["project"], "token": None}


def test_several_prepare_one_empty_database(databases, tmp_path):
    url = databases.empty()
    environment = {
        "GRADWORKS_DATABASE_URL": url,
        "GRADWORKS_DATA_DIR": str(tmp_path),
        "GRADWORKS_SECRET": SECRET,
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "store"], cwd=ROOT, env=environment, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]

    answers = [json.loads(process.communicate(timeout=60)[0]) for process in running]

    assert len({answer["project"] for answer in answers}) == 1
    (token,) = [answer["token"] for answer in answers if answer["token"]]
    engine = connect(url)
    with sessions(engine)() as session:
        assert keys.authenticate(session, token, secret=SECRET, touch=False)
    engine.dispose()
    databases.drop(url)
