"""Which methods a path has: the framework's own answer names those of one handler alone."""

import re

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path


class Methods:
    def __init__(self, app: FastAPI) -> None:
        found: dict[str, set[str]] = {}
        for context in iter_route_contexts(app.routes):
            found.setdefault(context.path or "", set()).update(context.methods or ())
        self._table: list[tuple[re.Pattern[str], str]] = [
            (compile_path(path)[0], ", ".join(sorted(methods))) for path, methods in found.items()
        ]

    def allowed(self, path: str) -> str:
        """The value of the path's `Allow` header."""
        return next((methods for pattern, methods in self._table if pattern.match(path)), "")
