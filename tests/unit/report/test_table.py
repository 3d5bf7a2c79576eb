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


SHIPPED = {
    "file": "onnx/model_int8.onnx", "score": 0.8288, "kept": 0.9737, "kept_interval": (0.95, 0.99),
    "disk_bytes": 4_900_000, "latency_ms": 0.334, "teacher_latency_ms": 22.71, "examples_per_s": 3100.4,
    "times_smaller": 18.5, "times_faster": 68.0,
}  # fmt: skip


def test_what_ships_comes_first() -> None:
    ships, _, before = table(results(shipped=SHIPPED)).partition("\n\n")
    lines = {line[:28].strip(): line[28:].split(maxsplit=2) for line in ships.splitlines()}
    assert lines == {
        "rotten_tomatoes, test": ["teacher", "ships", "onnx/model_int8.onnx"],
        "accuracy": ["0.8512", "0.8288", "97.4% kept (95%: 95.0% to 99.0%)"],
        "on disk, MB": ["90.8", "4.9", "18.5 times smaller, with its tokenizer"],
        "latency, ms": ["22.71", "0.33", "68.0 times faster (batch 1, 32 tokens)"],
        "throughput, texts/s": ["44", "3,100"],
    }
    assert before.replace("before its export, PyTorch", "rotten_tomatoes, test     ") == table(results())


def test_a_teacher_that_ran_on_a_gpu_has_no_throughput_beside_a_file_that_ran_on_the_cpu() -> None:
    ships, _, _ = table(results(shipped={**SHIPPED, "teacher_examples_per_s": None})).partition("\n\n")
    assert "latency, ms" in ships and "throughput" not in ships
    ships, _, _ = table(results(shipped={**SHIPPED, "teacher_examples_per_s": 43.0})).partition("\n\n")
    assert ships.splitlines()[-1].split() == ["throughput,", "texts/s", "43", "3,100"]


def test_the_table_ends_with_agreement_and_seed() -> None:
    assert table(results()).endswith("the student gives the teacher's answer on 90.0% of the rows; seed 7")


def test_the_table_of_a_regression_ends_with_the_correlation() -> None:
    text = table(results(metric="pearson_and_spearman", agreement=0.9))
    assert text.endswith("the student's scores correlate with the teacher's at 0.900; seed 7")


def test_of_a_teacher_that_learnt_nothing_no_share_is_kept() -> None:
    text = table(results(kept=None, kept_interval=None))
    assert (
        "0.8301   no share: the teacher scores next to nothing, or hardly more than an answer that ignores the text\n"
        in text
    )
