"""The models there are."""

import importlib

from infra.runtime.errors import BadArgumentsError
from models.training import Recipe

NAMES = ("declaration_risk", "enterprise_risk", "aeo_candidate", "ore_verification")


def recipe_of(name: str) -> Recipe:
    """Return a model's recipe.

    Raises:
        BadArgumentsError: no such model.
    """
    if name not in NAMES:
        raise BadArgumentsError(f"No model {name}: there are {', '.join(NAMES)}.")
    return importlib.import_module(f"models.{name}.train").RECIPE
