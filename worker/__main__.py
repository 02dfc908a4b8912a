"""`python -m worker`: one Celery worker with one pool child, started anew by `spawn`.

SIGTERM and Ctrl-C drain: the job is checkpointed and queued again, and the worker ends within
`grace_seconds` and a little. SIGQUIT is Celery's cold shutdown.
"""

import os
import sys


def main() -> int:
    # Where SIGTERM is remapped, Celery sleeps through its whole soft shutdown; draining is quicker.
    os.environ.pop("REMAP_SIGTERM", None)
    from core.settings import settings
    from worker.app import app

    worker = app.Worker(
        loglevel=settings().log_level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
