"""Inputs of enterprise_risk; computed by ``spark_jobs.features.enterprise_risk``."""

from models.declared import DeclaredFeatures

# shared by every model about enterprises
STATE_NUMERIC = (
    "declarations_per_month",
    "lodged_for_others_per_month",
    "ln_value_per_month",
    "ln_duty_per_month",
    "mean_price_deviation",
    "low_price_share",
    "price_trend",
    "late_share",
    "mismatch_share",
    "preference_share",
    "new_goods_share",
    "recent_activity",
    "inspections_per_month",
    "inspections_ever",
    "violations_12m",
    "violations_ever",
    "violation_rate",
    "critical_ever",
    "ln_recovered_12m",
    "amendments_12m",
    "amendments_90d",
    "amendment_share",
    "penalties_12m",
    "penalties_ever",
    "arrears_12m",
    "smuggling_ever",
    "repairs_ever",
    "rank_changes_ever",
    "ln_penalty_amount_12m",
    "days_since_violation",
    "days_since_declaration",
    "validations_before",
    "last_validation_score",
    "last_validation_passed",
    "rank_level",
    "is_aeo",
    "tenure_days",
    "ln_capital",
    "ln_employees",
    "debt_ratio",
)
STATE_CATEGORICAL = ("enterprise_kind", "industry_code", "region_code")
STATE_INPUTS = (
    "declarations.declaration",
    "declarations.declaration_item",
    "declarations.declaration_event",
    "inspections.inspection",
    "enterprises.enterprise",
    "enterprises.credit_event",
    "enterprises.aeo_validation",
)

FEATURES = DeclaredFeatures(
    name="enterprise_risk",
    owner="Enterprise credit",
    question="How likely is it that customs learns of a violation of this enterprise within the next 12 months?",
    inputs=STATE_INPUTS,
    as_of_rule=(
        "A snapshot is described by what was known before its day. A month after it counts as observed only when it "
        "ended before the as-of day; violations are dated by the day customs learned of them."
    ),
    key=("trader_id", "snapshot_on"),
    time="snapshot_on",
    label="months_to_violation",
    numeric=STATE_NUMERIC,
    categorical=STATE_CATEGORICAL,
    meta=("months_observed",),
)
