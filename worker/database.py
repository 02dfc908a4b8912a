"""The worker's connections: sessions that may write, and sessions that only read."""

from sqlalchemy.orm import Session, sessionmaker

from store.session import connect, empty_log, sessions


class Database:
    """Opens nothing until it is used; `close` when done."""

    def __init__(self, url: str) -> None:
        self._engine = connect(url, worker=True)
        self.write: sessionmaker[Session] = sessions(self._engine)
        self.read: sessionmaker[Session] = sessions(self._engine, write=False)

    def empty_log(self) -> bool:
        """See `store.session.empty_log`."""
        return empty_log(self._engine)

    def close(self) -> None:
        self._engine.dispose()
