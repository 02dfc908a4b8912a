"""`?dry_run=true&explain=true`: the compiled step beside the plan."""

from tests.api.test_jobs import SPEC, dataset


def test_a_dry_run_lays_the_step_open_where_that_is_asked_for(http):
    dataset(http)

    plain = http.post("/v1/jobs?dry_run=true", json=SPEC).json()
    found = http.post("/v1/jobs?dry_run=true&explain=true", json=SPEC).json()

    explanation = found.pop("explanation")
    assert found == plain
    assert [stage["name"] for stage in explanation["stages"]] == [
        "trace",
        "simplify",
        "multiply tables",
        "narrow products",
        "fuse",
        "end convolutions",
        "mark sparse",
    ]
    assert {line["runs_as"] for line in explanation["kernels"]} == {"c"}
    assert explanation["totals"]["kernels"] == len(explanation["kernels"])
    assert all(line["seconds"] is None for line in explanation["kernels"])
    assert http.get("/v1/jobs").json()["data"] == []


def test_the_answer_is_described(http):
    known = http.get("/openapi.json").json()
    create = known["paths"]["/v1/jobs"]["post"]

    schema = create["responses"]["200"]["content"]["application/json"]["schema"]
    assert "explain" in {parameter["name"] for parameter in create["parameters"]}
    name = schema["$ref"].rpartition("/")[2]
    assert "explanation" in known["components"]["schemas"][name]["properties"]
