"""Inspection instructions to the railway and the port, and what they answer.

Every consignment chosen for inspection has some of its wagons named in instructions. Minerals, grain and fertiliser are
shunted to the inspection track by the railway; containers are opened by the port where they stand. The instants lie
inside those of the chain: instructed at M7, started at M8 or after, answered by M9.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

MINUTE, HOUR = 60.0, 3600.0
ANSWER_HOURS = 24
INSTRUCTIONS = {
    "minerals": "mineral_inspection",
    "grain": "grain_quarantine",
    "container": "container_opening",
    "fertiliser": "radiation_check",
    "other": "radiation_check",
}
PORT = "container_opening"
WAGONS = 3  # named in instructions, at most, of one consignment
ABNORMAL = 0.12
# what an answer follows; without shunting the inspection starts once it was accepted
ANSWERS = {"accepted": None, "shunting_done": "accepted", "started": "shunting_done", "result": "started"}
# Shares of instructions whose exchange goes wrong, in this order; the rest goes well.
FAULTS = {"instruction_lost": 0.01, "instruction_twice": 0.01, "unanswered": 0.01, "refused": 0.01}
# Shares of answers that are wrong or come badly.
ANSWER_FAULTS = {
    "answer_before_instruction": 0.003,
    "answer_known_too_early": 0.003,
    "answer_illegal": 0.003,
    "answer_corrected": 0.015,
    "answer_out_of_order": 0.02,
    "answer_duplicate": 0.01,
}


def exchange(rng: np.random.Generator, wagons: pd.DataFrame) -> dict[str, Any]:
    """Make instructions and answers.

    Args:
        rng: random numbers of this period.
        wagons: one row per wagon to be inspected: train_id, waybill_no, consignee_id, declaration_no, station_code,
            goods_kind, lane, position, wagon_no, and the instants m7, m8, m9 (epoch seconds).

    Returns:
        {"rail_instructions": (values, sent), "rail_instruction_results": (values, sent), "planted": rows of the truth};
        values are named as in the contracts.
    """
    n = len(wagons)
    fate = _drawn(rng, n, FAULTS)
    kind = wagons["goods_kind"].map(INSTRUCTIONS)
    issued = wagons["m7"] + rng.uniform(0, 60, n)
    orders = pd.DataFrame(
        {
            "instruction_id": "IN-" + wagons["train_id"] + "-" + wagons["position"].astype(str).str.zfill(3),
            **{
                name: wagons[name]
                for name in (
                    "train_id",
                    "waybill_no",
                    "consignee_id",
                    "declaration_no",
                    "station_code",
                    "position",
                    "wagon_no",
                )
            },
            "recipient_kind": np.where(kind == PORT, "port", "railway"),
            "instruction_kind": kind,
            "selected_by": np.where(wagons["lane"] == "random", "random", "rule"),
            "instructed_at": issued,
            "known_at": issued + rng.uniform(1, 20, n),
            "answer_due_at": issued + ANSWER_HOURS * HOUR,
            "fate": fate,
        }
    )
    answers = _answers(rng, orders, wagons)
    # a second instruction for the same wagon and kind before the first was answered
    again = orders[fate == "instruction_twice"].copy()
    again["instruction_id"] += "-2"
    for name in ("instructed_at", "known_at", "answer_due_at"):
        again[name] += 15 * MINUTE
    planted = pd.concat([_truth(orders, "instruction_id", "rail.instruction"), _truth(answers, "event_id", "")])
    orders = pd.concat([orders[fate != "instruction_lost"], again], ignore_index=True)
    orders["message_no"], orders["message_seq"] = orders["instruction_id"] + "#1", 1
    orders["sent"] = orders["known_at"] + rng.uniform(1, 5, len(orders))
    return {
        "rail_instructions": _values(orders, ("instructed_at", "known_at", "answer_due_at")),
        "rail_instruction_results": _values(_messages(rng, answers), ("instructed_at", "occurred_at", "known_at")),
        "planted": planted,
    }


def _drawn(rng: np.random.Generator, n: int, shares: dict[str, float]) -> np.ndarray:
    """Draw for n things which of the named accidents befalls each; empty text for none."""
    place = np.searchsorted(np.cumsum(list(shares.values())), rng.random(n), side="right")
    return np.array([*shares, ""], dtype=object)[place]


def _answers(rng: np.random.Generator, orders: pd.DataFrame, wagons: pd.DataFrame) -> pd.DataFrame:
    """Return one row per answer, each with the answer it follows."""
    n, issued = len(orders), orders["instructed_at"].to_numpy()
    begin = np.maximum(wagons["m8"].to_numpy(), issued + 20 * MINUTE)
    end = np.maximum(wagons["m9"].to_numpy(), begin + 20 * MINUTE)
    accepted = issued + np.minimum(np.exp(rng.normal(np.log(8 * MINUTE), 0.5, n)), 0.5 * (begin - issued))
    started = begin + rng.uniform(0, 0.4, n) * (end - begin)
    times = {
        "accepted": accepted,
        "shunting_done": accepted + rng.uniform(0.3, 0.9, n) * (begin - accepted),
        "started": started,
        "result": started + rng.uniform(0.2, 1, n) * (end - started),
    }
    shunted, refused = (orders["recipient_kind"] == "railway").to_numpy(), (orders["fate"] == "refused").to_numpy()
    heard = (orders["fate"] != "unanswered").to_numpy()
    outcome = np.where(rng.random(n) < ABNORMAL, "abnormal", "normal").astype(object)
    parts = []
    for code, previous in ANSWERS.items():
        given = heard & (shunted if code == "shunting_done" else True) & (~refused if code != "accepted" else True)
        parts.append(
            pd.DataFrame(
                {
                    "instruction_id": orders["instruction_id"],
                    "train_id": orders["train_id"],
                    "station_code": orders["station_code"],
                    "answer_code": np.where(refused, "refused", code),
                    "previous_code": np.where(shunted, previous, "accepted") if code == "started" else previous,
                    "emitter": orders["recipient_kind"] if previous in (None, "accepted") else "customs",
                    "outcome_code": outcome if code == "result" else None,
                    "instructed_at": issued,
                    "occurred_at": times[code],
                }
            )[given]
        )
    made = pd.concat(parts, ignore_index=True)
    made["event_id"] = made["instruction_id"] + "/" + made["answer_code"]
    made["known_at"] = made["occurred_at"] + rng.uniform(1, 30, len(made))
    made["fate"] = _drawn(rng, len(made), ANSWER_FAULTS)
    return made


def _messages(rng: np.random.Generator, answers: pd.DataFrame) -> pd.DataFrame:
    """Return the messages that bring the answers: some wrong, some twice, some in the wrong order."""
    first, fate = answers.copy(), answers["fate"]
    n = len(first)
    first["sent"] = first["known_at"] + rng.uniform(1, 5, n)
    first.loc[fate == "answer_out_of_order", "sent"] += rng.uniform(10, 60) * MINUTE
    wrong = fate == "answer_before_instruction"
    first.loc[wrong, "occurred_at"] = first.loc[wrong, "instructed_at"] - rng.uniform(1, 30) * MINUTE
    first.loc[fate == "answer_known_too_early", "occurred_at"] += rng.uniform(6, 40) * MINUTE
    first.loc[fate == "answer_corrected", "occurred_at"] += 30.0
    first.loc[fate == "answer_illegal", "previous_code"] = "result"
    first["message_seq"] = 1
    # every wrong message but an illegal one is put right later
    second = answers[fate.isin(set(ANSWER_FAULTS) - {"answer_illegal", "answer_out_of_order"})].copy()
    second["sent"] = second["known_at"] + rng.uniform(0.1, 3, len(second)) * HOUR
    second["message_seq"] = 2
    both = pd.concat([first, second], ignore_index=True)
    both["message_no"] = both["event_id"] + "#" + both["message_seq"].astype(str)
    return both


def _truth(rows: pd.DataFrame, subject: str, contract: str) -> pd.DataFrame:
    hit = rows[rows["fate"] != ""]
    return pd.DataFrame(
        {
            "kind": hit["fate"],
            "contract_id": contract or "rail.instruction_result",
            "subject_id": hit[subject],
            "detail": hit["instruction_id"],
        }
    )


def _values(rows: pd.DataFrame, instants: tuple[str, ...]) -> tuple[dict[str, Any], np.ndarray]:
    """Return (values, sent) as the feed's writer takes them."""
    sent = rows["sent"].to_numpy().astype(np.int64).astype("datetime64[s]")
    values: dict[str, Any] = {}
    for name in rows.columns.difference(["sent", "fate"]):
        column = rows[name].to_numpy()
        if name in instants:
            values[name] = column.astype(np.int64).astype("datetime64[s]")
        elif name in ("position", "message_seq"):
            values[name] = pa.array(column.astype(np.int64))
        else:
            values[name] = pa.array(column, pa.string(), from_pandas=True)
    return values | {"message_at": sent}, sent
