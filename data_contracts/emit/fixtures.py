"""Contracts to test rows: valid ones that obey every rule, and one row per rule that breaks exactly that rule.

A raw row is {our field: text or None} for every field read from the message, plus ``source_system``; for a table the
platform makes itself, for every field.
"""

import random
import re._constants as sre  # the parser of the standard library: patterns are generated from, not guessed
import re._parser as sre_parser
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from stdnum import iso6346, luhn
from stdnum.cn import uscc

from data_contracts.codes import code_list
from data_contracts.errors import ContractError
from data_contracts.model import Contract, Field, Rule

RawRow = dict[str, str | None]
# Rows are dated here: after the newest dated code list came into force.
FIRST_DAY, DAYS = date(2026, 4, 1), 200
_ALPHABET = "ABCDEFGHJKLMNPQRTUWXY0123456789"


def _from_pattern(pattern: str, rng: random.Random) -> str:
    """Return a text that matches an anchored pattern of the subset contracts use."""

    def draw(tokens) -> str:
        out = []
        for op, value in tokens:
            if op is sre.LITERAL:
                out.append(chr(value))
            elif op is sre.IN:
                kind, choice = rng.choice(value)
                out.append(chr(choice) if kind is sre.LITERAL else chr(rng.randint(*choice)))
            elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
                low, high, inner = value
                out += [draw(inner) for _ in range(rng.randint(low, min(high, low + 3)))]
            elif op is sre.SUBPATTERN:
                out.append(draw(value[3]))
            elif op is sre.BRANCH:
                out.append(draw(rng.choice(value[1])))
            elif op is not sre.AT:
                raise ContractError(
                    f"Pattern {pattern}: {op} is not generated; use literals, classes, counts, branches."
                )
        return "".join(out)

    return draw(sre_parser.parse(pattern))


def valid_uscc(rng: random.Random) -> str:
    """Return a unified social credit code with a valid check character (GB 32100-2015)."""
    body = "9" + rng.choice("123") + f"{rng.randint(110000, 659999)}" + "".join(rng.choices(_ALPHABET, k=9))
    return body + uscc.calc_check_digit(body + "0")


def valid_container(rng: random.Random) -> str:
    """Return a container number with a valid check digit (ISO 6346)."""
    body = "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=3)) + "U" + f"{rng.randint(0, 999999):06d}"
    return body + iso6346.calc_check_digit(body)


def valid_wagon(rng: random.Random) -> str:
    """Return a wagon number of the 1520 mm network with a valid check digit."""
    body = rng.choice("2456") + f"{rng.randint(0, 999999):06d}"
    return body + luhn.calc_check_digit(body)


_CHECKED: dict[str, Callable[[random.Random], str]] = {
    "uscc": valid_uscc,
    "iso6346": valid_container,
    "luhn": valid_wagon,
}


def _value(field: Field, contract: Contract, rng: random.Random, day: date) -> str:
    algorithm = {r.field: r.algorithm for r in contract.rules if r.kind == "checksum"}.get(field.name)
    if algorithm:
        return _CHECKED[algorithm](rng)
    if field.code_list:
        return rng.choice([c.code for c in code_list(field.code_list) if c.valid_on(day)])
    if field.pattern:
        return _from_pattern(field.pattern, rng)
    kind = field.physical_type
    if kind == "VARCHAR":
        return f"{field.name[:12]}-{rng.randint(1, 10**6)}"[: field.max_length or 60]
    if kind == "DATE":
        return day.isoformat()
    if kind == "TIMESTAMPTZ":
        return f"{day.isoformat()}T{rng.randint(8, 17):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}+08:00"
    if kind == "BOOLEAN":
        return rng.choice(("true", "false"))
    low = float(field.minimum if field.minimum is not None else 0)
    high = float(field.maximum if field.maximum is not None else 1000)
    if kind in ("INTEGER", "BIGINT"):
        return str(rng.randint(int(low), int(min(high, low + 40))))
    scale = field.decimal[1] if field.decimal else 3
    return f"{rng.uniform(low, min(high, low + 1000)):.{min(scale, 3)}f}"


def _arrange_declaration(row: RawRow, rng: random.Random) -> None:
    row["declaration_no"] = f"{row['customs_office_code']}{str(row['declared_on'])[:4]}1{rng.randint(0, 999999999):09d}"
    row["net_mass_kg"], row["gross_mass_kg"] = "90.500", "100.250"


def _arrange_number(row: RawRow, rng: random.Random) -> None:
    row["declaration_no"] = f"010120261{rng.randint(0, 999999999):09d}"


def _arrange_event(row: RawRow, rng: random.Random) -> None:
    _arrange_number(row, rng)
    row["event_seq"] = "2"  # what was before is not known, so any state may follow


def _arrange_summary(row: RawRow, rng: random.Random) -> None:
    _arrange_number(row, rng)
    row.update(credit_rank_code="regular", supervision_mode_code="0110", licence_code="1", dispatch_country_code="DE")


def _arrange_summary_item(row: RawRow, rng: random.Random) -> None:
    _arrange_number(row, rng)
    row.update(hs6_code="847130", supervision_category_code="8471301000999", origin_country_code="DE")


def _arrange_complete_item(row: RawRow, rng: random.Random) -> None:
    _arrange_number(row, rng)
    row.update(hs_code="8471301000", supervision_category_code="8471301000999")


def _arrange_item(row: RawRow, rng: random.Random) -> None:
    row["hs_code"] = rng.choice(code_list("reference.hs_code")).code + f"{rng.randint(0, 9999):04d}"
    row["customs_value"], row["duty_rate_pct"], row["duty_amount"] = "1000.00", "6.5000", "65.00"


def _arrange_order(row: RawRow, rng: random.Random) -> None:
    row.update(goods_value="300.00", freight="10.00", tax_total="27.30", discount="7.30", actual_paid="330.00")


def _arrange_list(row: RawRow, rng: random.Random) -> None:
    row["hs_code"] = rng.choice(code_list("reference.hs_code")).code + "9000"


def _arrange_inspection(row: RawRow, rng: random.Random) -> None:
    day = str(row["inspected_on"])
    row.update(started_at=f"{day}T09:00:00+08:00", finished_at=f"{day}T10:30:00+08:00")
    if row["is_violation"] == "false":
        row["finding_code"] = None


def _arrange_selection(row: RawRow, rng: random.Random) -> None:
    if row["is_selected"] == "false":
        row["selected_by"] = None


def _arrange_train(row: RawRow, rng: random.Random) -> None:
    row["pass_id"] = str(row["arrived_at"])[:10].replace("-", "") + "101500"


def _arrange_wagon(row: RawRow, rng: random.Random) -> None:
    row.update(declared_mass_kg="68000.000", weighed_mass_kg="68100.000")


def _arrange_milestone(row: RawRow, rng: random.Random) -> None:
    day = str(row["occurred_at"])[:10]
    row.update(
        occurred_at=f"{day}T09:00:00+08:00",
        known_at=f"{day}T09:00:20+08:00",
        previous_status="accepted_awaiting_arrival",
        step_status="assessed",
    )


def _arrange_grain_step(row: RawRow, rng: random.Random) -> None:
    day = str(row["finished_at"])[:10]
    row.update(started_at=f"{day}T09:00:00+08:00", finished_at=f"{day}T09:20:00+08:00")
    row.update(step_code="screening", result_code="clean")
    row.update(dict.fromkeys(("decision_code", "treatment_code", "increment_count", "sample_id", "seal_no")))


def _arrange_grain_sample(row: RawRow, rng: random.Random) -> None:
    day = str(row["drawn_at"])[:10]
    row.update(drawn_at=f"{day}T09:00:00+08:00", sealed_at=f"{day}T09:20:00+08:00")
    row.update(received_at=f"{day}T15:00:00+08:00", received_seal_no=row["seal_no"], is_seal_intact="true")


def _arrange_device(row: RawRow, rng: random.Random) -> None:
    day = str(row["read_at"])[:10]
    row.update(
        read_at=f"{day}T09:00:00+08:00",
        known_at=f"{day}T09:00:20+08:00",
        calibrated_at=f"{day}T06:00:00+08:00",
        device_state="normal",
    )


def _arrange_composition(row: RawRow, rng: random.Random) -> None:
    _arrange_device(row, rng)
    row.update(dict.fromkeys((name for name in row if name.endswith("_pct")), "1.0"))
    row.update(method_code="hyperspectral", tfe_pct="65.0", feo_pct="24.0", below_lod="s", s_pct=None)


def _arrange_radiation(row: RawRow, rng: random.Random) -> None:
    _arrange_device(row, rng)
    row.update({f"panel_{i}_count": "6600" for i in (1, 2, 3, 4)})
    row.update(gamma_total="26400", background_count="6600", neutron_count="0", is_alarm="false")


def _arrange_inclusion(row: RawRow, rng: random.Random) -> None:
    _arrange_device(row, rng)
    row.update(net_mass_kg="70000.000", class_c_weight_g="7000", class_c_share_pct="0.01")


def _arrange_inspection_order(row: RawRow, rng: random.Random) -> None:
    row["ordered_at"] = f"{str(row['ordered_at'])[:10]}T09:00:00+08:00"


def _arrange_sample(row: RawRow, rng: random.Random) -> None:
    row.update(drawn_at=f"{str(row['known_at'])[:10]}T00:00:00+08:00")


def _arrange_certificate(row: RawRow, rng: random.Random) -> None:
    row["valid_until"] = "2099-12-31"


def _arrange_package(row: RawRow, rng: random.Random) -> None:
    day = str(row["arrived_at"])[:10]
    row.update(package_kind="lithium", certificate_valid_until="2099-12-31", is_opened_at_port="false")
    row.update(port_started_at=f"{day}T18:00:00+08:00", port_finished_at=f"{day}T18:20:00+08:00")
    row.update(dict.fromkeys(("violation_code", "violation_stage", "violation_found_on")))


_INSTRUCTED = {"instructed": "09:00:00", "known": "09:00:20", "answer_due": "21:00:00"}


def _arrange_instruction(row: RawRow, rng: random.Random) -> None:
    day = str(row["instructed_at"])[:10]
    row.update({f"{name}_at": f"{day}T{at}+08:00" for name, at in _INSTRUCTED.items()})


def _arrange_instruction_result(row: RawRow, rng: random.Random) -> None:
    day = str(row["occurred_at"])[:10]
    row.update(
        instructed_at=f"{day}T09:00:00+08:00",
        occurred_at=f"{day}T09:10:00+08:00",
        known_at=f"{day}T09:10:20+08:00",
        previous_code="started",
        answer_code="result",
    )


def _arrange_validation(row: RawRow, rng: random.Random) -> None:
    row.update(
        internal_control_score="-1.0",
        financial_score="0.0",
        compliance_score="-2.0",
        trade_security_score="0.0",
        additional_score="2.0",
        total_score="99.0",
    )


def _arrange_period(row: RawRow, rng: random.Random) -> None:
    row["valid_to"] = None


# What relates the fields of a row: after it, every expression rule of the contract holds (a test runs them all).
_ARRANGE: dict[str, Callable[[RawRow, random.Random], None]] = {
    "declarations.declaration": _arrange_declaration,
    "declarations.declaration_event": _arrange_event,
    "declarations.summary_declaration": _arrange_summary,
    "declarations.summary_item": _arrange_summary_item,
    "declarations.complete_declaration": _arrange_number,
    "declarations.complete_item": _arrange_complete_item,
    "declarations.declaration_item": _arrange_item,
    "ecommerce.order": _arrange_order,
    "ecommerce.list": _arrange_list,
    "inspections.inspection": _arrange_inspection,
    "inspections.selection": _arrange_selection,
    "inspections.grain_step": _arrange_grain_step,
    "inspections.grain_sample": _arrange_grain_sample,
    "inspections.packaging_registration": _arrange_certificate,
    "inspections.packaging_certificate": _arrange_certificate,
    "inspections.special_package": _arrange_package,
    "enterprises.aeo_validation": _arrange_validation,
    "rail.train": _arrange_train,
    "rail.wagon": _arrange_wagon,
    "rail.milestone": _arrange_milestone,
    "rail.inspection_order": _arrange_inspection_order,
    "rail.composition": _arrange_composition,
    "rail.radiation": _arrange_radiation,
    "rail.inclusion": _arrange_inclusion,
    "rail.laboratory_result": _arrange_sample,
    "rail.instruction": _arrange_instruction,
    "rail.instruction_result": _arrange_instruction_result,
}

# Rows that must change more than one value to break one rule only, and those that break a rule between fields.
_FAULTS: dict[tuple[str, str], dict[str, str | None]] = {
    ("declarations.declaration", "declaration_no.format"): {"declaration_no": "{customs_office_code}20261X00000001"},
    ("declarations.declaration", "declaration_no.office"): {
        "customs_office_code": "0100",
        "declaration_no": "020020261000000001",
    },
    ("declarations.declaration", "customs_office_code.code"): {
        "customs_office_code": "0000",
        "declaration_no": "000020261000000001",
    },
    ("declarations.declaration", "net_mass_kg.not_above_gross"): {"net_mass_kg": "11", "gross_mass_kg": "10"},
    ("declarations.declaration", "net_mass_kg.range"): {"net_mass_kg": "-1"},
    ("declarations.declaration", "declared_on.range"): {"declared_on": "1999-12-31", "declared_at": None},
    ("declarations.declaration", "declared_on.day_of_declared_at"): {"declared_at": "2026-01-02T23:30:00+00:00"},
    ("declarations.declaration", "declared_on.not_in_future"): {"declared_on": "2099-01-01", "declared_at": None},
    ("declarations.declaration_event", "declaration_no.format"): {"declaration_no": "01012026100000001"},
    ("declarations.declaration_event", "occurred_on.range"): {"occurred_at": "1999-05-01T08:00:00+08:00"},
    ("declarations.declaration_event", "occurred_at.not_after_known"): {"message_at": "2026-01-01T08:00:00+08:00"},
    ("declarations.summary_declaration", "declaration_no.format"): {"declaration_no": "01012026100000001"},
    ("declarations.summary_declaration", "summary_on.range"): {
        "summary_submitted_at": "2100-05-01T08:00:00+08:00",
        "message_at": "2100-05-01T09:00:00+08:00",
    },
    ("declarations.summary_item", "declaration_no.format"): {"declaration_no": "01012026100000001"},
    ("declarations.summary_item", "summary_on.range"): {"summary_submitted_at": "1999-05-01T08:00:00+08:00"},
    ("declarations.complete_declaration", "declaration_no.format"): {"declaration_no": "01012026100000001"},
    ("declarations.complete_declaration", "complete_on.range"): {"complete_submitted_at": "1999-05-01T08:00:00+08:00"},
    ("declarations.complete_item", "declaration_no.format"): {"declaration_no": "01012026100000001"},
    ("declarations.complete_item", "complete_on.range"): {"complete_submitted_at": "2100-05-01T08:00:00+08:00"},
    ("declarations.summary_declaration", "summary_submitted_at.not_after_message"): {
        "message_at": "2026-01-01T08:00:00+08:00"
    },
    ("declarations.complete_declaration", "complete_submitted_at.not_after_message"): {
        "message_at": "2026-01-01T08:00:00+08:00"
    },
    ("declarations.summary_declaration", "credit_rank_code.two_step_rank"): {"credit_rank_code": "dishonest"},
    ("declarations.summary_declaration", "supervision_mode_code.negative_list"): {"supervision_mode_code": "1210"},
    ("declarations.summary_declaration", "licence_code.negative_list"): {"licence_code": "P"},
    ("declarations.summary_declaration", "dispatch_country_code.negative_list"): {"dispatch_country_code": "KP"},
    ("declarations.summary_declaration", "licence_no.summary_fields"): {"is_controlled": "true", "licence_no": None},
    ("declarations.summary_declaration", "guarantee_no.summary_fields"): {"is_taxed": "true", "guarantee_no": None},
    ("declarations.summary_declaration", "container_no.summary_fields"): {
        "is_containerised": "true",
        "container_no": None,
    },
    ("declarations.summary_item", "hs6_code.negative_list"): {
        "hs6_code": "100199",
        "supervision_category_code": "1001990001999",
    },
    ("declarations.summary_item", "hs6_code.code"): {
        "hs6_code": "999999",
        "supervision_category_code": "9999990000999",
    },
    ("declarations.summary_item", "origin_country_code.negative_list"): {"origin_country_code": "KP"},
    ("declarations.summary_item", "product_qualification.summary_fields"): {
        "is_inspected": "true",
        "product_qualification": None,
    },
    ("declarations.summary_item", "item_container_no.summary_fields"): {
        "is_containerised": "true",
        "is_inspected": "true",
        "item_container_no": None,
    },
    ("declarations.summary_item", "supervision_category_code.of_hs6"): {"supervision_category_code": "8471901000999"},
    ("declarations.complete_item", "supervision_category_code.hs10_ciq3"): {
        "supervision_category_code": "8471301009999"
    },
    ("declarations.complete_item", "hs_code.pattern"): {"hs_code": "847130100"},
    ("declarations.complete_item", "supervision_category_code.pattern"): {
        "supervision_category_code": "84713010009990"
    },
    ("declarations.complete_item", "ciq_code.code"): {"supervision_category_code": "8471301000000"},
    ("declarations.complete_item", "hs6_code.code"): {
        "hs_code": "9999990000",
        "supervision_category_code": "9999990000999",
    },
    ("declarations.declaration_item", "hs_code.ten_digits"): {"hs_code": "010121"},
    ("declarations.declaration_item", "hs_code.pattern"): {"hs_code": "01012"},
    ("declarations.declaration_item", "hs6_code.code"): {"hs_code": "9999990000"},
    ("declarations.declaration_item", "duty_amount.of_value"): {"duty_amount": "95.00"},
    ("ecommerce.order", "actual_paid.adds_up"): {"actual_paid": "331.00"},
    ("ecommerce.order", "goods_value.range"): {"goods_value": "-1", "actual_paid": "29.00"},
    ("ecommerce.order", "freight.range"): {"freight": "-1", "actual_paid": "319.00"},
    ("ecommerce.order", "discount.range"): {"discount": "-1", "actual_paid": "338.30"},
    ("ecommerce.order", "tax_total.range"): {"tax_total": "-1", "actual_paid": "301.70"},
    ("ecommerce.order", "actual_paid.range"): {"actual_paid": "-1", "discount": "338.30"},
    ("ecommerce.order", "business_date.day_of_ordered_at"): {"ordered_at": "2026-01-02T23:30:00+00:00"},
    ("ecommerce.order", "business_date.range"): {"business_date": "1999-12-31", "ordered_at": None},
    ("ecommerce.payment", "business_date.range"): {"business_date": "1999-12-31", "paid_at": None},
    ("ecommerce.waybill", "business_date.range"): {"business_date": "1999-12-31", "shipped_at": None},
    ("ecommerce.list", "hs6_code.code"): {"hs_code": "9999990000"},
    ("ecommerce.list", "business_date.day_of_declared_at"): {"declared_at": "2026-01-02T23:30:00+00:00"},
    ("ecommerce.list", "business_date.range"): {
        "business_date": "1999-12-31",
        "declared_at": None,
        "supervision_mode_code": "0110",
    },
    ("inspections.inspection", "finding_code.when_violation"): {"is_violation": "false", "finding_code": "other"},
    ("inspections.inspection", "finding_code.code"): {"is_violation": "true", "finding_code": "unheard_of"},
    ("inspections.inspection", "finished_at.after_start"): {"finished_at": "2026-01-01T00:00:00Z"},
    ("inspections.inspection", "inspected_on.range"): {"inspected_on": "1999-12-31"},
    ("inspections.inspection", "label_available_on.not_before_inspection"): {"label_available_on": "2026-01-01"},
    ("inspections.inspection", "label_available_on.range"): {"label_available_on": "2100-01-02"},
    ("inspections.measurement", "calibrated_on.before_use"): {"calibrated_on": "2099-01-01"},
    ("inspections.measurement", "inspected_on.range"): {"inspected_on": "2100-01-02"},
    ("inspections.selection", "selected_by.when_selected"): {"is_selected": "false", "selected_by": "rule"},
    ("inspections.selection", "selected_by.pattern"): {"is_selected": "true", "selected_by": "rul#"},
    ("inspections.grain_step", "finished_at.after_start"): {"started_at": "2050-01-01T00:00:00Z"},
    ("inspections.grain_step", "finished_at.not_after_message"): {
        "started_at": "2050-01-01T08:00:00+08:00",
        "finished_at": "2050-01-01T09:00:00+08:00",
    },
    ("inspections.grain_step", "finished_on.range"): {
        "started_at": "1999-05-01T08:00:00+08:00",
        "finished_at": "1999-05-01T09:00:00+08:00",
    },
    ("inspections.grain_step", "step_code.pattern"): {"step_code": "screenin#", "result_code": None},
    ("inspections.grain_step", "increment_count.when_sampled"): {"increment_count": "11"},
    ("inspections.grain_step", "increment_count.range"): {
        "step_code": "sampling",
        "result_code": None,
        "increment_count": "0",
    },
    ("inspections.grain_step", "increment_count.type"): {
        "step_code": "surface",
        "increment_count": "eleven",
    },
    ("inspections.grain_step", "result_code.when_examined"): {"result_code": None},
    ("inspections.grain_step", "decision_code.when_decided"): {"decision_code": "release"},
    ("inspections.grain_step", "decision_code.pattern"): {
        "step_code": "decision",
        "result_code": None,
        "decision_code": "releas#",
    },
    ("inspections.grain_step", "treatment_code.when_treated"): {"treatment_code": "fumigation"},
    ("inspections.grain_step", "treatment_code.pattern"): {
        "step_code": "treatment",
        "result_code": None,
        "treatment_code": "fumigatio#",
    },
    ("inspections.grain_step", "sample_id.of_laboratory"): {"step_code": "laboratory"},
    ("inspections.grain_find", "species_code.code"): {"species_code": "CENRA"},
    ("inspections.grain_find", "finished_on.range"): {
        "finished_at": "1999-05-01T08:00:00+08:00",
        "species_code": "CALAOR",
    },
    ("inspections.grain_sample", "sealed_at.type"): {"sealed_at": "not a value", "seal_no": None, "sealed_by": None},
    ("inspections.grain_sample", "received_at.type"): {"received_at": "not a value", "received_by": None},
    ("inspections.grain_sample", "sealed_at.not_before_drawn"): {"sealed_at": "2026-01-01T08:00:00+08:00"},
    ("inspections.grain_sample", "sealed_at.with_seal"): {"sealed_by": None},
    ("inspections.grain_sample", "seal_no.length"): {"seal_no": "S" * 31, "received_seal_no": None},
    ("inspections.grain_sample", "received_seal_no.length"): {
        "received_seal_no": "S" * 31,
        **dict.fromkeys(("seal_no", "sealed_at", "sealed_by")),
    },
    ("inspections.grain_sample", "received_at.not_before_sealed"): {"received_at": "2026-01-01T08:00:00+08:00"},
    ("inspections.grain_sample", "received_by.when_received"): {"received_by": None},
    ("inspections.grain_sample", "received_seal_no.as_sealed"): {"received_seal_no": "another"},
    ("inspections.grain_sample", "drawn_on.range"): {"drawn_at": "1999-05-01T08:00:00+08:00"},
    ("inspections.packaging_registration", "valid_until.after_registration"): {"valid_until": "2026-01-01"},
    ("inspections.packaging_registration", "registered_on.range"): {"registered_on": "2100-01-02", "valid_until": None},
    ("inspections.packaging_certificate", "valid_until.after_issue"): {"valid_until": "2026-01-01"},
    ("inspections.packaging_certificate", "valid_until.range"): {"valid_until": "2100-01-02"},
    ("inspections.packaging_certificate", "issued_on.range"): {"issued_on": "1999-12-31"},
    ("inspections.special_package", "mark_text.ispm15"): {"package_kind": "wood", "mark_text": "KZ 123 HT"},
    ("inspections.special_package", "mark_text.un"): {
        "package_kind": "dangerous_goods",
        "packing_group": None,
        "mark_text": "u/n 4G/Y30/S/25/CN/940001",
    },
    ("inspections.special_package", "packing_group.covered"): {
        "package_kind": "dangerous_goods",
        "packing_group": "II",
        "mark_text": "u/n 4G/Z30/S/25/CN/C940001",
    },
    ("inspections.special_package", "certificate_valid_until.at_use"): {
        "border_treatment_code": "full",
        "certificate_valid_until": "2026-01-01",
    },
    ("inspections.special_package", "border_treatment_code.not_exempt_when_expired"): {
        "border_treatment_code": "exempt",
        "certificate_valid_until": "2026-01-01",
    },
    ("inspections.special_package", "is_opened_at_port.with_order"): {
        "package_kind": "sealed",
        "is_opened_at_port": "true",
        "exception_order_no": None,
    },
    ("inspections.special_package", "port_finished_at.after_start"): {"port_finished_at": "2026-01-01T08:00:00+08:00"},
    ("inspections.special_package", "violation_code.where_and_when"): {"violation_code": "damaged"},
    ("inspections.special_package", "violation_code.pattern"): {
        "violation_code": "damage#",
        "violation_stage": "port",
        "violation_found_on": "2026-05-01",
    },
    ("inspections.special_package", "violation_stage.pattern"): {
        "violation_code": "damaged",
        "violation_stage": "por#",
        "violation_found_on": "2026-05-01",
    },
    ("inspections.special_package", "arrived_on.range"): {
        "arrived_at": "1999-05-01T08:00:00+08:00",
        "package_type_code": "4G",
    },
    ("enterprises.enterprise", "valid_from.range"): {"valid_from": "2100-01-02"},
    ("enterprises.credit_event", "known_on.not_before_event"): {"known_on": "2026-01-01"},
    ("enterprises.credit_event", "known_on.range"): {"known_on": "2100-01-02"},
    ("enterprises.aeo_certificate", "valid_until.after_grant"): {"valid_until": "2026-01-01"},
    ("enterprises.aeo_certificate", "granted_on.range"): {"granted_on": "1999-12-31"},
    ("enterprises.aeo_validation", "total_score.adds_up"): {"total_score": "98.0"},
    ("enterprises.aeo_validation", "total_score.range"): {"total_score": "103", "financial_score": None},
    ("enterprises.aeo_validation", "internal_control_score.range"): {
        "internal_control_score": "1",
        "total_score": "101",
    },
    ("enterprises.aeo_validation", "financial_score.range"): {"financial_score": "1", "total_score": "100"},
    ("enterprises.aeo_validation", "compliance_score.range"): {"compliance_score": "1", "total_score": "102"},
    ("enterprises.aeo_validation", "trade_security_score.range"): {"trade_security_score": "1", "total_score": "100"},
    ("enterprises.aeo_validation", "additional_score.range"): {"additional_score": "-1", "total_score": "96"},
    ("enterprises.aeo_validation", "decided_on.after_validation"): {"decided_on": "2026-01-01"},
    ("enterprises.aeo_validation", "decided_on.range"): {"decided_on": "2100-01-02"},
    ("enterprises.aeo_validation", "applied_on.range"): {"applied_on": "1999-12-31"},
    ("rail.train", "pass_id.day_of_arrival"): {"pass_id": "20200229101500"},
    ("rail.train", "arrived_at.not_after_message"): {
        "arrived_at": "2050-01-01T08:00:00+08:00",
        "pass_id": "20500101080000",
    },
    ("rail.train", "arrived_on.range"): {"arrived_at": "1999-05-01T08:00:00+08:00", "pass_id": "19990501080000"},
    ("rail.wagon", "wagon_no.read"): {"wagon_no": None},
    ("rail.wagon", "weighed_mass_kg.within_capacity"): {"weighed_mass_kg": "71400.5"},
    ("rail.wagon", "weighed_mass_kg.range"): {"weighed_mass_kg": "-1"},
    ("rail.wagon", "arrived_on.range"): {"arrived_at": "1999-05-01T08:00:00+08:00"},
    ("rail.manifest", "manifest_at.not_after_message"): {"manifest_at": "2050-01-01T08:00:00+08:00"},
    ("rail.manifest", "manifest_on.range"): {"manifest_at": "1999-05-01T08:00:00+08:00"},
    ("rail.milestone", "step_status.legal_transition"): {"previous_status": "pickup_allowed"},
    ("rail.milestone", "occurred_at.not_after_known"): {"known_at": "2026-01-01T08:00:00+08:00"},
    ("rail.milestone", "occurred_on.range"): {"occurred_at": "1999-05-01T08:00:00+08:00"},
    ("rail.milestone", "lane_code.when_assessed"): {"lane_code": None},
    ("rail.inspection_order", "selection_prob.positive"): {"selection_prob": "0"},
    ("rail.inspection_order", "ordered_at.not_after_message"): {"ordered_at": "2050-01-01T08:00:00+08:00"},
    ("rail.inspection_order", "ordered_on.range"): {"ordered_at": "1999-05-01T08:00:00+08:00"},
    ("rail.composition", "tfe_pct.range"): {"tfe_pct": "101"},
    ("rail.composition", "tfe_pct.physical"): {"tfe_pct": "72.5"},
    ("rail.composition", "feo_pct.physical"): {"feo_pct": "31.2"},
    ("rail.composition", "feo_pct.not_by_libs"): {
        "method_code": "libs",
        "feo_pct": "0",
    },
    ("rail.composition", "closure_pct.possible"): {"method_code": "libs", "feo_pct": None, "sio2_pct": "30"},
    ("rail.composition", "closure_pct.usual"): {"method_code": "libs", "feo_pct": None, "sio2_pct": "7"},
    ("rail.composition", "s_pct.range"): {"s_pct": "101", "below_lod": None},
    ("rail.composition", "s_pct.type"): {"s_pct": "not a value", "below_lod": None},
    ("rail.composition", "below_lod.without_value"): {"s_pct": "0.1"},
    ("rail.radiation", "gamma_total.sum_of_panels"): {"gamma_total": "26401"},
    ("rail.radiation", "is_alarm.by_rule"): {"is_alarm": "true"},
    ("rail.radiation", "panel_1_count.panels_alike"): {"panel_1_count": "4800", "gamma_total": "24600"},
    ("rail.radiation", "neutron_count.range"): {"neutron_count": "-1"},
    **{
        ("rail.radiation", f"panel_{i}_count.range"): {
            **{f"panel_{k}_count": "100000000" for k in (1, 2, 3, 4)},
            f"panel_{i}_count": "100000001",
            "gamma_total": "400000001",
            "background_count": "100000000",
        }
        for i in (1, 2, 3, 4)
    },
    ("rail.radiation", "background_count.range"): {"background_count": "0", "is_alarm": "true"},
    ("rail.inclusion", "class_c_share_pct.of_load"): {"class_c_share_pct": "0.011"},
    ("rail.inclusion", "class_c_share_pct.range"): {
        "class_c_share_pct": "101",
        "net_mass_kg": "1",
        "class_c_weight_g": "1010",
    },
    ("rail.inclusion", "class_c_weight_g.range"): {"class_c_weight_g": "-0.1", "class_c_share_pct": "0"},
    ("rail.inclusion", "net_mass_kg.range"): {"net_mass_kg": "-1", "class_c_share_pct": "0", "class_c_weight_g": "0"},
    ("rail.laboratory_result", "selection_prob.positive"): {"selection_prob": "0"},
    ("rail.laboratory_result", "known_at.not_before_drawn"): {"drawn_at": "2050-01-01T08:00:00+08:00"},
    ("rail.laboratory_result", "known_on.range"): {
        "drawn_at": "1999-05-01T08:00:00+08:00",
        "known_at": "1999-05-02T08:00:00+08:00",
    },
    **{
        (f"rail.{entity}", rule): change
        for entity in ("composition", "radiation", "inclusion")
        for rule, change in {
            "read_at.not_after_known": {"known_at": "2026-01-01T08:00:00+08:00"},
            "calibrated_at.within_a_day": {"calibrated_at": "2026-01-01T08:00:00+08:00"},
            "device_state.normal": {"device_state": "degraded"},
            "read_on.range": {
                "read_at": "1999-05-01T08:00:00+08:00",
                "calibrated_at": "1999-05-01T06:00:00+08:00",
            },
        }.items()
    },
    ("rail.instruction", "instructed_at.not_after_known"): {"known_at": "2026-01-01T08:00:00+08:00"},
    ("rail.instruction", "answer_due_at.after_issue"): {"answer_due_at": "2026-01-01T08:00:00+08:00"},
    ("rail.instruction", "instructed_on.range"): {"instructed_at": "1999-05-01T08:00:00+08:00"},
    ("rail.instruction_result", "answer_code.legal_transition"): {"previous_code": "accepted"},
    ("rail.instruction_result", "occurred_at.not_after_known"): {"known_at": "2026-01-01T08:00:00+08:00"},
    ("rail.instruction_result", "occurred_at.not_before_instruction"): {"instructed_at": "2049-01-01T08:00:00+08:00"},
    ("rail.instruction_result", "occurred_on.range"): {
        "instructed_at": "1999-05-01T08:00:00+08:00",
        "occurred_at": "1999-05-01T08:00:00+08:00",
    },
    ("rail.instruction_result", "outcome_code.with_result"): {"outcome_code": None},
}


def brought(contract: Contract) -> tuple[Field, ...]:
    """Return the fields of a raw row: those of the message, or all of a table the platform makes itself."""
    return contract.sourced if contract.feed else contract.fields


def valid_rows(contract: Contract, n: int, seed: int = 7, source_system: str = "single_window") -> list[RawRow]:
    """Return raw rows that satisfy every rule of a contract, with distinct keys.

    Args:
        contract: any contract.
        n: how many rows.
        seed: same seed, same rows.
        source_system: rules with a ``when`` look at it.
    """
    rows = []
    for number in range(n):
        rng = random.Random(f"{seed}/{contract.id}/{number}")  # noqa: S311 - test data, not a secret
        day = FIRST_DAY + timedelta(days=number % DAYS)
        row: RawRow = {f.name: _value(f, contract, rng, day) for f in brought(contract)}
        if arrange := _ARRANGE.get(contract.id):
            arrange(row, rng)
        elif contract.domain == "reference":
            _arrange_period(row, rng)
        if contract.feed is None:
            rows.append(row)
            continue
        row["message_at"] = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).isoformat()
        row["message_seq"] = str(number + 1)
        row["source_system"] = source_system
        rows.append(row)
    return rows


def _fault(rule: Rule, contract: Contract, row: RawRow) -> dict[str, str | None]:
    """Return what to change in a valid row so that this rule breaks."""
    field = contract.field(rule.field or "")
    value = row.get(field.name) or "x"
    if rule.kind == "required":
        return {field.name: None}
    if rule.kind == "type":
        return {field.name: "not a value"}
    if rule.kind == "length":
        return {field.name: value + "x" * (field.max_length or 0)}
    if rule.kind == "pattern":
        return {field.name: value[:-1] + "#"}
    if rule.kind == "code":
        return {field.name: "!!"}
    if rule.kind == "checksum":
        last = "1" if value[-1] != "1" else "2"
        return {field.name: value[:-1] + last}
    if field.physical_type == "DATE":
        bound, days = (field.minimum, -1) if field.minimum is not None else (field.maximum, 1)
        return {field.name: (date.fromisoformat(str(bound)) + timedelta(days=days)).isoformat()}
    bound, step = (field.maximum, 1) if field.maximum is not None else (field.minimum, -1)
    beyond = float(bound or 0) + step
    return {field.name: str(beyond if field.logical_type == "number" else int(beyond))}


def one_fault_rows(contract: Contract, seed: int = 7) -> list[tuple[str, RawRow]]:
    """Return [(rule id, raw row)] where each row breaks exactly that rule.

    Rules of a length, pattern, range or type are shown on a row of another source system, so that the rules that hold
    for the Single Window only stay out of the way.

    Raises:
        ContractError: an expression rule has no fault described here; add one to ``_FAULTS``.
    """
    valid = {system: valid_rows(contract, 1, seed, system)[0] for system in ("single_window", "elsewhere")}
    result = []
    for rule in contract.rules:
        conditional = rule.when is not None
        row = dict(valid["single_window" if conditional else "elsewhere"])
        described = _FAULTS.get((contract.id, rule.id))
        if described is not None:
            change = {
                k: v if v is None else v.replace("{customs_office_code}", row.get("customs_office_code") or "")
                for k, v in described.items()
            }
        elif rule.kind == "expression":
            if rule.id != "valid_to.after_from":
                raise ContractError(f"{contract.file}, rule {rule.id}: no fault is described; add one to _FAULTS.")
            change = {"valid_to": "2026-01-01"}
        else:
            change = _fault(rule, contract, row)
        row.update(change)
        result.append((rule.id, row))
    return result


def to_message(contract: Contract, row: RawRow) -> dict:
    """Return a raw row as the native message: nested by sourceField, the record array with this one element."""
    message: dict = {}
    for field in contract.sourced:
        steps = (field.source_field or "").split(".")
        target = message
        for step in steps[:-1]:
            is_array = step.endswith("[]")
            target = target.setdefault(step[:-2], [{}])[0] if is_array else target.setdefault(step, {})
        target[steps[-1]] = row.get(field.name)
    return message
