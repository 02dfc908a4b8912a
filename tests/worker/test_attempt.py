from datetime import UTC, datetime, timedelta

from core.states import JobState
from store.tables import JobMove
from worker.attempt import runtime


def test_runtime_counts_the_time_in_the_hands_of_workers():
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    moves = [
        JobMove(after=JobState(state), at=begin + timedelta(seconds=at))
        for at, state in [
            (0, "queued"),
            (10, "running"),
            (12, "queued"),
            (50, "running"),
            (55, "pausing"),
            (58, "paused"),
            (90, "queued"),
            (99, "running"),
        ]
    ]

    assert runtime(moves) == 2 + 8
