"""The results of a run as a user reads them."""

from typing import Any

from pipeline.metrics import CORRELATIONS


def table(results: dict[str, Any]) -> str:
    """The results as a user reads them."""
    teacher, student = results["teacher"], results["student"]

    def line(name: str, left: str, right: str, remark: str = "") -> str:
        return f"{name:<28}{left:>12}{right:>12}   {remark}".rstrip()

    kept = ""
    if results["kept"] is not None and results["kept_interval"]:
        low, high = results["kept_interval"]
        kept = f"{results['kept']:.1%} kept (95%: {low:.1%} to {high:.1%})"
    lines = [line(f"{results['task']}, {results['split']}", "teacher", "student")]
    lines.append(line(results["metric"], f"{teacher['score']:.4f}", f"{student['score']:.4f}", kept))
    for name in teacher["scores"].keys() - {results["split"]}:
        lines.append(line(f"  on {name}", f"{teacher['scores'][name]:.4f}", f"{student['scores'][name]:.4f}"))
    rows = (
        ("parameters, millions", "parameters", 1e-6, "times_smaller", "smaller"),
        ("  of these in the layers", "encoder_parameters", 1e-6, "encoder_times_smaller", "smaller"),
        ("on disk, MB", "disk_bytes", 1e-6, "", ""),
        ("latency, ms", "latency_ms", 1, "times_faster", "faster (batch 1, 32 tokens)"),
        ("throughput, texts/s", "examples_per_s", 1, "", ""),
    )
    for name, key, unit, ratio, word in rows:
        remark = f"{results[ratio]:.1f} times {word}" if ratio else ""
        lines.append(line(name, f"{teacher[key] * unit:,.1f}", f"{student[key] * unit:,.1f}", remark))
    alike = f"the student gives the teacher's answer on {results['agreement']:.1%} of the rows"
    if results["metric"] in CORRELATIONS:
        alike = f"the student's scores correlate with the teacher's at {results['agreement']:.3f}"
    lines.append(f"{alike}; seed {results['seed']}")
    return "\n".join(lines)
