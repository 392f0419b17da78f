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


def arrow_schema(contract: Contract) -> pa.Schema:
    """Return the Arrow schema of the silver table: all columns in order, nullability, description as comment."""
    return pa.schema(
        [
            pa.field(f.name, arrow_type(f), nullable=not f.required, metadata={"comment": f.description})
            for f in contract.columns
        ],
        metadata={"contract": contract.id, "version": contract.version},
    )


def delta_schema(contract: Contract) -> DeltaSchema:
    """Return the Delta schema of the silver table: NOT NULL where required, description and grade as metadata."""
    return DeltaSchema(
        [
            DeltaField(
                f.name,
                PrimitiveType(delta_type(f)),
                nullable=not f.required,
                metadata={"comment": f.description, "grade": f.grade},
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
