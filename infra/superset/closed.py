"""Paths of Superset that stay closed for everybody, because no permission of its own governs them."""

from flask import Flask, Response, jsonify, request

# asks for the right to open SQL Lab only, so who may not export could (6.1)
CLOSED = ("/api/v1/sqllab/export_streaming",)


def close(app: Flask) -> None:
    """Refuse the closed paths before Superset sees the request."""

    @app.before_request
    def refuse() -> Response | None:
        if not request.path.startswith(CLOSED):
            return None
        refusal = jsonify({"message": "Data leaves by request: `customs share request` (docs: the steward's page)."})
        refusal.status_code = 403
        return refusal
