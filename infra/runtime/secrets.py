"""Generated secrets and logins of one data folder: made once, kept in a file only its owner can read."""

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, field

from infra.runtime import audit
from infra.runtime.errors import TryAgainError
from infra.runtime.settings import Settings, get_settings

# account -> what it is for; the same login works in Airflow (where it has a role) and Superset
ACCOUNTS = {
    "admin": "administrator of Airflow and Superset",
    "steward": "data steward: runs and repairs the flow, sees every dataset's quality",
    "analyst": "analyst: dashboards and SQL Lab on the analyst file",
    "manager": "manager: dashboards",
}


def _fernet_key() -> str:
    # the format Fernet asks for: 32 random bytes, URL-safe base64
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class Secrets:
    """Keys of the services and the passwords of the accounts."""

    airflow_jwt_secret: str = field(default_factory=lambda: secrets.token_urlsafe(64), repr=False)
    airflow_secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    airflow_fernet_key: str = field(default_factory=_fernet_key, repr=False)
    superset_secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    passwords: dict[str, str] = field(
        default_factory=lambda: {account: secrets.token_urlsafe(12) for account in ACCOUNTS}, repr=False
    )


def create_secrets(settings: Settings | None = None) -> tuple[Secrets, bool]:
    """Return the secrets of the data folder, and whether they were made by this call.

    The file ``<home>/secrets.json`` has mode 0600 from its first byte on.
    """
    settings = settings or get_settings()
    if settings.secrets_file.is_file():
        return load_secrets(settings), False
    made = Secrets()
    settings.home.mkdir(parents=True, exist_ok=True)
    unfinished = settings.secrets_file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(made), file, indent=1)
    unfinished.rename(settings.secrets_file)
    audit.record(
        "secrets.made", "system:set-up", settings.secrets_file.name, {"names": [*asdict(made)]}, settings=settings
    )
    return made, True


def load_secrets(settings: Settings | None = None) -> Secrets:
    """Return the secrets of the data folder.

    Raises:
        TryAgainError: the folder was not set up yet.
    """
    settings = settings or get_settings()
    if not settings.secrets_file.is_file():
        raise TryAgainError(f"No {settings.secrets_file}: run `customs up` first, it makes the secrets.")
    return Secrets(**json.loads(settings.secrets_file.read_text(encoding="utf-8")))
