"""Feature sets as of a day: windows over history that never look past the row they describe."""

FEATURE_SETS = ("declaration_risk", "enterprise_risk", "aeo_candidate", "ore_verification")
