"""Model cards: what a version is for, what it learned from, how good it is and where it must not be trusted."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.training import Recipe

_ROWS = (
    ("holdout", "this model"),
    ("baseline", "baseline"),
    ("champion", "champion so far"),
)


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _table(rows: list[tuple[str, dict[str, Any]]]) -> list[str]:
    budgets = ("1", "2", "5", "10")
    heads = [
        "",
        "n",
        "base rate",
        "AUC",
        "PR-AUC",
        "R at 1 % false",
        *(f"P@{b} %" for b in budgets),
        *(f"R@{b} %" for b in budgets),
    ]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for title, figures in rows:
        cells = [figures["n"], figures["base_rate"], figures["auc"], figures["pr_auc"]]
        cells.append(figures["recall_at_1_false_alarm"])
        cells += [figures[group][b] for group in ("p_at", "r_at") for b in budgets]
        lines.append(f"| {title} | " + " | ".join(_number(c) for c in cells) + " |")
    return lines


def render_card(
    recipe: "Recipe",
    facts: dict[str, Any],
    figures: dict[str, Any],
    verdict: str,
    importance: list[tuple[str, float]],
) -> str:
    """Return the card as Markdown; ``VERSION`` stands for the version, which is known after registration only.

    Args:
        recipe: the model.
        facts: how and on what it was trained.
        figures: nested figures; every group with ``auc`` becomes a row of the table.
        verdict: the gate's sentence.
        importance: mean absolute contribution to the logit per feature.
    """
    features = recipe.features
    known = dict(_ROWS)
    groups = [(known.get(k, k.replace("_", " ")), v) for k, v in figures.items() if isinstance(v, dict) and "p_at" in v]
    calibration = figures["calibration"]
    curve = "; ".join(f"{p['predicted']:.3f} → {p['observed']:.3f}" for p in calibration["curve"])
    lines = [
        f"# {features.name}, version VERSION",
        "",
        f"**{features.question}** Owner: {features.owner}.",
        "",
        "## Trained on",
        "",
        *(f"- {key}: {value}" for key, value in facts.items()),
        f"- tables: {', '.join(features.inputs)}",
        f"- as-of rule: {features.as_of_rule}",
        "",
        "## How good it is",
        "",
        f"On rows later than all it learned from. Baseline: {recipe.baseline_name}. P@n and R@n: precision and recall"
        " in the top n %; R at 1 % false: recall where 1 % of the innocent are suspected.",
        "",
        *_table(groups),
        "",
        f"- gate: {verdict}",
        f"- trained on shuffled labels: AUC {_number(figures['permuted_auc'])} (one half is right)",
        f"- Brier {_number(calibration['brier'])}, skill over the constant rate {_number(calibration['brier_skill'])}, "
        f"calibration error {_number(calibration['calibration_error'])}",
        f"- calibration, predicted → observed by tenths: {curve}",
        "",
        "## What it looks at",
        "",
        "| feature | mean part in the logit |",
        "|---|---|",
        *(f"| {name} | {part:.3f} |" for name, part in importance),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in recipe.limits),
        "",
    ]
    return "\n".join(lines)
