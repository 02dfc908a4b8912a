import pytest

from gradworks.jobs import Jobs, pause


@pytest.mark.parametrize(
    ("waited", "seconds"), [(0, 0.1), (0.5, 0.1), (4, 0.4), (10, 1.0), (3600, 1.0)]
)
def test_the_longer_one_has_waited_the_longer_is_the_pause(waited, seconds):
    assert pause(waited) == pytest.approx(seconds)


class Endless:
    """A service whose job never ends."""

    def __init__(self):
        self.asked = 0

    def get(self, path):
        self.asked += 1
        return {"id": "job_1", "state": "running", "is_terminal": False}


def test_wait_gives_up():
    service = Endless()

    with pytest.raises(TimeoutError, match="job_1 is running"):
        Jobs(service).wait("job_1", poll=0.01, timeout=0.05)

    assert 2 <= service.asked <= 7
