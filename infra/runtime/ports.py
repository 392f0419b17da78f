"""Default ports of the services; stdlib only, so that the set-up can check them before anything is installed."""

SERVICE_PORTS = {"airflow": 18080, "superset": 18088, "mlflow": 18050}
