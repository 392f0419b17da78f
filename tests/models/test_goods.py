from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infra.runtime.errors import BadArgumentsError
from models.declaration_risk.model import TUPLE, Gate, goods_columns, lookup
from models.declaration_risk.train import inclusion_weight
from models.source_files import labelled_rows

HEADER = (
    "Declaration ID,Date,Office ID,Process Type,Import Type,Import Use,Payment Type,Mode of Transport,Declarant ID,"
    "Importer ID,Seller ID,Courier ID,HS6 Code,Country of Departure,Country of Origin,Tax Rate,Tax Type,"
    "Country of Origin Indicator,Net Mass,Item Price,Fraud,Critical Fraud"
)


def rows(**changed):
    base = dict(zip(TUPLE, ("010121", "JP", "JP", 8.0, "A", 10.0, 500.0), strict=True))
    return pd.DataFrame(
        [base | {c: v[i] for c, v in changed.items()} for i in range(len(next(iter(changed.values()))))]
    )


def test_lookup_answers_with_the_share_of_equal_tuples_and_the_base_rate_for_new_ones():
    train = rows(net_mass_kg=[10.0, 10.0, 20.0, 30.0])
    score, seen = lookup(train, np.array([1, 0, 1, 0]), rows(net_mass_kg=[10.0, 20.0, 40.0]))
    assert score.tolist() == [0.5, 1.0, 0.5]
    assert seen.tolist() == [True, True, False]


@pytest.mark.parametrize("column", TUPLE)
def test_any_other_field_makes_another_tuple(column):
    other = {"hs6_code": "010129", "origin_country_code": "US", "dispatch_country_code": "US", "preference_code": "B"}
    value = other.get(column, 9.0)
    _, seen = lookup(rows(net_mass_kg=[10.0]), np.array([1]), rows(net_mass_kg=[10.0]).assign(**{column: value}))
    assert not seen[0]


def test_gate_measures_the_distance_to_the_nearest_tuple_of_the_same_route():
    gate = Gate().fit(goods_columns(rows(net_mass_kg=[10.0, 10.0, 20.0])), np.array([1, 0, 1]))
    found = gate.nearest(goods_columns(rows(net_mass_kg=[10.0, 21.0, 10.0], preference_code=["A", "A", "Z"])))
    assert found["distance"].iloc[0] == 0
    assert (found["rows"].iloc[0], found["hits"].iloc[0]) == (2, 1)
    assert found["distance"].iloc[1] == pytest.approx(3 * abs(np.log(22) - np.log(21)))
    assert found["distance"].iloc[2] == 9


def test_missing_goods_fields_count_as_empty_not_as_an_error():
    goods = goods_columns(rows(hs6_code=[None], net_mass_kg=[None]))
    assert np.isfinite(goods["ln_unit_price"]).all()


def test_weights_are_inverse_probabilities_capped_at_twenty_with_mean_one():
    weight = inclusion_weight(pd.DataFrame({"selection_prob": [1.0, 0.5, 0.005, None]}))
    assert weight.mean() == pytest.approx(1)
    assert weight[1] / weight[0] == pytest.approx(2)
    assert weight[2] / weight[0] == pytest.approx(20)
    assert weight[3] == weight[0]


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    file = folder / "declarations.csv"
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file


LINE = "97061800,2020-01-01,30,B,11,21,11,10,ZZR1LT6,QLRUBN9,0VKY2BR,,040690,NA,NA,0.5,FEU1,G,108.0,372254.4,1,2"


def test_files_are_read_through_the_layout(tmp_path):
    found = labelled_rows("kcs", [write(tmp_path, LINE)]).iloc[0]
    # leading zero kept, "NA" is Namibia, the courier is absent
    assert (found["hs6_code"], found["origin_country_code"], found["duty_rate_pct"]) == ("040690", "NA", 0.5)
    assert bool(found["is_violation"])
    assert found["severity"] == 2


def test_a_file_of_another_layout_is_refused_with_its_column(tmp_path):
    with pytest.raises(BadArgumentsError, match="Fraud"):
        labelled_rows("kcs", [write(tmp_path, "1", header="Declaration ID")])
    with pytest.raises(BadArgumentsError, match="No layout"):
        labelled_rows("nowhere", [])
    with pytest.raises(BadArgumentsError, match="No file"):
        labelled_rows("kcs", [tmp_path / "missing.csv"])
