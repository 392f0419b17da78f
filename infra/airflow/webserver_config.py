"""Sign-in of Airflow: the platform's accounts; nobody registers, nothing is public."""

from flask_appbuilder.const import AUTH_DB

from infra.airflow.sign_in import AirflowSignIn

AUTH_TYPE = AUTH_DB
AUTH_USER_REGISTRATION = False
SECURITY_MANAGER_CLASS = AirflowSignIn
WTF_CSRF_ENABLED = True
