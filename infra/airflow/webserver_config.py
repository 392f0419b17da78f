"""Sign-in of Airflow: accounts with hashed passwords in its own database; nobody registers, nothing is public."""

from flask_appbuilder.const import AUTH_DB

AUTH_TYPE = AUTH_DB
AUTH_USER_REGISTRATION = False
WTF_CSRF_ENABLED = True
