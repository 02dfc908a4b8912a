"""The routes, one file a noun."""

from api.routes import (
    checkpoints,
    datasets,
    events,
    files,
    health,
    jobs,
    keys,
    logs,
    metrics,
    models,
    projects,
    queue,
    schemas,
    uploads,
    workers,
)

ROUTERS = [
    module.router
    for module in (
        uploads,
        datasets,
        jobs,
        events,
        logs,
        metrics,
        checkpoints,
        files,
        models,
        queue,
        workers,
        keys,
        projects,
        schemas,
        health,
    )
]
