"""Imported grain: what happens to every wagon of a grain train from surface quarantine to release.

One batch is one wagon (57 t). Surface quarantine, sampling and screening are done on site by several teams at once;
what is suspect, and a few others, goes to the laboratory under seal. Only there, days later, most finds are settled.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data_contracts.codes import code_list
from infra.simulator.randomness import stream

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
TEAMS, TURN_MINUTES = 8, 58
SITE_HOURS = 8.0  # by then the last wagon of a train is done on site: pickup is not allowed before
# Share of batches with a regulated find, finds in each, and what is decided (Alashankou 2018; decisions assumed).
INFESTED, MORE_FINDS, LIVE_INSECTS = 0.14, 0.9, 0.01
DECISIONS, DECISION_SHARES = np.array(["release_with_conditions", "return", "destroy"]), np.array([0.88, 0.10, 0.02])
ROUTINE_LABORATORY = 0.04
CUSTODY_BREAKS = {
    "sample_unsealed": 0.02, "seal_changed_on_the_way": 0.03, "result_under_another_seal": 0.02,
    "result_of_an_unknown_sample": 0.02, "result_without_sample": 0.01, "sample_not_received": 0.01,
}  # fmt: skip
SCREENED_KG, LABORATORY_KG = (2.5, 3.5), 10.0
TEXTS = (
    "method_code", "instrument_code", "device_id", "sample_id", "seal_no", "result_code", "decision_code",
    "treatment_code",
)  # fmt: skip
NUMBERS = (
    "lot_mass_kg", "increment_count", "increment_mass_kg", "aggregate_mass_kg", "screened_mass_kg", "moisture_pct",
    "impurity_pct",
)  # fmt: skip


def wagons_of(trains: tuple, goods_kind: str) -> pd.DataFrame:
    """Return the wagons of the trains that carry a kind of goods, each with what is known of its train.

    Args:
        trains: (train values, wagon values, offsets, sent) as the rail source makes them.
        goods_kind: container, minerals, grain, fertiliser or other.
    """
    header, wagons, offsets, _ = trains
    names = ("train_id", "station_code", "dispatch_country_code", "goods_kind", "arrived_at")
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    table = pd.DataFrame({name: np.asarray(header[name])[owner] for name in names})
    for name in ("position", "container_no", "weighed_mass_kg"):
        table[name] = wagons[name].to_numpy(zero_copy_only=False)
    table["train"] = owner
    table["arrived"] = table.arrived_at.to_numpy().astype("datetime64[s]").astype(np.int64).astype(float)
    return table[table.goods_kind == goods_kind].reset_index(drop=True)


def instants(seconds: pd.Series) -> np.ndarray:
    """Turn epoch seconds (NaN = unknown) into instants."""
    known = seconds.notna().to_numpy()
    values = np.full(len(seconds), np.datetime64("NaT"), "datetime64[s]")
    values[known] = seconds.to_numpy()[known].astype(np.int64).astype("datetime64[s]")
    return values


def planted_table(planted: list[tuple[str, str, pd.Series, Any]]) -> pa.Table:
    """Return the truth of what was planted from (kind, contract, subjects, one detail or one each)."""
    rows = [
        (kind, contract, subject, str(detail))
        for kind, contract, subjects, details in planted
        for subject, detail in zip(subjects, pd.Series(details, subjects.index), strict=True)
    ]
    names = ("kind", "contract_id", "subject_id", "detail")
    return pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(names)})


def make_grain(seed: int, stamp: str, trains: tuple) -> dict[str, Any]:
    """Inspect the grain of the trains of a period.

    Args:
        seed: seed of the run.
        stamp: name of the period.
        trains: (train values, wagon values, offsets, sent) as the rail source makes them.

    Returns:
        {"grain_steps": (values, finds, offsets, sent), "grain_samples": (values, sent), "truth": what was planted};
        empty feeds are left out.
    """
    if not len(trains[-1]) or (w := wagons_of(trains, "grain")).empty:
        return {}
    rng, n = stream(seed, "grain", stamp), len(w)
    w["wagon"] = w.train_id + "/" + w.position.astype(str)
    infestation = rng.gamma(2.0, 0.5, w.train.max() + 1)[w.train]
    w["infested"] = rng.random(n) < np.minimum(INFESTED * infestation, 0.9)
    w["density"] = np.where(w.infested, rng.gamma(0.8, 0.8, n), 0.0)
    w["screened"] = rng.uniform(*SCREENED_KG, n)
    seen = rng.random(n) < 1 - np.exp(-w.density * w.screened)
    w["live"] = rng.random(n) < LIVE_INSECTS
    w["result"] = np.where(seen, np.where(rng.random(n) < 0.4, "find", "suspect"), "clean")
    w["lab"] = (w.result == "suspect") | ((w.result == "clean") & (rng.random(n) < ROUTINE_LABORATORY))
    lab_seen = w.lab & np.where(
        w.result == "suspect", rng.random(n) < 0.95, rng.random(n) < 1 - np.exp(-w.density * LABORATORY_KG)
    )
    w["found"] = (w.result == "find") | lab_seen
    w["decision"] = np.where(w.found, rng.choice(DECISIONS, n, p=DECISION_SHARES), "release")
    treated = w.decision == "release_with_conditions"
    lost = treated & (rng.random(n) < 0.04)
    clock = _clock(rng, w)
    samples, sample_planted = _samples(rng, w, clock)
    few, thin = rng.random(n) < 0.015, rng.random(n) < 0.01
    increments = np.where(few, 8, rng.integers(11, 14, n))
    each = rng.uniform(0.9, 1.1, n)
    aggregate = increments * each * rng.normal(1, 0.02, n) * np.where(thin, 0.6, 1)
    device = w.station_code + "-" + pd.Series(rng.integers(1, 9, n)).astype(str)
    species = _species(seed)
    steps = [
        _step(w, clock, "surface", method_code="visual", instrument_code="camera", device_id="CAM-" + device,
              result_code=np.where(w.live, "suspect", "clean")),
        _step(w, clock, "sampling", instrument_code="probe", device_id="PRB-" + device, lot_mass_kg=w.weighed_mass_kg,
              increment_count=increments, increment_mass_kg=each, aggregate_mass_kg=aggregate,
              sample_id=np.where(w.lab, samples.sample_id, None)),
        _step(w, clock, "screening", method_code="sieving", instrument_code="sieve", device_id="SIV-" + device,
              screened_mass_kg=w.screened, moisture_pct=rng.normal(12.4, 0.8, n).clip(8, 18).round(1),
              impurity_pct=rng.gamma(2, 0.5, n).clip(0, 9).round(2), result_code=w.result),
        _step(w, clock, "laboratory", w.lab, method_code=clock.method,
              instrument_code=np.where(clock.method == "morphology", "microscope", "sequencer"),
              screened_mass_kg=LABORATORY_KG, sample_id=samples.named, seal_no=samples.found_seal,
              result_code=np.where(lab_seen, "find", "clean")),
        _step(w, clock, "decision", decision_code=w.decision),
        _step(w, clock, "treatment", treated & ~lost, treatment_code=clock.treatment),
        _step(w, clock, "release", ~w.decision.isin(["return", "destroy"])),
    ]  # fmt: skip
    rows = pd.concat(steps, ignore_index=True)
    rows["officer_id"] = rows.station_code + "-" + pd.Series(rng.integers(1, 40, len(rows))).astype(str).str.zfill(3)
    rows["sent"] = rows.finished + rng.uniform(20, 300, len(rows))
    finds = _finds(rng, rows, w, species)
    planted = planted_table(
        [
            ("grain_infested", "inspections.grain_step", w.wagon[w.infested], w.density[w.infested].round(3)),
            ("grain_samples", "inspections.grain_step", w.wagon[few], "increments"),
            ("grain_samples", "inspections.grain_step", w.wagon[thin], "aggregate"),
            ("grain_release_open", "inspections.grain_step", w.wagon[lost], w.decision[lost]),
            *sample_planted,
        ]
    )
    made: dict[str, Any] = {"grain_steps": _step_values(rows, finds), "truth": planted}
    if w.lab.any():
        made["grain_samples"] = _sample_values(samples[w.lab])
    return made


def _clock(rng: np.random.Generator, w: pd.DataFrame) -> pd.DataFrame:
    """Draw when each step of each wagon starts and ends: 20 to 55 minutes on site, days in the laboratory."""
    n, c = len(w), pd.DataFrame(index=w.index)
    turn = (w.position.to_numpy() - 1) // TEAMS
    c["surface_from"] = w.arrived + (20 + turn * TURN_MINUTES + rng.uniform(0, 5, n)) * MINUTE
    c["surface_to"] = c.surface_from + rng.uniform(6, 15, n) * MINUTE
    c["sampling_from"] = c.surface_to + rng.uniform(0.5, 2, n) * MINUTE
    c["sampling_to"] = c.sampling_from + rng.uniform(5, 12, n) * MINUTE
    c["screening_from"] = c.sampling_to + rng.uniform(0.5, 2, n) * MINUTE
    c["screening_to"] = c.screening_from + rng.uniform(8, 24, n) * MINUTE
    c["sealed"] = c.sampling_to + rng.uniform(3, 15, n) * MINUTE
    c["received"] = np.maximum(c.sealed, c.screening_to) + rng.uniform(2, 30, n) * HOUR
    c["method"] = np.where(rng.random(n) < 0.6, "dna_barcode", "morphology")
    c["laboratory_from"] = c.received + rng.uniform(0.5, 4, n) * HOUR
    days = np.where(c.method == "morphology", rng.uniform(7, 10, n), rng.uniform(2, 3, n))
    c["laboratory_to"] = c.laboratory_from + days * DAY
    known = np.where(w.lab, c.laboratory_to, c.screening_to)
    c["decision_from"] = known + rng.uniform(1, 10, n) * MINUTE
    c["decision_to"] = c.decision_from + rng.uniform(2, 15, n) * MINUTE
    c["treatment"] = np.where(rng.random(n) < 0.5, "fumigation", "supervised_processing")
    c["treatment_from"] = c.decision_to + rng.uniform(1, 12, n) * HOUR
    hours = np.where(c.treatment == "fumigation", rng.uniform(24, 72, n), rng.uniform(4, 20, n))
    c["treatment_to"] = c.treatment_from + hours * HOUR
    ready = np.where(w.decision == "release_with_conditions", c.treatment_to, c.decision_to)
    c["release_from"] = ready + rng.uniform(1, 10, n) * MINUTE
    c["release_to"] = c.release_from + rng.uniform(1, 5, n) * MINUTE
    return c


def _samples(rng: np.random.Generator, w: pd.DataFrame, clock: pd.DataFrame) -> tuple[pd.DataFrame, list]:
    """Seal and hand over the laboratory samples; break the chain of custody of a few."""
    n = len(w)
    s = w[["train_id", "position", "station_code"]].copy()
    s["sample_id"] = "GS-" + w.train_id + "-" + w.position.astype(str).str.zfill(3)
    seal = "SL" + pd.Series(rng.integers(0, 10**8, n)).astype(str).str.zfill(8)
    other = "SL" + pd.Series(rng.integers(0, 10**8, n)).astype(str).str.zfill(8)
    luck, upto, kinds = pd.Series(rng.random(n)), 0.0, {}
    for kind, share in CUSTODY_BREAKS.items():
        kinds[kind] = luck.between(upto, upto + share, inclusive="left") & w.lab
        upto += share
    bare, changed = kinds["sample_unsealed"], kinds["seal_changed_on_the_way"]
    s["seal_no"] = seal.where(~bare, None)
    s["drawn"], s["sealed"] = clock.sampling_to, clock.sealed.where(~bare)
    officers = w.station_code + "-" + pd.Series(rng.integers(1, 40, n)).astype(str).str.zfill(3)
    s["sealed_by"] = officers.where(~bare, None)
    s["laboratory_code"] = "LAB-" + w.station_code
    s["received"] = clock.received.where(~kinds["sample_not_received"])
    receivers = s.laboratory_code + "-" + pd.Series(rng.integers(1, 12, n)).astype(str).str.zfill(2)
    s["received_by"] = receivers.where(s.received.notna(), None)
    read = seal.where(~changed, other).where(~bare, None)
    s["received_seal_no"] = read.where(s.received.notna(), None)
    s["is_seal_intact"] = ~(changed & (rng.random(n) < 0.5)) & ~bare
    s["sample_mass_kg"] = LABORATORY_KG * rng.normal(1, 0.01, n)
    named = s.sample_id.where(~kinds["result_of_an_unknown_sample"], s.sample_id + "X")
    s["named"] = named.where(~kinds["result_without_sample"], None)
    s["found_seal"] = seal.where(~(changed | kinds["result_under_another_seal"]), other).where(~bare, "none")
    planted = [(k, "inspections.grain_sample", s.sample_id[where], w.wagon[where]) for k, where in kinds.items()]
    return s, planted


def _step(w: pd.DataFrame, clock: pd.DataFrame, step: str, done: Any = None, **more: Any) -> pd.DataFrame:
    """Return the rows of one step of the wagons that had it."""
    rows = w[["train_id", "position", "station_code", "dispatch_country_code"]].copy()
    rows["wagon"], rows["step_code"] = w.index, step
    rows["step_id"] = w.wagon + "/" + step
    rows["started"], rows["finished"] = clock[f"{step}_from"], clock[f"{step}_to"]
    for name, value in more.items():
        rows[name] = value
    return rows if done is None else rows[np.asarray(done)]


def _species(seed: int) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Return {regulated or common: (codes, share of each per country)}; each country has pests of its own."""
    found = {}
    for name, wanted in (("regulated", "true"), ("common", "false")):
        codes = np.array(
            sorted(c.code for c in code_list("reference.grain_pest") if c.attribute("isRegulated") == wanted)
        )
        shares = {
            country: stream(seed, "pests", name, country).dirichlet(np.full(len(codes), 0.6))
            for country in ("KZ", "MN", "RU")
        }
        found[name] = (codes, shares)
    return found


def _finds(rng: np.random.Generator, rows: pd.DataFrame, w: pd.DataFrame, species: dict) -> pd.DataFrame:
    """Draw what was found at which step: regulated organisms where the result says so, common ones anywhere."""
    regulated = rows.result_code.isin(["find", "suspect"]) & rows.step_code.isin(["screening", "laboratory"])
    common = (rows.step_code == "screening") & (rng.random(len(rows)) < 0.2)
    live = (rows.step_code == "surface") & (rows.result_code == "suspect")
    parts = []
    for name, where in (("regulated", regulated), ("common", common | live)):
        owner = np.repeat(np.flatnonzero(where), 1 + rng.poisson(MORE_FINDS, int(where.sum())))
        codes, shares = species[name]
        country = rows.dispatch_country_code.to_numpy()[owner]
        chosen = np.empty(len(owner), dtype=object)
        for one in np.unique(country.astype(str)):
            here = country == one
            chosen[here] = rng.choice(codes, int(here.sum()), p=shares[one])
        parts.append(
            pd.DataFrame(
                {
                    "owner": owner,
                    "species_code": chosen,
                    "specimen_count": 1
                    + rng.poisson(3 * np.maximum(w.density.to_numpy()[rows.wagon.to_numpy()[owner]], 0.3)),
                    "is_live": rng.random(len(owner)) < 0.3,
                }
            )
        )
    finds = pd.concat(parts, ignore_index=True).drop_duplicates(["owner", "species_code"])
    return finds.sort_values(["owner", "species_code"], kind="stable", ignore_index=True)


def _step_values(rows: pd.DataFrame, finds: pd.DataFrame) -> tuple:
    sent = instants(rows.sent)
    values: dict[str, Any] = {
        "origin_country_code": pa.array(rows.dispatch_country_code, pa.string()),
        "started_at": instants(rows.started),
        "finished_at": instants(rows.finished),
        "message_at": sent,
        "message_seq": np.ones(len(rows), dtype=np.int64),
    }
    for name in ("step_id", "train_id", "station_code", "step_code", "officer_id", *TEXTS):
        values[name] = pa.array(rows[name], pa.string(), from_pandas=True)
    values["position"] = rows.position.to_numpy()
    for name in NUMBERS:
        values[name] = pa.array(rows[name].round(3), pa.float64(), from_pandas=True)
    values["increment_count"] = pa.array(rows.increment_count, pa.int64(), from_pandas=True)
    nested = {
        "find_seq": (finds.groupby("owner").cumcount() + 1).to_numpy(),
        "species_code": pa.array(finds.species_code, pa.string()),
        "specimen_count": finds.specimen_count.to_numpy(),
        "is_live": pa.array(finds.is_live),
    }
    return values, nested, np.searchsorted(finds.owner, np.arange(len(rows) + 1)), sent


def _sample_values(s: pd.DataFrame) -> tuple:
    """Return the message of the sealing, and that of the receipt, which repeats it."""
    both = pd.concat([s.assign(seq=1), s[s.received.notna()].assign(seq=2)], ignore_index=True)
    later = both.seq == 2
    sent = instants((both.received + 180).where(later, both.sealed.fillna(both.drawn) + 120))
    for name in ("received", "received_by", "received_seal_no", "is_seal_intact"):
        both[name] = both[name].astype(object).where(later, None)
    texts = (
        "sample_id", "train_id", "seal_no", "sealed_by", "laboratory_code", "received_by", "received_seal_no",
    )  # fmt: skip
    return {
        **{name: pa.array(both[name], pa.string(), from_pandas=True) for name in texts},
        "position": both.position.to_numpy(),
        "sample_mass_kg": both.sample_mass_kg.to_numpy(),
        "drawn_at": instants(both.drawn),
        "sealed_at": instants(both.sealed),
        "received_at": instants(both.received.astype(float)),
        "is_seal_intact": pa.array(both.is_seal_intact, pa.bool_(), from_pandas=True),
        "message_at": sent,
        "message_seq": both.seq.to_numpy(),
    }, sent
