"""`python -m api`: the HTTP service, as many processes as asked for."""

import argparse

import uvicorn

from core import logging
from core.settings import settings


def main() -> None:
    known = settings()
    arguments = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    arguments.add_argument("--host", default=known.host)
    arguments.add_argument("--port", type=int, default=known.port)
    arguments.add_argument("--processes", type=int, default=1)
    chosen = arguments.parse_args()
    logging.configure(known)
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=chosen.host,
        port=chosen.port,
        workers=chosen.processes,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(known.grace_seconds),
    )


if __name__ == "__main__":
    main()
