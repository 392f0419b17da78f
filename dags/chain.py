"""What a customs day consists of: the domains that are ingested and the models that are trained.

The lists stand apart from the DAG files: a DAG file that imports another would register its DAGs a second time.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ingestion:
    """A domain's feeds in landing, the silver tables they fill, and what its operator should know."""

    domain: str
    feeds: tuple[str, ...]
    contracts: tuple[str, ...]
    what: str
    reference: bool = False
    messages: bool = False


INGESTIONS = (
    Ingestion(
        "declarations",
        ("declarations", "summary_declarations", "complete_declarations", "receipts"),
        (
            "declarations.declaration",
            "declarations.declaration_item",
            "declarations.summary_declaration",
            "declarations.summary_item",
            "declarations.complete_declaration",
            "declarations.complete_item",
            "declarations.declaration_event",
        ),
        "customs declarations with their goods items, both steps of two-step declarations, and the receipts that tell "
        "each state up to release",
    ),
    Ingestion(
        "ecommerce",
        ("ecommerce_order", "ecommerce_payment", "ecommerce_waybill", "ecommerce_list"),
        ("ecommerce.order", "ecommerce.payment", "ecommerce.waybill", "ecommerce.list"),
        "cross-border e-commerce orders (CEB311), payments (CEB411), waybills (CEB511) and goods lists (CEB621)",
    ),
    Ingestion(
        "inspections",
        ("selections", "inspections", "grain_steps", "grain_samples", "packaging_registrations", "special_packages"),
        (
            "inspections.selection",
            "inspections.inspection",
            "inspections.measurement",
            "inspections.grain_step",
            "inspections.grain_find",
            "inspections.grain_sample",
            "inspections.packaging_registration",
            "inspections.packaging_certificate",
            "inspections.special_package",
        ),
        "the logged choice for every declaration, inspections and readings, imported grain and special packages",
    ),
    Ingestion(
        "enterprises",
        ("enterprises", "credit_events", "aeo_certificates", "aeo_validations"),
        (
            "enterprises.enterprise",
            "enterprises.credit_event",
            "enterprises.aeo_certificate",
            "enterprises.aeo_validation",
        ),
        "the enterprise register, credit events, AEO certificates and validations, and the code lists",
        reference=True,
    ),
    Ingestion(
        "rail",
        (
            "rail_manifests",
            "rail_trains",
            "rail_milestones",
            "rail_instructions",
            "rail_instruction_results",
            "rail_orders",
            "rail_radiations",
            "rail_compositions",
            "rail_inclusions",
            "rail_laboratory",
        ),
        (
            "rail.manifest",
            "rail.train",
            "rail.wagon",
            "rail.milestone",
            "rail.instruction",
            "rail.instruction_result",
            "rail.inspection_order",
            "rail.radiation",
            "rail.composition",
            "rail.inclusion",
            "rail.laboratory_result",
        ),
        "rail manifests sent before arrival, trains with their wagons, every step of the chain up to closing, the "
        "inspection instructions with their answers, and the orders, readings and laboratory results of minerals",
        messages=True,
    ),
)


@dataclass(frozen=True)
class Training:
    """A registered model and the question it answers."""

    dag_id: str
    model: str
    question: str


TRAININGS = (
    Training("train_declaration_risk", "declaration_risk", "which declarations to inspect"),
    Training("train_enterprise", "enterprise_risk", "which enterprises are likely to violate in the next 12 months"),
    Training("train_aeo", "aeo_candidate", "which enterprises would pass an AEO validation, for cultivation"),
    Training("train_ore", "ore_verification", "which wagons of minerals do not hold what was declared"),
)
