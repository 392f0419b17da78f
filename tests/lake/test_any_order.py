"""Files arriving, sent again, interrupted, retried, maintained in any order: each key once, its latest message."""

import shutil
from datetime import date

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from infra.lake.maintain import maintain

pytestmark = pytest.mark.slow

FEED, TABLE = "ecommerce_payment", "ecommerce.payment"
POINTS = ["sealed", "manifest", *(f"{at}:{TABLE}" for at in ("judged", "quarantine", "written", "merged", "silver")),
          "before_ledger", "after_ledger"]  # fmt: skip
INSTANTS = [None, "2026-04-01T00:00:00+00:00", "2026-04-02T00:00:00+00:00"]

messages = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.integers(0, 3),
            "at": st.sampled_from(INSTANTS),
            "seq": st.sampled_from([None, 1, 2]),
            "day": st.sampled_from(["2026-04-01", "2026-04-02", "2026-05-01"]),
            "good": st.sampled_from([True, True, True, False]),
        }
    ),
    min_size=1,
    max_size=5,
)


class Killed(Exception):
    pass


@pytest.mark.timeout(300)
def test_any_order_of_events_ends_in_the_latest_message_of_each_key(lake, tmp_path):
    template = lake.valid(TABLE, 1)[0]
    homes = iter(range(10_000))

    class Arrivals(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            home = tmp_path / f"example-{next(homes)}"
            shutil.copytree(lake.settings.home, home)
            self.lake = type(lake)(lake.settings.model_copy(update={"home": home}))
            self.landed = {}  # file name -> messages; what the lake should know once ingest ends well
            self.texts = {}
            self.number = 0
            self.settled = True

        def land(self, text, rows):
            self.number += 1
            name = f"{self.number:03d}.csv"
            self.lake.land(FEED, name, text)
            if text not in self.texts.values():
                self.landed[f"{FEED}/{self.lake.day}/{name}"] = rows
            self.texts[name] = text
            self.settled = False

        @rule(rows=messages)
        def a_file_arrives(self, rows):
            self.number += 1
            written = [
                template
                | {
                    "payment_transaction_no": f"T{row['key']}",
                    "message_at": row["at"],
                    "message_seq": row["seq"],
                    "business_date": row["day"],
                    "amount_paid": f"{self.number}.{line:02d}",
                    "currency_code": "142" if row["good"] else "USD",
                }
                for line, row in enumerate(rows)
            ]
            self.land(self.lake.csv_text(FEED, written), written)

        @precondition(lambda self: self.texts)
        @rule(pick=st.randoms(use_true_random=False))
        def a_file_is_sent_again(self, pick):
            self.land(pick.choice(sorted(self.texts.values())), [])

        @precondition(lambda self: not self.settled)
        @rule(point=st.sampled_from(POINTS))
        def ingest_is_killed(self, point):
            def reached(here):
                if here == point:
                    raise Killed

            try:
                self.lake.ingest(FEED, reached=reached)
                self.settled = True
            except Killed:
                pass

        @rule()
        def ingest_ends_well(self):
            self.lake.ingest(FEED)
            self.settled = True

        @precondition(lambda self: self.settled)
        @rule()
        def the_lake_is_maintained(self):
            maintain(self.lake.settings, retention_hours=0, wait=0, progress=lambda _: None)

        @invariant()
        def the_lake_holds_what_arrived(self):
            if not self.settled:
                return
            latest, bad, total = {}, 0, 0
            for name, rows in self.landed.items():
                for line, row in enumerate(rows, 1):
                    total += 1
                    if row["currency_code"] != "142":
                        bad += 1
                        continue
                    order = (row["message_at"] or "", row["message_seq"] or -1, name, line)
                    key = row["payment_transaction_no"]
                    if key not in latest or order > latest[key][0]:
                        latest[key] = (order, row["amount_paid"], date.fromisoformat(row["business_date"]))
            held = self.lake.rows(TABLE, "payment_transaction_no, CAST(amount_paid AS VARCHAR), business_date")
            assert held == sorted((key, amount, day) for key, (_, amount, day) in latest.items())
            assert len(self.lake.quarantined(TABLE)) == bad
            ((read, good, aside),) = self.lake.rows(
                "governance.batch",
                "coalesce(sum(rows_in), 0), coalesce(sum(rows_good), 0), coalesce(sum(rows_quarantined), 0)",
            )
            assert (read, good, aside) == (total, total - bad, bad)

    run_state_machine_as_test(
        Arrivals,
        settings=settings(
            max_examples=8,
            stateful_step_count=10,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
