"""Cross-border e-commerce: order, payment, waybill and goods list of each parcel, with the cheating that is known of.

People are functions of their number (identity card, name, phone, address), so a year of seven billion lists needs no
table of buyers.
"""

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.codes import code_list
from infra.simulator.days import ORDER_HOURS, Chunk, business_days, order_weight, spread
from infra.simulator.enterprises import DISTRICTS, Enterprises, customs_codes, people, phones
from infra.simulator.goods import Goods
from infra.simulator.identifiers import padded
from infra.simulator.randomness import choose, hashed_below, stream
from infra.simulator.scale import Scale

LIMIT = 5000.0  # CNY per transaction; 26,000 per person and year (Cai Guan Shui 2018/49)
# HS6, share, ln price of an order line, kg, tax in per cent: (consumption + VAT)/(1 - consumption) * 70 %.
BASKET = (
    ("330499", 19, 5.5, 0.35, 9.1), ("190110", 13, 5.9, 2.6, 9.1), ("210690", 13, 5.5, 0.5, 9.1),
    ("961900", 6, 5.3, 3.5, 9.1), ("330300", 5, 6.1, 0.4, 23.05), ("640399", 6, 6.4, 1.2, 9.1),
    ("420222", 5, 7.2, 0.9, 9.1), ("851830", 4, 6.4, 0.3, 9.1), ("950300", 4, 5.3, 0.8, 9.1),
    ("220421", 3, 5.6, 1.5, 17.9), ("611020", 4, 5.8, 0.5, 9.1), ("090121", 3, 5.0, 1.0, 9.1),
    ("340130", 4, 4.9, 0.5, 9.1), ("330510", 4, 5.0, 0.8, 9.1), ("900410", 2, 6.6, 0.2, 9.1),
    ("180690", 2, 4.8, 0.8, 9.1), ("850980", 2, 6.7, 2.2, 9.1), ("300490", 1, 5.4, 0.3, 9.1),
)  # fmt: skip
ORIGIN_SHARES = {"JP": 24, "KR": 15, "AU": 13, "US": 12, "FR": 10, "DE": 8, "NZ": 6, "GB": 5, "IT": 4, "NL": 3}
PLATFORM_SHARES = np.array([34, 22, 14, 10, 8, 6, 4, 2], dtype=float)
PAYMENT_SHARES = np.array([48, 34, 8, 6, 4], dtype=float)
SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"
GIVEN = "伟芳娜敏静丽强磊洋艳勇军杰娟涛明超霞平刚桂英华玉兰建文慧红"
STREETS = ("人民路", "解放路", "中山路", "建设路", "和平路", "新华街", "长江路", "文化路")
CITIES = (
    "广州市天河区",
    "杭州市西湖区",
    "南京市鼓楼区",
    "上海市黄浦区",
    "青岛市市南区",
    "厦门市思明区",
    "北京市朝阳区",
    "天津市河西区",
    "大连市中山区",
    "成都市武侯区",
    "重庆市渝中区",
    "武汉市江汉区",
    "乌鲁木齐市天山区",
    "南宁市青秀区",
    "昆明市五华区",
    "郑州市金水区",
)
# Share of lists by planted case; the first four are cheating, the others honest mistakes of the parties.
CASES = {
    "split_order": 0.006, "quota_breach": 0.006, "borrowed_identity": 0.006, "fake_payment": 0.003,
    "payment_differs": 0.006, "payer_is_not_buyer": 0.006, "consignee_differs": 0.006, "payment_missing": 0.003,
    "waybill_missing": 0.002, "order_does_not_add_up": 0.003,
}  # fmt: skip
CASE_NAMES = np.array(["", *CASES])


class EcommerceSource:
    """Makes orders with their payments, waybills and lists; keeps nothing between chunks but the running number."""

    def __init__(self, seed: int, scale: Scale, world: Enterprises, goods: Goods, first: date, last: date) -> None:
        self.seed, self.scale, self.first, self.last = seed, scale, first, last
        self.end = np.datetime64(last, "s") + np.timedelta64(16, "h")
        rng = stream(seed, "ecommerce")
        codes = customs_codes(world)
        position = {code: i for i, code in enumerate(goods.hs6.tolist())}
        basket = [b for b in BASKET if b[0] in position]
        self.hs = np.array([position[b[0]] for b in basket])
        self.hs_share, self.hs_price, self.hs_mass, self.hs_tax = (
            np.array([b[i] for b in basket], dtype=float) for i in (1, 2, 3, 4)
        )
        self.hs10 = pc.binary_join_element_wise(pa.array(goods.hs6[self.hs]), pa.array(goods.suffix[self.hs]), "")
        self.hs_name = pa.array(goods.name[self.hs])
        countries = {c.code for c in code_list("reference.country")}
        self.origins = pa.array([o for o in ORIGIN_SHARES if o in countries])
        self.origin_share = np.array([s for o, s in ORIGIN_SHARES.items() if o in countries], dtype=float)
        platforms, carriers, traders = (np.flatnonzero(world.kind == k) for k in ("platform", "carrier", "trader"))
        self.platforms = codes.take(pa.array(platforms[np.arange(len(PLATFORM_SHARES)) % len(platforms)]))
        self.platform_share = PLATFORM_SHARES.copy()
        self.carriers = codes.take(pa.array(carriers))
        self.carrier_share = np.where(
            np.arange(len(carriers)) == 0, 1.0, 2.0 / max(len(carriers), 1)
        )  # the first has a third
        self.merchants = codes.take(pa.array(rng.choice(traders, min(scale.merchants, len(traders)), replace=False)))
        self.merchant_share = 1.0 / (np.arange(len(self.merchants)) + 3.0)
        self.payers = pa.array([f"4403{i:06d}" for i in range(9_000_01, 9_000_01 + len(PAYMENT_SHARES))])
        brokers = np.flatnonzero(world.kind == "broker")
        self.agents = world.uscc.take(pa.array(brokers))
        offices = [
            c
            for c in code_list("reference.customs_office")
            if c.valid_on(first) and c.valid_on(last) and not c.code.endswith("00")
        ]
        offices = offices or list(code_list("reference.customs_office"))
        self.offices = pa.array([c.code for c in offices])
        favoured = np.array(["Cross-border" in c.name or "Airport" in c.name or "Bonded" in c.name for c in offices])
        self.office_share = np.where(favoured, 6.0, 1.0)
        # Each person buys about four times a year.
        self.buyers = max(int(scale.lists_per_year / 4), 50)
        self.serial = 0
        self.list_serial: dict[tuple[int, int], int] = {}
        window = [order_weight(date.fromordinal(o)) for o in range(first.toordinal(), first.toordinal() + 365)]
        self.expected_per_day = scale.lists_per_year / sum(window)

    def expected(self, days: list[date]) -> dict[date, float]:
        """Return the expected number of orders for each day."""
        return {d: self.expected_per_day * order_weight(d) for d in days}

    def _people(self, buyer: np.ndarray) -> dict[str, pa.Array]:
        given = pa.array(list(GIVEN))
        name = pc.binary_join_element_wise(
            pa.array(list(SURNAMES)).take(pa.array(hashed_below(buyer, len(SURNAMES), self.seed, "surname"))),
            given.take(pa.array(hashed_below(buyer, len(GIVEN), self.seed, "given 1"))),
            given.take(pa.array(hashed_below(buyer, len(GIVEN), self.seed, "given 2"))),
            "",
        )
        region = hashed_below(buyer, len(DISTRICTS), self.seed, "home")
        address = pc.binary_join_element_wise(
            pa.array(CITIES).take(pa.array(region)),
            pa.array(STREETS).take(pa.array(hashed_below(buyer, len(STREETS), self.seed, "street"))),
            pc.cast(pa.array(hashed_below(buyer, 900, self.seed, "house") + 1), pa.string()),
            "号",
            "",
        )
        district = np.array(DISTRICTS)[region]
        return {
            "id": people(buyer, self.seed, "buyer"),
            "name": name,
            "phone": phones(buyer, self.seed, "buyer"),
            "address": address,
            "district": padded(district, 6),
        }

    def _list_numbers(self, office: np.ndarray, year: np.ndarray) -> pa.Array:
        serial = np.zeros(len(office), dtype=np.int64)
        key = office * 10_000 + year
        order = np.argsort(key, kind="stable")
        for k, begin, number in zip(*np.unique(key[order], return_index=True, return_counts=True), strict=True):
            at = (int(k) // 10_000, int(k) % 10_000)
            serial[order[begin : begin + number]] = self.list_serial.get(at, 0) + 1 + np.arange(number)
            self.list_serial[at] = self.list_serial.get(at, 0) + int(number)
        return pc.binary_join_element_wise(
            self.offices.take(pa.array(office)), padded(year, 4), "I", padded(serial, 9), ""
        )

    def _plant(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw the planted case of each order: a position in CASE_NAMES, 0 = none."""
        shares = np.array([1 - sum(CASES.values()), *CASES.values()])
        return choose(rng, shares, n)

    def make(self, chunk: Chunk) -> dict[str, Any]:
        """Make one chunk of orders.

        Returns:
            {feed: (values named as in the contract, sent_at)} for the four e-commerce feeds, and "truth" (Arrow table).
        """
        rng = stream(self.seed, "orders", chunk.name)
        at = spread(rng, chunk, self.expected(list(chunk.days)), ORDER_HOURS)
        n = len(at)
        case = self._plant(rng, n)
        named = CASE_NAMES[case]
        buyer = rng.integers(0, self.buyers, n)
        platform, merchant = choose(rng, self.platform_share, n), choose(rng, self.merchant_share, n)
        at, buyer, platform, merchant, group = self._groups(rng, named, at, buyer, platform, merchant)
        what = choose(rng, self.hs_share, n)
        quantity = np.minimum(rng.geometric(0.6, n), 6)
        amount = np.exp(self.hs_price[what] + 0.55 * rng.normal(size=n)) * quantity**0.8
        amount = np.where(
            np.isin(named, ["split_order", "quota_breach", "borrowed_identity"]), rng.uniform(1500, 4800, n), amount
        )
        goods_value = np.round(np.minimum(amount, 4990.0), 2)
        single = rng.random(n) < 0.0012  # one dear piece above the limit: full tax, allowed
        goods_value = np.where(single & (case == 0), np.round(rng.uniform(5200, 14_000, n), 2), goods_value)
        freight = np.where(rng.random(n) < 0.35, np.round(rng.uniform(5, 40, n), 2), 0.0)
        freight = np.where(goods_value + freight > LIMIT, np.where(single & (case == 0), freight, 0.0), freight)
        discount = np.where(rng.random(n) < 0.25, np.round(goods_value * rng.uniform(0.01, 0.08, n), 2), 0.0)
        dutiable = np.round(goods_value + freight, 2)
        rate = np.where(dutiable > LIMIT, self.hs_tax[what] / 0.7, self.hs_tax[what])
        tax = np.round(dutiable * rate / 100, 2)
        paid = np.round(goods_value + freight + tax - discount, 2)
        stated = np.where(named == "order_does_not_add_up", np.round(paid * rng.uniform(0.6, 0.97, n), 2), paid)
        serial = self.serial + np.arange(n) + 1
        self.serial += n
        day = business_days(at)
        order_no = pc.binary_join_element_wise(
            "PO",
            padded(platform + 1, 2),
            pc.replace_substring(pc.cast(pa.array(day), pa.string()), "-", ""),
            padded(serial, 10),
            "",
        )
        who = self._people(buyer)
        # Borrowed identities: many identities, one phone and one address.
        receiver = np.where(named == "borrowed_identity", self.buyers + group, buyer)
        to = self._people(receiver)
        platforms, merchants = self.platforms.take(pa.array(platform)), self.merchants.take(pa.array(merchant))
        cny = pa.array(np.full(n, "142"))
        one = np.ones(n, dtype=np.int64)
        order_sent = at + rng.integers(5, 600, n).astype("timedelta64[s]")
        order = {
            "platform_code": platforms,
            "order_no": order_no,
            "business_date": pa.array(day),
            "ordered_at": at,
            "merchant_code": merchants,
            "goods_value": goods_value,
            "freight": freight,
            "discount": discount,
            "tax_total": tax,
            "actual_paid": stated,
            "currency_code": cny,
            "buyer_id_type": pa.array(np.full(n, "1")),
            "buyer_id": who["id"],
            "buyer_name": who["name"],
            "buyer_phone": to["phone"],
            "consignee_name": to["name"],
            "consignee_phone": to["phone"],
            "consignee_address": to["address"],
            "consignee_district_code": to["district"],
            "message_at": order_sent,
            "message_seq": one,
        }
        paid_at = at + rng.integers(20, 1800, n).astype("timedelta64[s]")
        other = rng.integers(0, self.buyers, n)
        payer = self._people(np.where(named == "payer_is_not_buyer", other, buyer))
        short = np.isin(named, ["payment_differs", "fake_payment"])
        amount_paid = np.where(
            short, np.round(stated * np.where(named == "fake_payment", 0.1, rng.uniform(0.7, 1.2, n)), 2), stated
        )
        paid_sent = paid_at + rng.integers(5, 300, n).astype("timedelta64[s]")
        payment = {
            "payment_company_code": self.payers.take(pa.array(choose(rng, PAYMENT_SHARES, n))),
            "payment_transaction_no": pc.binary_join_element_wise("T", padded(serial, 16), ""),
            "business_date": pa.array(business_days(paid_at)),
            "paid_at": paid_at,
            "platform_code": platforms,
            "order_no": order_no,
            "amount_paid": amount_paid,
            "currency_code": cny,
            "payer_id_type": pa.array(np.full(n, "1")),
            "payer_id": payer["id"],
            "payer_name": payer["name"],
            "message_at": paid_sent,
            "message_seq": one,
        }
        shipped_at = at + (np.exp(rng.normal(2.6, 0.7, n)) * 3600).clip(1200, 9 * 86400).astype("timedelta64[s]")
        elsewhere = self._people(np.where(named == "consignee_differs", other, receiver))
        mass = np.round(np.maximum(self.hs_mass[what] * quantity * np.exp(0.2 * rng.normal(size=n)), 0.02), 3)
        carrier = self.carriers.take(pa.array(choose(rng, self.carrier_share, n)))
        waybill_no = pc.binary_join_element_wise("LP", padded(serial, 14), "")
        ship_sent = shipped_at + rng.integers(10, 900, n).astype("timedelta64[s]")
        waybill = {
            "logistics_company_code": carrier,
            "logistics_no": waybill_no,
            "business_date": pa.array(business_days(shipped_at)),
            "shipped_at": shipped_at,
            "platform_code": platforms,
            "order_no": order_no,
            "gross_mass_kg": np.round(mass * rng.uniform(1.05, 1.3, n), 3),
            "freight": freight,
            "consignee_name": elsewhere["name"],
            "consignee_phone": elsewhere["phone"],
            "consignee_address": elsewhere["address"],
            "message_at": ship_sent,
            "message_seq": one,
        }
        declared_at = shipped_at + (np.exp(rng.normal(2.0, 0.8, n)) * 3600).clip(600, 6 * 86400).astype(
            "timedelta64[s]"
        )
        bonded = rng.random(n) < 0.68
        office = choose(rng, self.office_share, n)
        list_day = business_days(declared_at)
        numbers = self._list_numbers(office, list_day.astype("datetime64[Y]").astype(np.int64) + 1970)
        suspicious = (case > 0) & (rng.random(n) < 0.25)
        status = np.where(
            suspicious,
            rng.choice(["500", "300", "100"], n),
            np.where(rng.random(n) < 0.985, "800", rng.choice(["399", "300", "100"], n)),
        )
        list_sent = declared_at + rng.integers(10, 600, n).astype("timedelta64[s]")
        goods_list = {
            "list_no": numbers,
            "business_date": pa.array(list_day),
            "declared_at": declared_at,
            "platform_code": platforms,
            "merchant_code": merchants,
            "order_no": order_no,
            "logistics_company_code": carrier,
            "logistics_no": waybill_no,
            "customs_office_code": self.offices.take(pa.array(office)),
            "supervision_mode_code": pa.array(np.where(bonded, "1210", "9610")),
            "transport_mode_code": pa.array(np.where(bonded, "2", rng.choice(["5", "6"], n))),
            "agent_code": self.agents.take(pa.array(choose(rng, 1.0 / (np.arange(len(self.agents)) + 2.0), n))),
            "origin_country_code": self.origins.take(pa.array(choose(rng, self.origin_share, n))),
            "hs_code": self.hs10.take(pa.array(what)),
            "goods_name": self.hs_name.take(pa.array(what)),
            "quantity": quantity,
            "net_mass_kg": mass,
            "total_value": dutiable,
            "tax_amount": tax,
            "currency_code": cny,
            "buyer_id": who["id"],
            "buyer_name": who["name"],
            "status_code": pa.array(status),
            "message_at": list_sent,
            "message_seq": one,
        }
        again = np.flatnonzero((rng.random(n) < 0.5) & np.isin(status, ["300", "399"]))
        goods_list, list_sent = _sent_again(rng, goods_list, list_sent, again)
        return {
            "ecommerce_order": _sent(order, order_sent, self.end),
            "ecommerce_payment": _sent(payment, paid_sent, self.end, named != "payment_missing"),
            "ecommerce_waybill": _sent(waybill, ship_sent, self.end, named != "waybill_missing"),
            "ecommerce_list": _sent(goods_list, list_sent, self.end),
            "truth": pa.table(
                {
                    "order_no": order_no,
                    "list_no": numbers,
                    "business_date": pa.array(list_day),
                    "case": pa.array(named),
                    "is_cheating": pa.array((case >= 1) & (case <= 4)),
                    "group": pa.array(group),
                }
            ).filter(pa.array(case > 0)),
        }

    def _groups(
        self,
        rng: np.random.Generator,
        named: np.ndarray,
        at: np.ndarray,
        buyer: np.ndarray,
        platform: np.ndarray,
        merchant: np.ndarray,
    ) -> tuple[np.ndarray, ...]:
        """Give the orders of a scheme what they share: buyer and hour, buyer all year, phone and address."""
        group = np.full(len(at), -1, dtype=np.int64)
        rows = np.flatnonzero(named == "split_order")
        if len(rows):
            team = np.arange(len(rows)) // 4  # one purchase in four lists
            lead = rows[team * 4]
            group[rows] = hashed_below(at[lead].astype(np.int64) + team, 1 << 40, self.seed, "split")
            buyer[rows], platform[rows], merchant[rows] = buyer[lead], platform[lead], merchant[lead]
            at[rows] = np.minimum(
                at[lead] + (np.arange(len(rows)) % 4 * 180).astype("timedelta64[s]"), _day_end(at[lead])
            )
        heavy = max(int(self.scale.lists_per_year * CASES["quota_breach"] / 25), 2)  # about 25 dear orders a year each
        rows = np.flatnonzero(named == "quota_breach")
        group[rows] = rng.integers(0, heavy, len(rows))
        buyer[rows] = hashed_below(group[rows], self.buyers, self.seed, "heavy buyer")
        rings = max(int(self.scale.lists_per_year * CASES["borrowed_identity"] / 40), 2)
        rows = np.flatnonzero(named == "borrowed_identity")
        group[rows] = rng.integers(0, rings, len(rows))
        return at, buyer, platform, merchant, group


def _day_end(at: np.ndarray) -> np.ndarray:
    """Return the last second of the Shanghai day of each instant, as UTC."""
    return (business_days(at) + 1).astype("datetime64[s]") - np.timedelta64(8 * 3600 + 1, "s")


def _sent(
    values: dict[str, Any], sent: np.ndarray, end: np.datetime64, keep: np.ndarray | None = None
) -> tuple[dict[str, Any], np.ndarray]:
    """Leave out what is sent after the last simulated day, and what never was."""
    chosen = sent < end
    if keep is not None:
        chosen &= keep
    rows = np.flatnonzero(chosen)
    return {k: v[rows] if isinstance(v, np.ndarray) else v.take(pa.array(rows)) for k, v in values.items()}, sent[rows]


def _sent_again(
    rng: np.random.Generator, values: dict[str, Any], sent: np.ndarray, rows: np.ndarray
) -> tuple[dict[str, Any], np.ndarray]:
    """Send some lists a second time, days later, with their final state."""
    later = sent[rows] + (rng.uniform(2, 96, len(rows)) * 3600).astype("timedelta64[s]")
    combined: dict[str, Any] = {}
    for name, column in values.items():
        if name == "message_at":
            combined[name] = np.concatenate([column, later])
        elif name == "message_seq":
            combined[name] = np.concatenate([column, np.full(len(rows), 2)])
        elif name == "status_code":
            combined[name] = pa.concat_arrays([column, pa.array(np.full(len(rows), "800"), column.type)])
        elif isinstance(column, np.ndarray):
            combined[name] = np.concatenate([column, column[rows]])
        else:
            combined[name] = pa.concat_arrays([column, column.take(pa.array(rows))])
    return combined, np.concatenate([sent, later])
