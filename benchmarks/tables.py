"""Figures as Markdown: tables, cells, durations, and what a program printed."""

from collections.abc import Mapping, Sequence
from typing import Any

FORMS = {  # of figures, by name
    "kept": ".1%",
    "ships_kept": ".1%",
    "kept_interval": ".1%",
    "times_smaller": ".1f",
    "times_faster": ".1f",
    "agreement": ".1%",
    "masked": ".1%",
    "median_ms": ".2f",
    "p99_ms": ".2f",
    "ms_before": ".2f",
    "ms_after": ".2f",
}


def table(figures: Any) -> list[str]:
    """Figures as a table: rows, or rows by name; of a page of its own, the tables."""
    if isinstance(figures, str):
        lines = figures.splitlines()
        return lines[next((at for at, line in enumerate(lines) if line.startswith("|")), 0) :]
    rows = figures
    if isinstance(figures, dict):
        rows = [*figures["rows"], {"seed": "mean", **figures["mean"]}] if "rows" in figures else _named(figures)
    rows = [row | {"deviation": None} if len(row.get("scores", ())) == 1 else row for row in rows]  # older: 0
    names = list(dict.fromkeys(name for row in rows for name in row if not isinstance(row[name], dict)))
    lines = [f"| {' | '.join(map(_title, names))} |", f"|{'---|' * len(names)}"]
    return lines + [f"| {' | '.join(cell(name, row.get(name, '')) for name in names)} |" for row in rows]


def _title(name: str) -> str:
    """A setting as it is written in a recipe, any other name in words."""
    return f"`{name}`" if "." in name else name.replace("_", " ")


def _named(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figures by name as rows that begin with it."""
    nested = all(isinstance(of, dict) for of in figures.values())
    return [
        {"of": name, **of} if nested else {"of": name.replace("_", " "), "figure": cell(name, of)}
        for name, of in figures.items()
    ]


def cell(name: str, value: Any) -> str:
    """A figure by what it is called: bytes as MB, shares in percent, scores with four digits."""
    if isinstance(value, list):
        return ", ".join(cell(name, each) for each in value)
    if value is None or isinstance(value, str):
        return value or ""
    if "bytes" in name or "memory" in name:
        return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB"
    if name.endswith("seconds"):
        return duration(value)
    if "." in name:  # a setting
        return f"{value:g}"
    usual = "," if isinstance(value, int) else ",.0f" if value >= 1000 else ".1f" if value >= 10 else ".4f"
    return f"{value:{FORMS.get(name, usual)}}"


def where(*parts: Mapping[str, Any]) -> str:
    """The commits and machines of parts of results/."""
    return "; ".join(dict.fromkeys(f"commit {of['commit']}, {of['machine']}" for of in parts))


def block(lines: Sequence[str]) -> str:
    """What a program printed, in Markdown."""
    return "\n".join(["```text", *lines, "```", ""])


def duration(seconds: float | None) -> str:
    """In seconds, from 100 on in minutes."""
    if seconds is None:
        return ""
    if seconds < 1:
        return "under 1 s"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
