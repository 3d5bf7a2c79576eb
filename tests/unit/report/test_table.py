"""The table at the end of a run."""

from typing import Any

from pipeline.report.results import table


def results(**changes: Any) -> dict[str, Any]:
    sides = {
        role: {
            "score": score,
            "scores": {"test": score, "test_mismatched": score - 0.01},
            "parameters": parameters,
            "encoder_parameters": parameters // 2,
            "disk_bytes": 4 * parameters,
            "latency_ms": parameters / 1e6,
            "examples_per_s": 1e9 / parameters,
        }
        for role, score, parameters in (("teacher", 0.8512, 22_700_000), ("student", 0.8301, 7_300_000))
    }
    plain = {
        "task": "rotten_tomatoes",
        "metric": "accuracy",
        "split": "test",
        **sides,
        "kept": 0.9752,
        "kept_interval": (0.96, 0.99),
        "agreement": 0.9,
        "times_smaller": 3.1,
        "encoder_times_smaller": 8.2,
        "times_faster": 3.1,
        "seed": 7,
    }
    return plain | changes


def test_the_table_shows_both_side_by_side() -> None:
    lines = {line[:28].strip(): line[28:].split() for line in table(results()).splitlines()}
    assert lines["rotten_tomatoes, test"] == ["teacher", "student"]
    assert lines["accuracy"] == ["0.8512", "0.8301", "97.5%", "kept", "(95%:", "96.0%", "to", "99.0%)"]
    assert lines["on test_mismatched"] == ["0.8412", "0.8201"]
    assert lines["parameters, millions"] == ["22.7", "7.3", "3.1", "times", "smaller"]
    assert lines["of these in the layers"] == ["11.3", "3.6", "8.2", "times", "smaller"]
    assert lines["on disk, MB"] == ["90.8", "29.2"]
    assert lines["latency, ms"] == ["22.7", "7.3", "3.1", "times", "faster", "(batch", "1,", "32", "tokens)"]
    assert lines["throughput, texts/s"] == ["44.1", "137.0"]


def test_the_table_ends_with_agreement_and_seed() -> None:
    assert table(results()).endswith("the student gives the teacher's answer on 90.0% of the rows; seed 7")


def test_the_table_of_a_regression_ends_with_the_correlation() -> None:
    text = table(results(metric="pearson_and_spearman", agreement=0.9))
    assert text.endswith("the student's scores correlate with the teacher's at 0.900; seed 7")


def test_without_a_score_of_the_teacher_the_table_says_nothing_of_what_is_kept() -> None:
    assert "kept" not in table(results(kept=None, kept_interval=None))
