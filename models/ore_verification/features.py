"""Inputs of ore_verification; computed by ``spark_jobs.features.ore_verification``."""

from models.declared import DeclaredFeatures

# measured by LIBS; FeO and a second silica come from hyperspectral imaging
ELEMENTS = ("tfe", "sio2", "cao", "al2o3", "mgo", "tio2", "mno", "p2o5", "s", "cu", "zn", "pb", "as")

FEATURES = DeclaredFeatures(
    name="ore_verification",
    owner="Rail inspection",
    question="Does this wagon of minerals hold what was declared: grade, goods, no solid waste?",
    inputs=("rail.inspection_order", "rail.composition", "rail.laboratory_result"),
    as_of_rule=(
        "A wagon is described by its own readings and those of its consignment, never by a laboratory. A laboratory "
        "result is learned from only after the day it was known."
    ),
    key=("wagon_id",),
    time="read_on",
    label="is_not_as_declared",
    numeric=(
        *(f"{element}_pct" for element in ELEMENTS),
        "feo_pct",
        "image_sio2_pct",
        "closure_pct",
        "declared_tfe_pct",
        "declared_cu_pct",
        "iron_gap",
        "consignment_iron_gap",
        "iron_deviation",
        "copper_gap",
        "surface_share",
    ),
    categorical=("material_code", "brand_code", "mineral_class", "solid_waste_attribute"),
    meta=("train_id", "known_on", "is_solid_waste", "selected_by", "selection_prob"),
)
