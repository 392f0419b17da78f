"""Inputs of aeo_candidate; computed by ``spark_jobs.features.aeo_candidate``."""

from models.declared import DeclaredFeatures
from models.enterprise_risk.features import STATE_CATEGORICAL, STATE_INPUTS, STATE_NUMERIC

FEATURES = DeclaredFeatures(
    name="aeo_candidate",
    owner="Enterprise credit",
    question="Would this enterprise pass an AEO validation if it applied today?",
    inputs=STATE_INPUTS,
    as_of_rule=(
        "An enterprise is described by what was known before the day it applied; the marks of that validation are "
        "never used, and its decision is learned from only after decided_on."
    ),
    key=("trader_id", "snapshot_on"),
    time="snapshot_on",
    label="is_passed",
    numeric=STATE_NUMERIC,
    categorical=(*STATE_CATEGORICAL, "validation_kind"),
    meta=("validation_id", "decided_on"),
)
