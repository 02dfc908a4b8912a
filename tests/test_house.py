"""What is said of the service outside its code: the compose file, the images, the pins."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_do_no_more_than_it_must(name):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["user"].split(":")[0] != "0"
    assert service["pids_limit"] > 0


def test_only_the_api_is_published_and_only_on_this_host():
    published = {name: s["ports"] for name, s in SERVICES.items() if s.get("ports")}

    assert set(published) == {"api"}
    assert all(port.startswith("127.0.0.1:") for port in published["api"])
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_secrets_have_no_default():
    text = (ROOT / "docker-compose.yml").read_text()

    for name in ("GRADWORKS_SECRET", "POSTGRES_PASSWORD"):
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)
        assert uses
        assert all(use.startswith(":?") for use in uses)


def test_services_wait_for_what_they_need():
    for name in ("api", "worker", "worker-gpu"):
        conditions = {k: v["condition"] for k, v in SERVICES[name]["depends_on"].items()}
        assert conditions["setup"] == "service_completed_successfully"
        assert conditions["redis"] == "service_healthy"
    for name in ("api", "postgres", "redis"):
        assert SERVICES[name]["healthcheck"]["test"]


def test_gpu_workers_start_only_under_their_profile():
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]


def test_images_do_not_run_as_root():
    for name in ("Dockerfile", "Dockerfile.gpu"):
        last = (ROOT / name).read_text().split("FROM ")[-1]
        assert re.search(r"^USER 10001$", last, re.MULTILINE)


def test_every_pin_is_exact_and_names_no_address():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert pins
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+(; .+)?", pin) for pin in pins)


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*chain(project["dependencies"], *project["optional-dependencies"].values())]
    names = {re.split(r"[\[<>=; ]", w)[0].lower().replace("_", "-") for w in wanted}
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }

    assert names - {"gradworks"} <= pinned
