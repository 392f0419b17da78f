"""The pages of the quality runs for stewards who are signed in: links of the Data stewardship dashboard lead here."""

from pathlib import Path

from flask import Blueprint, abort, redirect, request, send_from_directory
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.exceptions import NotFound

READERS = frozenset({"Admin", "steward"})


def quality_reports(folder: Path) -> Blueprint:
    """Return what answers below ``/quality/``.

    Args:
        folder: the quality reports of the data folder.
    """
    pages = Blueprint("quality_reports", __name__, url_prefix="/quality")

    @pages.get("/")
    @pages.get("/<path:page>")
    def show(page: str = "index.html") -> ResponseReturnValue:
        if not current_user.is_authenticated:
            return redirect(f"/login/?next={request.path}")
        if not READERS & {role.name for role in current_user.roles}:
            abort(403, "Quality reports are for data stewards.")
        try:
            return send_from_directory(folder, page)
        except NotFound:
            abort(404, "There is no such quality report: reports are kept for 30 days.")

    return pages
