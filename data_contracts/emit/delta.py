"""Contract to table schema: Arrow for writing, Delta for creating. Types are a closed table that raises."""

import pyarrow as pa
from deltalake import Field as DeltaField
from deltalake import Schema as DeltaSchema
from deltalake.schema import PrimitiveType

from data_contracts.errors import ContractError
from data_contracts.model import Contract, Field

# Instants are UTC with zone: without it DuckDB and Polars would write timestamp_ntz, which Spark reads as another type.
ARROW_TYPES = {
    "VARCHAR": pa.string(),
    "DATE": pa.date32(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
}
DELTA_TYPES = {
    "VARCHAR": "string",
    "DATE": "date",
    "TIMESTAMPTZ": "timestamp",
    "INTEGER": "integer",
    "BIGINT": "long",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
}


def arrow_type(field: Field) -> pa.DataType:
    """Return the Arrow type of a column."""
    if field.decimal:
        return pa.decimal128(*field.decimal)
    try:
        return ARROW_TYPES[field.physical_type]
    except KeyError:
        raise ContractError(f"Field {field.name}: no Arrow type for {field.physical_type}; use a known type.") from None


def delta_type(field: Field) -> str:
    """Return the Delta (Spark) type name of a column."""
    if field.decimal:
        return f"decimal({field.decimal[0]},{field.decimal[1]})"
    try:
        return DELTA_TYPES[field.physical_type]
    except KeyError:
        raise ContractError(f"Field {field.name}: no Delta type for {field.physical_type}; use a known type.") from None


def column_metadata(contract: Contract, field: Field) -> dict[str, str]:
    """Return what a column of the table says of itself: meaning, grade, category, place in the key, pseudonym key.

    The key and the pseudonyms are there so that a later contract can be compared with the table, not with a memory of
    what it was made from.
    """
    known = {
        "comment": field.description,
        "grade": field.grade,
        "category": field.category,
        "personal_information": field.personal_information,
    }
    if field.important:
        known["important"] = "true"
    if field.name in contract.key:
        known["key"] = str(contract.key.index(field.name) + 1)
    if field.mask == "hmac" and contract.feed:
        known["pseudonym"] = field.purpose or ""
    return known


def arrow_schema(contract: Contract) -> pa.Schema:
    """Return the Arrow schema of the silver table: columns in order, nullability, what is known of each as metadata."""
    return pa.schema(
        [
            pa.field(f.name, arrow_type(f), nullable=not f.required, metadata=column_metadata(contract, f))
            for f in contract.columns
        ],
        metadata={"contract": contract.id, "version": contract.version},
    )


def delta_schema(contract: Contract) -> DeltaSchema:
    """Return the Delta schema of the silver table: NOT NULL where required, metadata as ``column_metadata``."""
    return DeltaSchema(
        [
            DeltaField(
                f.name,
                PrimitiveType(delta_type(f)),
                nullable=not f.required,
                metadata=column_metadata(contract, f),
            )
            for f in contract.columns
        ]
    )


def table_properties(contract: Contract) -> dict[str, str]:
    """Return the Delta table properties of a silver table.

    Only names Delta knows: delta-rs refuses a table with others (seen in 1.6.6). What else is to be said of the table
    is in ``table_description`` and in the metadata of the columns.
    """
    # delta-rs reads tables with deletion vectors and cannot write them
    return {"delta.enableDeletionVectors": "false"}


def table_description(contract: Contract) -> str:
    """Return the description stored in the table: meaning, contract and version, grade, retention."""
    return f"{contract.description} [{contract.id} {contract.version}, {contract.grade}, kept {contract.retention}]"
