"""The goods of the world: HS6 codes with duty, price level and risk, countries with agreements."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from data_contracts.codes import code_list
from infra.simulator.randomness import hashed_uniform, stream

# Shares of items by HS chapter in per cent (measured on the KCS set); the other chapters share what is left.
CHAPTER_SHARES = {
    "85": 11.9, "39": 9.8, "84": 7.6, "62": 6.1, "90": 4.5, "94": 3.8, "42": 3.5, "95": 3.5, "61": 3.1, "87": 2.7,
    "73": 2.5, "07": 2.4, "26": 1.2, "27": 1.5, "33": 2.0, "22": 1.8, "08": 1.6, "02": 1.4, "30": 1.6, "64": 2.2,
}  # fmt: skip
# Typical most-favoured-nation duty in per cent by chapter (order of size, not the tariff), else 7.
CHAPTER_DUTY = {
    "02": 15, "03": 9, "04": 13, "07": 12, "08": 18, "09": 14, "15": 11, "16": 13, "17": 22, "18": 10, "19": 12,
    "20": 16, "21": 13, "22": 18, "24": 28, "26": 1, "27": 3, "30": 3, "33": 7, "39": 7, "42": 12, "48": 5, "61": 10,
    "62": 11, "63": 9, "64": 14, "69": 11, "71": 9, "72": 4, "84": 6, "85": 7, "87": 16, "90": 4, "94": 6, "95": 6,
}  # fmt: skip
REDUCED_VAT_CHAPTERS = {f"{n:02d}" for n in range(1, 16)} | {"23", "31", "49"}
# ln(CNY per kg) by chapter, else 3.3.
CHAPTER_PRICE = {
    "02": 3.4, "03": 3.8, "07": 2.1, "08": 2.8, "10": 1.0, "15": 2.2, "22": 3.6, "26": -0.3, "27": 1.1, "28": 2.6,
    "29": 3.6, "30": 6.8, "33": 5.1, "39": 3.0, "42": 5.6, "48": 1.9, "61": 4.9, "62": 5.2, "64": 4.8, "71": 8.2,
    "72": 1.8, "73": 2.9, "84": 4.8, "85": 5.4, "87": 4.2, "88": 7.5, "90": 6.1, "91": 7.2, "94": 3.4, "95": 4.1,
}  # fmt: skip
COUNTED_CHAPTERS = {"42", "61", "62", "64", "84", "85", "87", "88", "90", "91", "94", "95"}
BRANDED_CHAPTERS = {"33", "42", "61", "62", "64", "85", "90", "91", "95"}
ORIGINS = {
    "JP": 14, "KR": 11, "US": 10, "DE": 8, "TW": 8, "VN": 6, "AU": 6, "MY": 5, "BR": 4, "TH": 4, "FR": 3.2, "IT": 3.2,
    "RU": 3, "ID": 3, "GB": 2, "NL": 2, "CL": 1.6, "NZ": 1.5, "CA": 1.5, "IN": 1.4, "CH": 1.3, "SG": 1.2, "ES": 1,
    "KZ": 0.9, "ZA": 0.8, "PH": 0.8, "MM": 0.6, "PE": 0.6, "SE": 0.5, "BE": 0.5, "TR": 0.5, "MX": 0.5, "PK": 0.3,
}  # fmt: skip
DESTINATIONS = {
    "US": 16, "HK": 10, "JP": 6, "KR": 5, "VN": 5, "DE": 5, "IN": 4, "NL": 4, "RU": 4, "GB": 3, "MY": 3, "SG": 3,
    "TH": 3, "AU": 3, "MX": 3, "ID": 3, "BR": 2.5, "FR": 2, "IT": 2, "KZ": 2, "AE": 2, "SA": 1.5, "PH": 2, "CA": 1.5,
}  # fmt: skip
TRANSIT = ("HK", "SG", "KR", "NL", "AE")
AGREEMENTS = {
    "KR": "CKFTA", "AU": "CHAFTA", "NZ": "CNZFTA", "CL": "CCFTA", "PE": "CPFTA", "CH": "CSFTA", "SG": "CSGFTA",
    "VN": "ACFTA", "MY": "ACFTA", "TH": "ACFTA", "ID": "ACFTA", "PH": "ACFTA", "MM": "ACFTA", "JP": "RCEP",
    "IN": "APTA", "PK": "CPKFTA",
}  # fmt: skip
PREFERENCE_PARTNERS = ("VN", "MY", "TH", "ID", "KR")


@dataclass(frozen=True)
class Goods:
    """Parallel arrays over HS6 codes (axis 0) plus country tables.

    ``price`` ln(CNY/kg), ``spread`` its standard deviation inside HS x origin, ``mass`` ln(kg) of an item,
    ``piece`` kg of one counted piece (nan = by mass), ``risk`` part of the fraud log-odds,
    ``known_risk`` what customs believes of it, ``neighbour`` position of a nearby heading with lower duty (-1 = none).
    """

    hs6: np.ndarray
    suffix: np.ndarray
    name: np.ndarray
    chapter: np.ndarray
    weight: np.ndarray
    duty: np.ndarray
    vat: np.ndarray
    price: np.ndarray
    spread: np.ndarray
    mass: np.ndarray
    piece: np.ndarray
    risk: np.ndarray
    known_risk: np.ndarray
    neighbour: np.ndarray
    branded: np.ndarray
    origins: np.ndarray
    origin_weight: np.ndarray
    origin_risk: np.ndarray
    agreement: np.ndarray
    destinations: np.ndarray
    destination_weight: np.ndarray
    seed: int

    def origin_price(self, hs: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """Return the shift of ln price of goods from a country: fixed for the pair, standard deviation 0.25."""
        u = hashed_uniform(hs.astype(np.int64) * 1000 + origin, self.seed, "origin price")
        return (u - 0.5) * 0.25 * np.sqrt(12)

    def preferential_duty(self, hs: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """Return the duty under the agreement with the country, or the plain one where there is none."""
        factor = np.where(hashed_uniform(hs, self.seed, "preference") < 0.7, 0.0, 0.5)
        return np.where(self.agreement[origin] != "", np.round(self.duty[hs] * factor, 1), self.duty[hs])


def _neighbours(chapter: np.ndarray, duty: np.ndarray) -> np.ndarray:
    """Find within five places in the same chapter the code with the lowest duty, at least 3 points below one's own."""
    best, best_duty = np.full(len(duty), -1), duty - 3.0
    position = np.arange(len(duty))
    for step in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5):
        other = position + step
        inside = (other >= 0) & (other < len(duty))
        other = other.clip(0, len(duty) - 1)
        better = inside & (chapter[other] == chapter) & (duty[other] <= best_duty)
        best, best_duty = np.where(better, other, best), np.where(better, duty[other] - 1e-9, best_duty)
    return best


def build_goods(seed: int, day: date) -> Goods:
    """Draw the goods of a world from the HS code list valid on a day.

    Args:
        seed: seed of the world.
        day: day on which the codes have to be valid.
    """
    rng = stream(seed, "goods")
    codes = [c for c in code_list("reference.hs_code") if c.valid_on(day)]
    hs6 = np.array([c.code for c in codes])
    chapter = np.array([c.code[:2] for c in codes])
    n = len(codes)
    names = np.array([" ".join(c.name.replace("\n", " ").split())[:90] for c in codes])
    chapters = np.unique(chapter)
    others = [c for c in chapters if c not in CHAPTER_SHARES]
    spread_rest = dict(zip(others, rng.lognormal(0, 0.8, len(others)), strict=True))
    left = (100 - sum(CHAPTER_SHARES.values())) / max(sum(spread_rest.values()), 1e-9)
    weight, duty, price = np.zeros(n), np.zeros(n), np.zeros(n)
    for c in chapters:
        rows = np.flatnonzero(chapter == c)
        share = CHAPTER_SHARES.get(c, spread_rest.get(c, 0) * left)
        zipf = 1.0 / (1 + rng.permutation(len(rows))) ** 1.05  # top tenth of the HS6 then carry about 59 %
        weight[rows] = share * zipf / zipf.sum()
        level = CHAPTER_DUTY.get(c, 7)
        duty[rows] = np.round(
            level * rng.choice([0, 0.5, 0.8, 1, 1.3, 1.7], len(rows), p=[0.1, 0.2, 0.2, 0.25, 0.15, 0.1])
        )
        price[rows] = CHAPTER_PRICE.get(c, 3.3) + rng.normal(0, 0.6, len(rows))
    counted = np.isin(chapter, list(COUNTED_CHAPTERS))
    risk = 0.75 * rng.normal(size=n) + 0.05 * (duty - duty.mean())
    countries = {c.code for c in code_list("reference.country")}
    origins = np.array([o for o in ORIGINS if o in countries])
    destinations = np.array([d for d in DESTINATIONS if d in countries])
    return Goods(
        hs6=hs6,
        suffix=rng.choice(["0000", "1000", "9000", "9090"], n, p=[0.55, 0.15, 0.2, 0.1]),
        name=names,
        chapter=chapter,
        weight=weight / weight.sum(),
        duty=duty,
        vat=np.where(np.isin(chapter, list(REDUCED_VAT_CHAPTERS)), 9.0, 13.0),
        price=price,
        spread=rng.uniform(0.3, 0.55, n),
        mass=4.8 + rng.normal(0, 1.6, n) - 0.35 * (price - 3.3),
        piece=np.where(counted, rng.lognormal(-0.3, 1.0, n).clip(0.02, 2000), np.nan),
        risk=risk,
        known_risk=0.6 * risk / risk.std() + 0.8 * rng.normal(size=n),
        neighbour=_neighbours(chapter, duty),
        branded=np.isin(chapter, list(BRANDED_CHAPTERS)),
        origins=origins,
        origin_weight=np.array([ORIGINS[o] for o in origins]),
        origin_risk=0.4 * rng.normal(size=len(origins)),
        agreement=np.array([AGREEMENTS.get(o, "") for o in origins]),
        destinations=destinations,
        destination_weight=np.array([DESTINATIONS[d] for d in destinations]),
        seed=seed,
    )
