"""Prepares Superset's database in one process (each `superset` call costs 10 CPU seconds): tables, roles, the admin.

Reads ``{"admin": password}`` from standard input. Dashboards, the other accounts and their roles come with
``customs dashboards publish``.
"""

import json
import sys


def main() -> None:
    """Migrate the tables, write Superset's own roles and the admin account."""
    password = json.load(sys.stdin)["admin"]
    from superset.app import create_app

    app = create_app()
    with app.app_context():
        from flask_migrate import upgrade

        upgrade()

    # a second application, because the first one was wired up before the tables were there
    app = create_app()
    with app.app_context():
        from superset import appbuilder, db, security_manager

        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        admin = security_manager.find_user(username="admin")
        if admin is None:
            role = security_manager.find_role("Admin")
            admin = security_manager.add_user("admin", "Admin", "", "admin@customs.invalid", role, password)
            if not admin:
                sys.exit("Superset's admin account could not be made")
        else:
            security_manager.reset_password(admin.id, password)
        db.session.commit()


if __name__ == "__main__":
    main()
