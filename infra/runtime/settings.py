"""The one place that reads the environment: typed settings, and where each thing lies on disk."""

import os
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.runtime.errors import BadArgumentsError
from infra.runtime.ports import SERVICE_PORTS

REPOSITORY = Path(__file__).resolve().parents[2]
ENV_PREFIX = "CUSTOMS_"


def active_home() -> Path:
    """Return the data folder in use: the one `customs up` marked active, else ``var/`` of this checkout."""
    pointer = REPOSITORY / "var" / ".active"
    if pointer.is_file():
        marked = Path(pointer.read_text(encoding="utf-8").strip())
        if marked.is_dir():
            return marked
    return REPOSITORY / "var"


class Settings(BaseSettings):
    """Every setting of the platform, read from ``CUSTOMS_*`` variables; an unknown one is an error."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    home: Path = Field(default_factory=active_home, description="Data folder: all that runs writes below it")
    lake_root: Path | None = Field(default=None, description="Root of the Delta lake (default <home>/lake)")
    landing_root: Path | None = Field(default=None, description="Where source systems drop files (<home>/landing)")
    office_time_zone: str = Field(default="Asia/Shanghai", description="Time zone of business days")
    max_line_bytes: int = Field(default=16 * 1024 * 1024, description="A longer line means a broken file: refused")

    spark_master: str = Field(default="local[2]", description="Spark master: local[2], spark://…, yarn, k8s://…")
    spark_driver_memory: str = Field(default="2g", description="Heap of the Spark driver")
    spark_shuffle_partitions: int = Field(default=4, description="Shuffle partitions; 4 to 8 suits two cores")
    spark_workers: int = Field(default=1, description="num_workers of distributed XGBoost training")
    duckdb_memory_limit: str = Field(default="4GB", description="Memory limit of a DuckDB process")
    duckdb_threads: int = Field(default=2, description="Threads of a DuckDB process")

    features_kept_days: int = Field(default=30, ge=1, description="Older model features are dropped by maintenance")

    airflow_port: int = Field(default=SERVICE_PORTS["airflow"], description="Airflow's web port on 127.0.0.1")
    superset_port: int = Field(default=SERVICE_PORTS["superset"], description="Superset's web port on 127.0.0.1")
    mlflow_port: int = Field(default=SERVICE_PORTS["mlflow"], description="MLflow's web port on 127.0.0.1")
    airflow_parallelism: int = Field(default=2, description="Tasks Airflow runs at a time; two suit two cores")
    airflow_database: str | None = Field(default=None, description="SQLAlchemy URL; default the embedded PostgreSQL")
    mlflow_database: str | None = Field(default=None, description="SQLAlchemy URL; default the embedded PostgreSQL")
    superset_database: str | None = Field(default=None, description="SQLAlchemy URL; default the embedded PostgreSQL")
    mlflow_tracking_uri: str | None = Field(default=None, description="MLflow server (default the local one)")

    ivy_settings: Path | None = Field(default=None, description="Ivy settings of a mirror for the Delta JARs")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: dict) -> dict:
        # pydantic-settings ignores unknown environment variables, so a misspelled one would silently do nothing
        known = {f"{ENV_PREFIX}{name}".upper() for name in cls.model_fields}
        unknown = sorted(v for v in os.environ if v.upper().startswith(ENV_PREFIX) and v.upper() not in known)
        if unknown:
            raise BadArgumentsError(
                f"Unknown setting {', '.join(unknown)}: settings are {', '.join(sorted(known))}; unset or rename it."
            )
        return values

    @property
    def lake(self) -> Path:
        """Root of the Delta lake."""
        return self.lake_root or self.home / "lake"

    @property
    def landing(self) -> Path:
        """Where source systems drop files: ``<landing>/<feed>/<YYYY-MM-DD>/<file>``."""
        return self.landing_root or self.home / "landing"

    @property
    def truth(self) -> Path:
        """The simulator's hidden truth: read by evaluation tools only, never by a job, mart or model."""
        return self.home / "truth"

    @property
    def serving(self) -> Path:
        """Role files ``<role>.duckdb`` for Superset and analysts."""
        return self.home / "serving"

    @property
    def outbox(self) -> Path:
        """Messages to those whom a consignment concerns: ``<kind>/<code>/<number>.jsonl``."""
        return self.home / "outbox"

    @property
    def reports(self) -> Path:
        """Run reports (JSON) of every command."""
        return self.home / "reports"

    @property
    def keys(self) -> Path:
        """Pseudonymisation keys (owner-only)."""
        return self.home / "keys"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file dbt builds the datasets in."""
        return self.home / "warehouse" / "build.duckdb"

    @property
    def dbt_target(self) -> Path:
        """Where dbt leaves manifest.json, run_results.json and its documentation."""
        return self.home / "dbt" / "target"

    @property
    def run(self) -> Path:
        """Process ids, sockets and rendered configuration of the running services."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """One log file per service, and Airflow's task logs."""
        return self.home / "logs"

    @property
    def secrets_file(self) -> Path:
        """Generated secrets and logins (owner-only)."""
        return self.home / "secrets.json"

    @property
    def sockets(self) -> Path:
        """Folder of the unix sockets: ``<home>/run``, or a short one when that path is too long for a socket."""
        if len(str(self.run)) + len("/pg/.s.PGSQL.5432.lock") < 104:
            return self.run
        # a socket path longer than 107 bytes cannot be bound
        return Path("/tmp") / f"customs-{os.getuid()}-{sha256(str(self.home).encode()).hexdigest()[:8]}"  # noqa: S108

    @property
    def postgres_socket(self) -> Path:
        """Folder of the embedded PostgreSQL's socket."""
        return self.sockets / "pg"

    def database_url(self, service: str) -> str:
        """Return the SQLAlchemy URL of a service's metadata: ``airflow``, ``mlflow`` or ``superset``."""
        own = {"airflow": self.airflow_database, "mlflow": self.mlflow_database, "superset": self.superset_database}
        return own[service] or f"postgresql+psycopg2://postgres@/{service}?host={self.postgres_socket}"

    @property
    def embedded_postgres(self) -> bool:
        """Whether any service uses the PostgreSQL of the wheel."""
        return not (self.airflow_database and self.mlflow_database and self.superset_database)

    @property
    def ports(self) -> dict[str, int]:
        """Service name to its port on 127.0.0.1."""
        return {"airflow": self.airflow_port, "superset": self.superset_port, "mlflow": self.mlflow_port}

    @property
    def airflow_url(self) -> str:
        """Airflow's address."""
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def superset_url(self) -> str:
        """Superset's address."""
        return f"http://127.0.0.1:{self.superset_port}"

    @property
    def tracking_uri(self) -> str:
        """MLflow tracking and registry server."""
        return self.mlflow_tracking_uri or f"http://127.0.0.1:{self.mlflow_port}"

    def silver(self, contract_id: str) -> Path:
        """Delta table of a contract: ``<lake>/silver/<domain>__<entity>``."""
        return self.lake / "silver" / contract_id.replace(".", "__")

    def quarantine(self, contract_id: str) -> Path:
        """Quarantine Delta table of a contract (restricted zone)."""
        return self.lake / "quarantine" / contract_id.replace(".", "__")

    def features(self, name: str) -> Path:
        """Delta table of a feature set, one version per as-of date."""
        return self.lake / "features" / name

    def raw(self, feed: str) -> Path:
        """Sealed originals of a feed (restricted zone)."""
        return self.lake / "raw" / feed


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        BadArgumentsError: an unknown ``CUSTOMS_*`` variable or a value of the wrong type.
    """
    try:
        return Settings()
    except ValueError as error:
        raise BadArgumentsError(f"Settings are wrong: {error}") from error
