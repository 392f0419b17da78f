"""Prepares Superset's database in one process (each `superset` call costs 10 CPU seconds): tables and built-in roles.

Dashboards, roles and rights come with ``customs dashboards publish``; people come with their first sign-in.
"""


def main() -> None:
    """Migrate the tables and write Superset's own roles."""
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
        db.session.commit()


if __name__ == "__main__":
    main()
