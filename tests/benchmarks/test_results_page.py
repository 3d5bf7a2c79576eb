"""How the page of results shows figures."""

from typing import Any

import pytest

from benchmarks import pages, pictures, results, results_page, scale_page, tables


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("score", 0.82867, "0.8287"),
        ("kept", 0.98312, "98.3%"),
        ("kept_interval", [0.97, 0.99], "97.0%, 99.0%"),
        ("kept", None, ""),
        ("p99_ms", 4.8786, "4.88"),
        ("bytes_after", 5_087_835, "5.1 MB"),
        ("peak_memory", 4_309_938_176, "4.3 GB"),
        ("cpu_seconds", 620.3, "10 min"),
        ("times_faster", 27.804, "27.8"),
        ("variants_per_s", 29200.9, "29,201"),
        ("rows", 1_900_194, "1,900,194"),
        ("method", "tinybert", "tinybert"),
    ],
)
def test_a_figure_is_shown_by_what_it_is_called(name: str, value: Any, shown: str) -> None:
    assert tables.cell(name, value) == shown


def part(figures: Any) -> dict[str, Any]:
    return {"command": "c", "commit": "abc", "machine": "m", "day": "d", "seconds": 1.0, "figures": figures}


def test_trainings_share_a_table_and_so_do_tasks() -> None:
    speed = {
        "unit": "tokens/s",
        "ours": 1500.4,
        "reference": 2.36,
        "ratio": 1.98,
        "share_of_peak": 0.8232,
        "matrix_rate": 3.84e11,
        "precision": "bf16",
        "memory_ours": 893_327_360,
        "memory_reference": 1_179_619_328,
    }
    words = {
        "unit": "sentences/s",
        "way": {"mask_share": 0.25, "word_share": 0.4},
        "shared_with_algorithm_1": 0.917,
        "one_word": 36.9,
    }
    stages = {"commits": {"distill_layers": ["3cadc14"], "export_student": ["fcc08ec"]}, "threads": [1]}
    known = {
        "default": part({}),
        "speed_layers": part(speed),
        "speed_augment": part(speed | words),
        "speed_general": None,
        "task_mrpc": part([{"task": "mrpc", "kept": 0.98}, {"task": "mrpc", "kept": 0.97}]),
        "task_stsb": part([{"task": "stsb", "kept": 0.97, "stages": stages}]),
    }
    found = results_page.sections(known, dict.fromkeys(known, "a title"))
    assert list(found) == ["Speed beside the method as it is written", "Other tasks"]
    speeds, tasks = found.values()
    row = "1,500 tokens/s | 2.4 tokens/s | 2.0 | 82% (384 GFLOP/s, bf16) | 893.3 MB | 1.2 GB |"
    assert f"| distillation of layers | {row}" in speeds
    assert f"| candidates for words | {row.replace('tokens', 'sentences')}" in speeds
    said = " ".join(speeds)
    assert all(part in said for part in ("25% of the tokens", "40% of the words", "92% of the candidates"))
    assert speeds[0].startswith("`python -m benchmarks.speed WHAT`, commit abc, m: ")
    assert "| candidates, all words, one at a time | 37 sentences/s | 2.4 sentences/s | 15.6 |  |  |  |" in speeds
    assert "measured with the models of both ways loaded" in " ".join(said.split())
    assert tasks[2:7] == ["| task | kept |", "|---|---|", "| mrpc | 98.0% |", "| mrpc | 97.0% |", "| stsb | 97.0% |"]
    assert tasks[8] == "- mrpc: what ships keeps 97.5% in the mean of 2 seeds (97.0% to 98.0%)."
    assert tasks[-1] == "- stsb: The stages ran at commit 3cadc14; evaluation and export ran at fcc08ec."


@pytest.mark.parametrize(
    ("noted", "said"),
    [
        ({"annotations": 1.0}, "charged with 1 annotation(s) by the teacher for each example of a step"),
        ({}, "one annotation of each text for three epochs"),
    ],
)
def test_predictions_say_how_many_annotations_they_pay_for(noted: dict[str, float], said: str) -> None:
    figures = {"unit": "examples/s", "ours": 120.0, "reference": 40.0, "ratio": 3.0, "share_of_peak": 0.2}
    figures |= {"matrix_rate": 1e11, "precision": "fp32"} | noted
    lines = " ".join(results_page.speed_lines({"speed_predictions": part(figures)}))
    assert said in lines
    assert "teacher in one of 3 steps of the layers" in lines and "both leave out eq. 7" in lines  # the default recipe


def test_a_part_of_finished_runs_says_with_what_they_were_made() -> None:
    stages = {"commits": {"distill_layers": ["3cadc14"], "export_student": ["fcc08ec"]}, "threads": [1, 2]}
    shipped = {"times_faster": 13.7, "times_smaller": 18.0, "file": "f", "kept": None, "kept_interval": None}
    side = {"score": 0.8, "disk_bytes": 1e6, "latency_ms": 1.0, "examples_per_s": 9.0}
    figures = {"teacher": side, "shipped": side | shipped | {"teacher_latency_ms": 2.0}, "seconds": None}
    figures |= {"task": "rows", "split": "test", "metric": "accuracy", "stages": stages}
    rows = [{"student.start": "fitted", "scores": [0.8], "deviation": 0.0, "stages": stages}]
    known = {
        "default": part(figures),
        "float32": part(figures),
        "smallest": part(figures),
        "starts": part(rows),
        "export": part({"recipe": {"times_faster": 18.1}}),
    }
    found = results_page.sections(known, {name: name for name in known})
    assert list(found) == ["smallest", "starts", "export"]  # the default run was in float32 itself
    made = "`c`, commit abc, m. The stages ran at commit 3cadc14; evaluation and export ran at fcc08ec."
    assert found["smallest"][0] == found["starts"][0] == made
    assert found["smallest"][-1].endswith("their times do not add up.")
    assert "| fitted | 0.8000 |  |" in found["starts"]  # one seed, in a file that says 0
    said = " ".join(found["export"])
    assert "time faster is slower. The 13.7 times" in said and "wall clock, with 1 or 2 threads." in said


def test_what_was_measured_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(pictures, "numbered_trade_offs", lambda models, **_: drawn.extend(name for name, _ in models))
    rows = [
        {"way": "teacher", "name": "teacher", "metric": "accuracy", "latency_ms": 24.6},
        {"way": "ships", "name": "ships", "not_run": "no run"},
        {"way": "words", "name": "TF-IDF", "metric": "accuracy", "latency_ms": 2.4},
    ]
    monkeypatch.setattr(results, "read", {"baselines": part(rows)}.get)
    pages.trade_offs()
    assert drawn == ["teacher", "TF-IDF"]


def test_other_parts_have_their_own_tables() -> None:
    known = {
        "memory": part({"ours": {"128": 1_586_663_424, "512": 2e9}, "reference": {"128": 2_195_533_824}}),
        "evidence": part("# Evidence\n\nprose\n\n| a |\n|---|\n| 1 |\n"),
        "quality": part({"rows": [{"seed": 0, "kept": 0.98}], "mean": {"kept": 0.98}}),
        "fit": part({"fitted": {"hidden_1": 0.07}, "random": {"hidden_1": 0.33}}),
    }
    found = results_page.sections(known, {name: name for name in known})
    assert {name: lines[0] for name, lines in found.items()} == dict.fromkeys(known, "`c`, commit abc, m")
    assert found["memory"][-2:] == ["| 128 | 1.6 GB | 2.2 GB |", "| 512 | 2.0 GB | not run |"]
    assert found["evidence"][2:] == ["| a |", "|---|", "| 1 |"]
    assert found["quality"][-2:] == ["| 0 | 98.0% |", "| mean | 98.0% |"]
    assert found["fit"][-2:] == ["| fitted | 0.0700 |", "| random | 0.3300 |"]


def test_the_headline_says_what_other_machines_and_seeds_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = {"score": 0.84, "disk_bytes": 9e7, "latency_ms": 15.0}
    ships = {"score": 0.82, "disk_bytes": 5e6, "latency_ms": 0.5}
    run = part({"teacher": teacher, "shipped": ships, "seconds": 1280})
    rows = [{"seed": seed, "ships_kept": kept} for seed, kept in enumerate((0.98, 0.99))]
    absent = {"way": "model2vec", "name": "model2vec", "not_run": "it is not installed"}
    measured = [
        {"way": "teacher", "name": "the teacher", "seconds": None} | teacher,
        {"way": "ships", "name": "the student", "seconds": None} | ships,
        {"way": "words", "name": "TF-IDF", "seconds": 4.0} | teacher,
        absent,
    ]
    known = {
        "baselines": part(measured),
        "default": run,
        "float32": run | {"machine": "an old laptop", "figures": run["figures"] | {"latency": 1}},
        "quality": part({"rows": rows, "mean": {"ships_kept": 0.985}}) | {"commit": "def"},
    }
    monkeypatch.setattr(results, "read", known.get)
    lines = results_page.headline().splitlines()
    assert lines[2:6] == [
        "| the teacher | 84.00% | 90.0 MB | 15.00 ms |  |",
        "| **the student**, int8 ONNX | **82.00%** | **5.0 MB**, 18.0 times smaller | **0.50 ms**, 30.0 times faster"
        " | 21 min |",
        "| TF-IDF | 84.00% | 90.0 MB | 15.00 ms | 4 s |",
        "| model2vec | not run | | | |",
    ]
    said = " ".join(" ".join(lines).split())
    scores = "the student that ships scores 82.00%, its teacher 84.00%"
    assert f"In float32 (an old laptop) {scores}, and the run takes 21 min." in said
    kept = "Over 2 seeds what ships keeps 98.5% of its teacher's accuracy"
    assert f"{kept} (98.0% to 99.0%; commit def, m)." in said
    brings = " ".join(results_page.seeds_kept().split())
    assert "makes a student of 5.0 MB that takes 0.50 ms and keeps 98.5% of its accuracy (mean of 2 seeds)" in brings


def test_the_losses_of_each_start_become_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = {
        name: {"embedding": loss, "hidden_1": loss, "attention_1": loss, "hidden_2": 2 * loss, "tokens": 4000.0}
        for name, loss in (("random", 0.5), ("fitted", 0.0625))
    }
    monkeypatch.setattr(results, "read", {"fit": part(starts)}.get)
    assert results_page.fit_lines().splitlines() == [
        "| | random | fitted |",
        "|---|---|---|",
        "| embedding loss | 0.500 | 0.0625 |",
        "| hidden losses, by layer | 0.500 1.00 | 0.0625 0.125 |",
        "| attention losses, by layer | 0.500 | 0.0625 |",
        "",
        "The fit reads 4,000 tokens (commit abc, m).",
    ]


def test_rates_become_the_table_of_much_text(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"mb_per_core_second": 4.0, "text_per_token": 4.0, "tokens_per_block": 125.0, "stored_per_text": 0.5}
    monkeypatch.setattr(results, "read", {"corpus_rate": part(rates | {"sha256_gb_per_second": 1.0})}.get)
    lines = scale_page.scale_lines()
    assert (
        "| preparing the corpus | 6.9 core-hours | 13 minutes with 32 processes of one core each |" in lines
    )  # 25,000 s
    assert "| parts, the unit of work | 1,491 of 17 core-seconds |" in lines
    assert "| tokens, blocks | 25.0e9 tokens in 200e6 blocks |" in lines
    assert "| the corpus on disk | 50 GB |" in lines
    assert "| shards | about 13,419 | 16,384 blocks each, at most 9 a part |" in lines
    assert "| checksums | 100 s over the text, 50 s over the corpus |" in lines
    assert "| held by each training process | **7.2 GB** |" in lines
    assert "8 processes on a machine hold 58 GB" in lines
    assert "64 GB and 8 processes is full at 111 GB of text" in lines
