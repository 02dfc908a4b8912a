from core.states import HELD, MOVES, TERMINAL, JobState, sources


def test_every_state_has_its_moves():
    assert set(MOVES) == set(JobState)


def test_what_is_over_stays():
    assert {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED} == TERMINAL


def test_every_state_can_be_reached():
    reached = {JobState.VALIDATING}
    while more := {to for state in reached for to in MOVES[state]} - reached:
        reached |= more

    assert reached == set(JobState)


def test_from_every_state_there_is_an_end():
    for state in JobState:
        reached = {state}
        while more := {to for one in reached for to in MOVES[one]} - reached:
            reached |= more
        assert reached & TERMINAL


def test_sources():
    assert sources(JobState.RUNNING) == [JobState.QUEUED]
    assert sources(JobState.QUEUED) == [JobState.VALIDATING, JobState.RUNNING, JobState.PAUSED]
    assert sources(JobState.VALIDATING) == []


def test_a_job_is_held_from_running_on():
    assert set(HELD) == {JobState.RUNNING} | {
        state for state in MOVES[JobState.RUNNING] if state not in TERMINAL
    } - {JobState.QUEUED, JobState.PAUSED}
