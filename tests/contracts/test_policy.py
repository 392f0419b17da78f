"""Who sees what: the matrix, the masks, and absent for whatever the policy does not know."""

from decimal import Decimal

import pytest

from data_contracts import load_contract, load_contracts
from data_contracts.emit.masks import GradedColumn, cohort_condition, column_expression, role_projection
from data_contracts.emit.sql import transpile
from data_contracts.errors import ContractError
from data_contracts.loader import ROOT
from data_contracts.policy import load_policy

POLICY = load_policy()


def test_the_matrix_follows_the_grades():
    assert POLICY.form("L1", "manager") == "clear"
    assert POLICY.form("L2", "manager") == "aggregated"
    assert POLICY.form("L3", "analyst") == "bucketed"
    assert POLICY.form("L3", "analyst", "general") == "masked"
    assert POLICY.form("L4", "analyst", "sensitive") == "pseudonym"
    assert POLICY.form("L4", "steward", "sensitive") == "absent"
    assert POLICY.form("L2", "steward", "sensitive") == "absent"
    assert POLICY.k == 10


@pytest.mark.parametrize(
    ("grade", "role", "personal"),
    [("L5", "service", "none"), (None, "service", "none"), ("L1", "intern", "none"), ("L3", "manager", "perhaps")],
)
def test_the_unknown_is_absent(grade, role, personal):
    assert POLICY.form(grade, role, personal) == "absent"
    column = GradedColumn("x", grade, "VARCHAR", personal)
    assert column_expression(column, role, POLICY) is None


def test_no_role_but_the_service_reads_sensitive_values_in_clear():
    for contract in load_contracts().values():
        for role in POLICY.roles:
            seen = role_projection(contract, role)
            assert list(seen) == [f.name for f in contract.columns]
            for f in contract.columns:
                if f.personal_information == "sensitive" and role != "service":
                    assert seen[f.name] is None or (f.mask == "hmac" and role == "analyst"), f"{contract.id}.{f.name}"
                if f.personal_information != "none" and role in ("manager", "recipient"):
                    assert seen[f.name] is None


def test_a_manager_gets_row_level_columns_of_the_first_grade_only():
    contract = load_contract("declarations.declaration_item")
    seen = {name for name, sql in role_projection(contract, "manager").items() if sql}
    assert seen == {f.name for f in contract.columns if f.grade == "L1"}
    cohort = {name for name, sql in role_projection(contract, "manager", aggregated=True).items() if sql}
    assert "customs_value" in cohort
    assert cohort_condition("records") == '"records" >= 10'


def test_an_analyst_gets_amounts_in_buckets_and_closed_vocabularies_as_they_are():
    item = role_projection(load_contract("declarations.declaration_item"), "analyst")
    assert "LOG10" in (item["customs_value"] or "")
    assert item["hs_code"] == '"hs_code"'
    inspection = role_projection(load_contract("inspections.inspection"), "analyst")
    assert inspection["is_violation"] == '"is_violation"'
    assert inspection["selected_by"] == '"selected_by"'
    assert inspection["finding_code"] == '"finding_code"'
    declaration = role_projection(load_contract("declarations.declaration"), "analyst")
    assert declaration["overseas_party_id"] is None


def masked(duck, mask: str, value: str, kind: str = "VARCHAR"):
    sql = POLICY.masks[mask].replace("{value}", "v").replace("{type}", kind)
    return duck.execute(f"SELECT {sql} FROM (SELECT CAST({value} AS {kind}) AS v)").fetchone()[0]


def test_masks_hide_what_they_say(duck):
    assert masked(duck, "redact", "'secret note'") == "[redacted]"
    assert masked(duck, "redact", "NULL") is None
    assert masked(duck, "first_char", "'张三丰'") == "张**"
    assert masked(duck, "phone_3_4", "'13812345678'") == "138****5678"
    assert masked(duck, "bucket", "734212.55", "DECIMAL(18,2)") == Decimal("700000.00")
    assert masked(duck, "bucket", "1000", "INTEGER") == 1000
    assert masked(duck, "bucket", "999", "INTEGER") == 900
    assert masked(duck, "bucket", "0", "INTEGER") == 0
    assert masked(duck, "bucket", "-83.5", "DOUBLE") == -80
    assert masked(duck, "bucket", "0.0734", "DOUBLE") == pytest.approx(0.07)
    assert masked(duck, "bucket", "NULL", "DOUBLE") is None
    # 0.3 / 0.1 is a little less than 3, and 0.9999999999 is less than 1
    assert masked(duck, "bucket", "0.3", "DOUBLE") == pytest.approx(0.3)
    assert masked(duck, "bucket", "0.9999999999191952", "DOUBLE") == pytest.approx(0.9)


def test_masks_mean_the_same_in_spark_sql():
    for mask, sql in POLICY.masks.items():
        assert transpile(sql.replace("{value}", "v").replace("{type}", "DOUBLE"), "spark"), mask


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("k: 10", "k: 1", "protects nobody"),
        ("analyst: bucketed", "analyst: blurred", "blurred"),
        ("  redact:", "  redakt:", "redakt"),
        ("\nretention:", "\nretentoin:", "retentoin"),
        ("{manager: absent, analyst: masked, ", "{manager: absent, ", "'analyst' is missing"),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path, old, new, words):
    text = (ROOT / "policy.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "policy.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ContractError, match=words):
        load_policy(tmp_path)
