"""Configuration, read once from the environment (prefix GRADWORKS_) and `.env`."""

import os
import secrets
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

GIB = 2**30


class Settings(BaseSettings):
    """What an operator may choose. `.env.example` lists every field.

    An empty `database_url` means SQLite under `data_dir`; an empty `broker_url` means a broker of
    our own under `data_dir`; an empty `secret` is read from `data_dir/secret`, made at first need.
    """

    model_config = SettingsConfigDict(env_prefix="GRADWORKS_", env_file=".env", extra="ignore")

    data_dir: Path = Path("gradworks-data")
    database_url: str = ""
    broker_url: str = ""
    secret: SecretStr = SecretStr("")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)

    max_upload_bytes: int = Field(default=GIB, ge=1)
    max_body_bytes: int = Field(default=2**20, ge=1)
    max_rows: int = Field(default=100_000_000, ge=1)
    max_columns: int = Field(default=100_000, ge=1)
    max_decoded_bytes: int = Field(default=4 * GIB, ge=1)
    max_parameters: int = Field(default=2**31, ge=1)
    max_layers: int = Field(default=1000, ge=1)
    upload_ttl_seconds: int = Field(default=86_400, ge=1)

    lease_seconds: float = Field(default=60, gt=0)
    heartbeat_seconds: float = Field(default=15, gt=0)
    sweep_seconds: float = Field(default=10, gt=0)
    poll_seconds: float = Field(default=1, gt=0)
    max_attempts: int = Field(default=5, ge=1)
    max_barren_attempts: int = Field(default=3, ge=1)
    stall_seconds: float = Field(default=600, gt=0)
    grace_seconds: float = Field(default=10, ge=0)
    spare_process: bool = True
    dataset_cache_bytes: int = Field(default=16 * GIB, ge=0)
    device: str = "auto"

    cache_seconds: float = Field(default=0.5, ge=0)
    sse_max_seconds: float = Field(default=900, gt=0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @model_validator(mode="after")
    def fill_what_is_empty(self) -> Self:
        self.data_dir = self.data_dir.expanduser().absolute()
        if not self.database_url:
            self.database_url = f"sqlite:///{self.data_dir}/gradworks.db"
        if not self.secret.get_secret_value():
            self.secret = SecretStr(_kept_secret(self.data_dir / "secret"))
        return self

    @model_validator(mode="after")
    def heartbeat_is_well_inside_the_lease(self) -> Self:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError(
                f"heartbeat_seconds ({self.heartbeat_seconds}) must be at most half of "
                f"lease_seconds ({self.lease_seconds}), or one late heartbeat loses the job"
            )
        return self


@cache
def settings() -> Settings:
    return Settings()


def _kept_secret(path: Path) -> str:
    """The secret at `path`; where there is none, a new one, of which only one process wins."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            _write(own, secrets.token_urlsafe(48))
            os.link(own, path)
        except FileExistsError:
            pass
        finally:
            own.unlink(missing_ok=True)
    return path.read_text(encoding="ascii")


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
