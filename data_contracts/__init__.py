"""What the data is: one ODCS contract per silver table, and everything that is derived from it.

Pure: no Spark, no settings, no files outside this folder.
"""

from data_contracts.codes import code_list
from data_contracts.errors import ContractError, UnknownContractError
from data_contracts.layout import load_layouts, match_layouts
from data_contracts.loader import load_contract, load_contracts
from data_contracts.model import Code, Contract, Field, Layout, LayoutTable, Rule

__all__ = [
    "Code",
    "Contract",
    "ContractError",
    "Field",
    "Layout",
    "LayoutTable",
    "Rule",
    "UnknownContractError",
    "code_list",
    "load_contract",
    "load_contracts",
    "load_layouts",
    "match_layouts",
]
