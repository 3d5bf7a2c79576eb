"""What a user sees at the end of a run: the table in the terminal, and the report brought up to date."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts.atomic import write_atomically
from pipeline.config.data import CORRELATIONS, LINEAR_CKA, MASKED_ACCURACY, NEXT_TOKEN_ACCURACY
from pipeline.report.run_summary import read_run_summary

REPORT = "report.html"


def table(results: Mapping[str, Any]) -> str:
    """Teacher and student side by side, as text for the terminal: first the file that ships, then the student before.

    Args: results: the content of results.json; before the export it says nothing of the file that ships.
    """
    ships = [*shipped_lines(results), ""] if "shipped" in results else []
    return "\n".join(ships + _student_lines(results))


def shipped_lines(results: Mapping[str, Any]) -> list[str]:
    """The teacher, and the student as it ships: the first of the two tables, by line."""
    teacher, shipped, can_be_kept = results["teacher"], results["shipped"], results["metric"] != LINEAR_CKA
    rate = shipped.get("teacher_examples_per_s", teacher["examples_per_s"])  # older results lack it
    teacher = teacher | {"latency_ms": shipped["teacher_latency_ms"], "examples_per_s": rate}
    smaller, faster = (f"{shipped[f'times_{how}']:.1f} times {how}" for how in ("smaller", "faster"))

    def figures(name: str, key: str, remark: str = "", *, unit: float = 1, digits: int = 1) -> str:
        return _line(name, f"{teacher[key] * unit:,.{digits}f}", f"{shipped[key] * unit:,.{digits}f}", remark)

    return [
        _line(f"{results['task']}, {results['split']}", "teacher", "ships", shipped["file"]),
        figures(results["metric"], "score", _kept(shipped) if can_be_kept else "", digits=4),
        figures("on disk, MB", "disk_bytes", f"{smaller}, with its tokenizer", unit=1e-6),
        figures("latency, ms", "latency_ms", f"{faster} (batch 1, 32 tokens)", digits=2),
        *([figures("throughput, texts/s", "examples_per_s", digits=0)] if rate else []),
    ]


def _student_lines(results: Mapping[str, Any]) -> list[str]:
    """The teacher, and the student before its export, in PyTorch."""
    teacher, student = results["teacher"], results["student"]
    title = "before its export, PyTorch" if "shipped" in results else f"{results['task']}, {results['split']}"
    lines = [_line(title, "teacher", "student")]

    def add_scores(name: str, of_teacher: float, of_student: float, remark: str = "") -> None:
        lines.append(_line(name, f"{of_teacher:.4f}", f"{of_student:.4f}", remark))

    def add_figures(name: str, key: str, remark: str = "", *, unit: float = 1) -> None:
        lines.append(_line(name, f"{teacher[key] * unit:,.1f}", f"{student[key] * unit:,.1f}", remark))

    add_scores(
        results["metric"], teacher["score"], student["score"], "" if results["metric"] == LINEAR_CKA else _kept(results)
    )
    if given := results.get("given_teacher"):
        lines.append(_line("  of the given teacher", f"{given['score']:.4f}", "", _kept(given)))
    parts = teacher.get("parts", {})
    if len(parts) > 1:
        for name in parts:
            add_scores(f"  {name}", parts[name], student["parts"][name])
    for name, value in teacher.get("all_scores", {}).items():
        if name not in parts:
            add_scores(f"  {name}", value, student["all_scores"][name])
    for name in teacher["scores"].keys() - {results["split"]}:
        add_scores(f"  on {name}", teacher["scores"][name], student["scores"][name])
    smaller, layers_smaller = results["times_smaller"], results["encoder_times_smaller"]
    add_figures("parameters, millions", "parameters", f"{smaller:.1f} times smaller", unit=1e-6)
    add_figures("  of these in the layers", "encoder_parameters", f"{layers_smaller:.1f} times smaller", unit=1e-6)
    add_figures("on disk, MB", "disk_bytes", unit=1e-6)
    add_figures("latency, ms", "latency_ms", f"{results['times_faster']:.1f} times faster (batch 1, 32 tokens)")
    add_figures("throughput, texts/s", "examples_per_s")
    if "layers" in results:
        return [*lines, *_layer_lines(results), f"seed {results['seed']}"]
    agreement = f"the student gives the teacher's answer on {results['agreement']:.1%} of the rows"
    if results["metric"] in CORRELATIONS:
        agreement = f"the student's scores correlate with the teacher's at {results['agreement']:.3f}"
    lines.append(f"{agreement}; seed {results['seed']}")
    return lines


def _layer_lines(results: Mapping[str, Any]) -> list[str]:
    """Of a general student: how alike its layers are to the teacher's, and how often both find the same word."""
    found = ", ".join(f"{pair['student']} to {pair['teacher']}: {pair['linear_cka']:.3f}" for pair in results["layers"])
    lines = [f"hidden states, linear CKA, layer of the student to layer of the teacher: {found}"]
    if results["metric"] == NEXT_TOKEN_ACCURACY:
        lines.append(f"the student gives the teacher's next token at {results['agreement']:.1%} of the places")
    if results["metric"] == MASKED_ACCURACY:
        lines.append(f"the student gives the teacher's word at {results['agreement']:.1%} of the masked places")
    return lines


def _line(name: str, of_teacher: str, of_student: str, remark: str = "") -> str:
    return f"{name:<28}{of_teacher:>12}{of_student:>12}   {remark}".rstrip()


def _kept(results: Mapping[str, Any]) -> str:
    """The share of the teacher's score that the student keeps, with its interval."""
    if results["kept"] is None or not results["kept_interval"]:
        return "no share: the teacher scores next to nothing, or hardly more than an answer that ignores the text"
    low, high = results["kept_interval"]
    return f"{results['kept']:.1%} kept (95%: {low:.1%} to {high:.1%})"


def refresh_report(folder: Path) -> Path:
    """Write the report of a run, unless the one that is there shows what the run holds now. Returns its path."""
    run, path, beginning = read_run_summary(folder), folder / REPORT, b""
    if path.is_file():
        with path.open("rb") as file:
            beginning = file.read(1000)
    if f'content="{run.digest()}"'.encode() not in beginning:
        from pipeline.report.page import report_page  # noqa: PLC0415 (matplotlib takes a second; most runs need none)

        write_atomically(path, report_page(run))
    return path
