"""How much of a year is simulated, and how that relates to the real one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Rates of one size. Everything else of the world is the same at every size.

    ``aeo_share`` and ``dishonest_share`` are shares of enterprises. Really both are 1.1 % (6,876 and 6,788 of 630,000):
    so is ``full``. ``small`` has 1 in 100 enterprises: 1.1 % would be 69 AEO, too few for an inspection
    rate of 0.57 % or a re-check to be seen, so AEO are 5 % and dishonest enterprises 1.8 % there.
    ``applicant_share`` is the share of enterprises that apply for AEO within 18 months, raised so that there are some
    hundred validations to learn from. ``trains_per_day`` cross the border by rail (really 48 at two stations).
    Really .5 % of mineral trains hold waste. ``small`` has two such trains a week, so 30 % of its consignments carry a
    scheme (``mineral_fraud_share``), every third wagon is sampled at random (``mineral_sample_share``), a source hides
    on 1 % of them (``hidden_source_share``, really 1 wagon in 200,000) and dangerous inclusions are ``rare_factor``
    times as frequent: enough to learn from and to judge by.
    """

    name: str
    declarations_per_year: int
    lists_per_year: int
    enterprises: int
    merchants: int
    aeo_share: float
    dishonest_share: float
    applicant_share: float
    chunk_rows: int = 60_000
    file_rows: int = 1_000_000
    trains_per_day: float = 0.7
    mineral_fraud_share: float = 0.30
    mineral_sample_share: float = 0.33
    hidden_source_share: float = 0.01
    rare_factor: float = 50.0


SCALES = {
    # 1:1,000 of the declarations, 1:100 of the enterprises, 1:33,000 of the e-commerce lists of a real year.
    "small": Scale("small", 80_000, 216_000, 6_300, 400, 0.05, 0.018, 0.155),
    # A real year: 80 million declarations, 630,000 enterprises, 7 billion lists.
    "full": Scale(
        "full",
        80_000_000,
        7_000_000_000,
        630_000,
        40_000,
        0.011,
        0.011,
        0.02,
        trains_per_day=48.0,
        mineral_fraud_share=0.02,
        mineral_sample_share=0.05,
        hidden_source_share=0.0003,
        rare_factor=1.0,
    ),
}
