"""The Python client of Gradworks.

from gradworks import Client

client = Client("http://127.0.0.1:8000", api_key="gw_...")
client.datasets.upload("digits", ["digits.csv"])
job = client.jobs.submit("digits.yaml")
job = client.jobs.wait(job["id"])
client.models.download(job["model_id"], "model/")
"""

from gradworks.client import Client
from gradworks.errors import (
    ApiError,
    AuthenticationFailed,
    BrokenDownload,
    Conflict,
    GradworksError,
    NotFound,
    PermissionDenied,
    Refused,
    Unavailable,
)

__all__ = [
    "ApiError",
    "AuthenticationFailed",
    "BrokenDownload",
    "Client",
    "Conflict",
    "GradworksError",
    "NotFound",
    "PermissionDenied",
    "Refused",
    "Unavailable",
]
