"""The Celery application as workers run it, and what happens when its processes come and go.

The main process only listens to the broker. Its one pool child holds the supervisor.
"""

import logging
import os
import signal
import threading
from typing import Any

from billiard import active_children
from celery import signals

from core import logging as logs
from core.queue import Waker, make_celery
from core.settings import settings
from worker import lifeline
from worker.housekeeping import Housekeeping
from worker.supervisor import Supervisor

# From the main process to its child. Billiard leaves it alone, no terminal sends it, and it does no
# harm to a child that is still starting.
DRAIN = signal.SIGURG

log = logging.getLogger(__name__)

app = make_celery(settings())
app.conf.update(
    include=["worker.tasks"],
    worker_proc_alive_timeout=60,  # the child imports everything anew; the machine may be busy
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
)


class Child:
    """What lives in the pool child, for as long as it lives."""

    def __init__(self) -> None:
        known = settings()
        self._waker = Waker(known)
        self.supervisor = Supervisor(known, waker=self._waker)
        self._housekeeping = Housekeeping(known, self.supervisor, self._waker)
        self._patience = known.grace_seconds + 5

    def start(self) -> None:
        self.supervisor.start()
        self._housekeeping.start()

    def stop(self) -> None:
        """Give back the running job, and say goodbye."""
        self.supervisor.drain()
        if not self.supervisor.join(self._patience):
            log.error("the supervisor did not end in time: its job will be swept")
        self._housekeeping.stop()
        self._waker.close()


child: Child | None = None


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def configure_logging(**_: Any) -> None:
    logs.configure(settings())


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def begin_child(**_: Any) -> None:
    global child
    # Where job processes keep compiled steps, unless somebody has said otherwise.
    os.environ.setdefault("GRADWORKS_CACHE", str(settings().data_dir / "cache"))
    lifeline.tie(signal.SIGTERM)  # when the main process dies, give the job back and go too
    threading.excepthook = _die_of_a_defect
    begun = child = Child()
    signal.signal(DRAIN, lambda *_: begun.supervisor.drain())
    child.start()


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def end_child(**_: Any) -> None:
    if child is not None:
        child.stop()


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def drain_children(**_: Any) -> None:
    """Celery waits for running tasks without limit, so tell them to come to an end."""
    for process in active_children():
        if process.pid is not None:
            os.kill(process.pid, DRAIN)


def _die_of_a_defect(failure: threading.ExceptHookArgs) -> None:
    """A child without one of its threads is of no use: Celery starts another."""
    reason = (failure.exc_type, failure.exc_value, failure.exc_traceback)
    log.critical("thread %s failed", failure.thread, exc_info=reason)  # type: ignore[arg-type]
    logging.shutdown()
    os._exit(1)
