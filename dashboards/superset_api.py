"""A small client of Superset's REST API: login, CSRF token, answers checked, one sentence per failure."""

from typing import Any

import httpx

from infra.runtime.errors import BadArgumentsError, CustomsError, TryAgainError

_PAGE = 100


class SupersetError(CustomsError):
    """Superset refused a call that should have worked."""


class Superset:
    """A logged-in session of one account; use as a context manager.

    Args:
        url: address of Superset, e.g. ``http://127.0.0.1:18088``.
        account: user name.
        password: its password.
        timeout: seconds a single call may take.
    """

    def __init__(self, url: str, account: str, password: str, timeout: float = 120) -> None:
        self.url = url
        self.account = account
        self._http = httpx.Client(base_url=url, timeout=timeout, headers={"Referer": url})
        self._login(password)

    def __enter__(self) -> "Superset":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _login(self, password: str) -> None:
        try:
            answer = self._http.post(
                "/api/v1/security/login",
                json={"username": self.account, "password": password, "provider": "db", "refresh": False},
            )
        except httpx.TransportError as error:
            raise TryAgainError(
                f"Superset does not answer at {self.url} ({error}): start it with `customs up`, then publish again."
            ) from error
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise BadArgumentsError(
                f"Superset at {self.url} refuses the password of {self.account}: the account is locked or disabled "
                "(`customs audit list --event login`), or Superset belongs to another data folder; check CUSTOMS_HOME."
            )
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise TryAgainError(f"Superset at {self.url} is not ready (HTTP {answer.status_code}): try again shortly.")
        self._http.headers["Authorization"] = f"Bearer {self._result(answer, 'log in')['access_token']}"
        self._http.headers["X-CSRFToken"] = self.get("security/csrf_token/")["result"]

    def _result(self, answer: httpx.Response, doing: str) -> dict[str, Any]:
        if answer.is_error:
            raise SupersetError(
                f"Superset answered {answer.status_code} when asked to {doing}: {answer.text[:600]}; "
                "its log is superset.log in the logs folder."
            )
        return answer.json()

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Return the answer of ``GET /api/v1/<path>``."""
        return self._result(self._http.get(f"/api/v1/{path}", params=params), f"read {path}")

    def post(self, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """Return the answer of ``POST /api/v1/<path>`` with a JSON body, or ``files=``."""
        if body is not None:
            options["json"] = body
        return self._result(self._http.post(f"/api/v1/{path}", **options), f"write {path}")

    def put(self, path: str, body: Any) -> dict[str, Any]:
        """Return the answer of ``PUT /api/v1/<path>``."""
        return self._result(self._http.put(f"/api/v1/{path}", json=body), f"change {path}")

    def delete(self, path: str) -> dict[str, Any]:
        """Return the answer of ``DELETE /api/v1/<path>``."""
        return self._result(self._http.delete(f"/api/v1/{path}"), f"delete {path}")

    def status(self, path: str, body: Any) -> httpx.Response:
        """Return the bare response of ``POST /api/v1/<path>``, whatever its status."""
        return self._http.post(f"/api/v1/{path}", json=body)

    def bare(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the bare response to a request to any path of Superset, whatever its status."""
        return self._http.request(method, path, **options)

    def rows(self, path: str, columns: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """Return every row of a list endpoint, page by page."""
        chosen = f",columns:!({','.join(columns)})" if columns else ""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(path, q=f"(page:{len(found) // _PAGE},page_size:{_PAGE}{chosen})")
            found += page["result"]
            if len(found) >= page["count"] or not page["result"]:
                return found
