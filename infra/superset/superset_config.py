"""Superset's settings; values that differ between data folders come from ``$SUPERSET_HOME/settings.json``."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from superset.utils.log import DBEventLogger

# last on the path: the platform's sign-in and audit log are made to be imported here, nothing else of it is
sys.path.append(str(Path(__file__).resolve().parents[2]))

from infra.superset.closed import close
from infra.superset.quality_reports import quality_reports
from infra.superset.sign_in import sign_in_of
from infra.superset.watch import query_logger, watch

HOME = Path(os.environ["SUPERSET_HOME"])
_platform = SimpleNamespace(home=HOME.parent)
_values = json.loads((HOME / "settings.json").read_text(encoding="utf-8"))

SECRET_KEY = _values["secret_key"]
SQLALCHEMY_DATABASE_URI = _values["database"]
DATA_DIR = str(HOME)
UPLOAD_FOLDER = str(HOME / "uploads") + "/"

FEATURE_FLAGS = {
    "DASHBOARD_RBAC": True,
    "ENABLE_TEMPLATE_PROCESSING": False,
    "ALERT_REPORTS": False,
    "EMBEDDED_SUPERSET": False,
    # the theme below decides, not what somebody saved in the database
    "ENABLE_UI_THEME_ADMINISTRATION": False,
}


def _file_cache(name: str, seconds: int) -> dict:
    return {
        "CACHE_TYPE": "FileSystemCache",
        "CACHE_DIR": str(HOME / "cache" / name),
        "CACHE_DEFAULT_TIMEOUT": seconds,
        "CACHE_THRESHOLD": 2000,
    }


CACHE_CONFIG = _file_cache("metadata", 300)
# short: a publication replaces the files behind the charts
DATA_CACHE_CONFIG = _file_cache("data", 60)
FILTER_STATE_CACHE_CONFIG = _file_cache("filters", 90 * 24 * 3600)
EXPLORE_FORM_DATA_CACHE_CONFIG = _file_cache("explore", 7 * 24 * 3600)
RATELIMIT_STORAGE_URI = "memory://"
RESULTS_BACKEND = None

# plain http on the loopback interface; behind a proxy with TLS set both to True
SESSION_COOKIE_SECURE = False
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
PERMANENT_SESSION_LIFETIME = timedelta(hours=12)
WTF_CSRF_ENABLED = True
TALISMAN_ENABLED = True
# only this server, so the usage pixel and web fonts of other hosts are blocked
TALISMAN_CONFIG = {
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": "'none'",
        "style-src": ["'self'", "'unsafe-inline'"],
        "font-src": ["'self'", "data:"],
        "script-src": ["'self'", "'strict-dynamic'"],
        "frame-ancestors": ["'self'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,
    "session_cookie_secure": False,
}

AUTH_USER_REGISTRATION = False
CUSTOM_SECURITY_MANAGER = sign_in_of(_platform.home)
QUERY_LOGGER = query_logger(_platform)
BLUEPRINTS = [quality_reports(HOME.parent / "quality" / "data_docs")]


def FLASK_APP_MUTATOR(app: Any) -> None:  # noqa: D103 - Superset asks for this name
    watch(app, _platform)
    close(app)


class _ActivityLog(DBEventLogger):
    """Superset's own log, for its list of recent things, without what people asked: that may hold values."""

    left_out = frozenset({"sql", "form_data", "queries", "query_context", "templateParams", "password"})

    def log(self, *args: Any, **kwargs: Any) -> None:
        records = [
            {key: value for key, value in record.items() if key not in self.left_out}
            for record in kwargs.pop("records", [])
        ]
        super().log(*args, records=records, **kwargs)


EVENT_LOGGER = _ActivityLog()
PREVENT_UNSAFE_DB_CONNECTIONS = True
SQLLAB_TIMEOUT = 60
SUPERSET_WEBSERVER_TIMEOUT = 120
ROW_LIMIT = 10_000
SQL_MAX_ROW = 50_000
APP_NAME = "Smart Customs"
WELCOME_PAGE_LAST_TAB = "all"


def _logo(ink: str, mark: str) -> str:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="168" height="24" viewBox="0 0 168 24">'
        f'<path fill="{mark}" d="M12 1 22 5v7c0 6-4 9.6-10 11C6 21.6 2 18 2 12V5z"/>'
        '<path fill="none" stroke="#fff" stroke-width="2" d="m7 12 4 4 7-8"/>'
        f'<text x="30" y="17" font-family="Helvetica,Arial,sans-serif" font-size="15" font-weight="600" fill="{ink}">'
        "Smart Customs</text></svg>"
    )
    return "data:image/svg+xml;utf8," + quote(svg)


_tokens = {
    "brandAppName": "Smart Customs",
    "brandLogoAlt": "Smart Customs",
    "brandLogoUrl": _logo("#0B4F6C", "#0B4F6C"),
    "brandLogoHref": "/superset/welcome/",
    "brandLogoHeight": "24px",
    "colorPrimary": "#0B4F6C",
    "colorLink": "#0B6E99",
    "colorSuccess": "#2E8B57",
    "colorWarning": "#E3A008",
    "colorError": "#C0392B",
    "colorBgLayout": "#F4F6F8",
    "borderRadius": 8,
    "fontFamily": "Inter, 'Segoe UI', Helvetica, Arial, sans-serif",
    "fontUrls": [],
}
# two-axis charts: grid lines stay quiet on the dark theme, and the right axis title stands beside its axis, unclipped
_tokens["echartsOptionsOverridesByChartType"] = {
    "mixed_timeseries": {
        "grid": {"right": 76},
        "yAxis": {
            "nameLocation": "middle",
            "nameGap": 56,
            "splitLine": {"lineStyle": {"color": "rgba(127,145,155,0.25)"}},
        },
    }
}
THEME_DEFAULT = {"token": _tokens, "algorithm": "default"}
THEME_DARK = {
    "token": {
        **_tokens,
        "brandLogoUrl": _logo("#E6F0F5", "#4FB3D9"),
        "colorPrimary": "#4FB3D9",
        "colorLink": "#7CC7E3",
        "colorBgLayout": "#0E1A22",
    },
    "algorithm": "dark",
}
EXTRA_CATEGORICAL_COLOR_SCHEMES = [
    {
        "id": "customs",
        "label": "Smart Customs",
        "description": "",
        "isDefault": True,
        "colors": [
            "#2B7A9E",
            "#5AA9D6",
            "#2E8B57",
            "#E3A008",
            "#C0392B",
            "#7A6FA8",
            "#8FA8B5",
            "#D98C5F",
            "#4FB3A5",
            "#6C7F89",
        ],
    }
]
EXTRA_SEQUENTIAL_COLOR_SCHEMES = [
    {
        "id": "customs_seq",
        "label": "Customs blue",
        "description": "",
        "isDiverging": False,
        "isDefault": True,
        "colors": ["#E6F0F5", "#9CC7DC", "#3E8EBF", "#0B4F6C", "#06293A"],
    }
]
