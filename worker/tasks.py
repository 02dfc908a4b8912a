"""The door from the broker: a wake-up, which names no job."""

from core.queue import WAKE
from worker import app as house


@house.app.task(name=WAKE)  # type: ignore[untyped-decorator]
def wake() -> None:
    """Look at the queue, and take no further wake-up until there is nothing left to do."""
    if house.child is not None:
        house.child.supervisor.wake()
        house.child.supervisor.wait_until_idle()
