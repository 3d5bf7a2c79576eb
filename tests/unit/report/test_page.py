"""The report of a run: what it shows, and what it escapes."""

import re
from pathlib import Path

from pipeline.report.page import augmentation_examples, disagreements, report_page
from pipeline.report.results import refresh_report
from pipeline.report.run_summary import read_run_summary
from tests.helpers.published import MEASURED, write_manifest, write_stage
from tests.helpers.reported import CASES, TEACHER, Page, answered, write_run


def page_of(folder: Path) -> Page:
    return Page(refresh_report(folder).read_text(encoding="utf-8"))


def test_the_report_shows_every_part_of_a_run(run: Path) -> None:
    page = page_of(run)
    assert list(page.sections)[1:] == [
        "Teacher and student", "Confusion", "Where student and teacher disagree", "Losses", "Augmentation",
        "Time and memory", "Settings and fingerprints",
    ]  # fmt: skip
    assert page.pictures == [
        "accuracy over latency and over size",
        "The models side by side: accuracy, parameters, of these in the layers, on disk, latency, throughput",
        *2 * ["Confusion matrix: right labels by answers"],
        "Loss loss by step", "Loss hidden by step", "Loss embedding by step", "Seconds of each stage",
    ]  # fmt: skip
    assert "model_int8.onnx differ by 0.02 at most" in page.sections["Teacher and student"]
    assert "1,000 of the teacher’s 30,522 pieces; 12.5% of the test texts" in page.sections["Teacher and student"]
    assert "Measured on aarch64, 8 threads, cpu." in page.sections["Teacher and student"]  # where the file was exported
    assert "2.50 GB" in page.sections["Time and memory"]
    assert "dev score after each epoch: 0.8000, 0.9000" in page.sections["Losses"]
    for expected in ("learning_rate", "3e-05", "fine0123456789ab", "ab" * 32, "./run_all.sh recipe.yaml"):
        assert expected in page.sections["Settings and fingerprints"]


def lines(run: Path) -> dict[str, list[str]]:
    """The table of the models: what each line says of them."""
    text = refresh_report(run).read_text(encoding="utf-8")
    found = re.findall(r"<tr><th>([^<]+)</th>(.*?)</tr>", text.partition("</table>")[0], re.DOTALL)
    return {name: re.findall(r">([^<>]+)</td>", cells) for name, cells in found}


def test_the_file_to_ship_stands_beside_teacher_and_student(run: Path) -> None:
    assert lines(run) == {
        "accuracy": ["0.9000", "0.8850", "0.9000", "0.9000"],
        "accuracy on dev": ["0.9000", "0.8750", "0.8800", "0.8800"],
        "parameters": ["0.0M", "0.0M", "0.0M", "0.0M"],
        "of these in the layers": ["0.0M", "–", "0.0M", "–"],
        "on disk": ["0.0 MB", "2.5 MB", "0.0 MB", "3.0 MB"],
        "latency": ["1.8 ms", "0.2 ms", "1.2 ms", "1.2 ms"],
        "throughput": ["700 texts/s", "3,000 texts/s", "700 texts/s", "1,000 texts/s"],
    }


def test_the_report_reaches_for_nothing_outside_itself(run: Path) -> None:
    outside = [address for address in page_of(run).addresses if not address.startswith(("#", "data:"))]
    assert outside == []


def test_text_from_the_data_is_escaped(run: Path) -> None:
    assert "<b>5 < 6</b> & more" in page_of(run).sections["Where student and teacher disagree"]
    assert "&lt;b&gt;5 &lt; 6&lt;/b&gt; &amp; more" in refresh_report(run).read_text(encoding="utf-8")


def test_a_page_shows_twenty_disagreements_at_most(tmp_path: Path) -> None:
    rows = [answered("good", "good", "bad", text=f"case {number}.") for number in range(25)]
    text = page_of(write_run(tmp_path / "many", rows)).sections["Where student and teacher disagree"]
    assert "25 of 25 rows" in text
    assert "case 19." in text and "case 20." not in text


def test_a_regression_has_scatters_and_the_widest_gaps(tmp_path: Path) -> None:
    rows = [answered(1.0, 1.5, 1.25), answered(4.0, 3.5, 2.0, text="far off"), answered(2.0, 2.0, 2.0)]
    folder = write_run(tmp_path / "scores", rows, metric="pearson")
    page = page_of(folder)
    assert page.pictures.count("Answers over labels") == 2
    assert [row["texts"][0] for row in disagreements(rows)] == ["far off", "a text"]
    assert "correlate with the teacher’s at 0.980" in page.sections["Teacher and student"]


def test_other_kinds_of_answers_leave_their_parts_out(tmp_path: Path) -> None:
    rows = [answered("good", "good", "good") | {"label": ["B-person", "O"]}]
    page = page_of(write_run(tmp_path / "tags", rows))
    assert "Confusion" not in page.sections
    assert "Teacher and student" in page.sections


def test_the_augmentation_is_shown_as_its_stage_counted_it(run: Path) -> None:
    summary = read_run_summary(run)
    assert augmentation_examples(summary) == [[("same", "a "), ("old", "dull"), ("new", "warm"), ("same", " film")]]
    shown = " ".join(page_of(run).sections["Augmentation"].split())
    assert shown == (
        "Augmentation a dull warm film 3 rows, 1 of them variants words replaced, by masked lm33.3%"
        " in the first 1 texts with variants: different replacements1"
        " different words, originals → with variants3 → 4 different pairs of neighbours2 → 4"
    )


def test_a_dataset_that_was_not_counted_leaves_the_augmentation_out(run: Path) -> None:
    metrics = {"originals": 2, "variants": 1, "dropped": {}}  # of an artifact of earlier code
    write_manifest(run / "augment_data", metrics=metrics)
    assert "Augmentation" not in Page(report_page(read_run_summary(run))).sections


def test_an_unfinished_run_is_reported_as_far_as_it_is(tmp_path: Path) -> None:
    write_stage(tmp_path / "run", *TEACHER)
    page = page_of(tmp_path / "run")
    assert list(page.sections)[1:] == ["Losses", "Time and memory", "Settings and fingerprints"]
    assert "Not finished" in page.sections[""]


def test_a_report_that_shows_what_the_run_holds_is_left_alone(run: Path) -> None:
    report = refresh_report(run)
    report.write_text(report.read_text() + "<!-- mine -->")
    assert refresh_report(run).read_text().endswith("<!-- mine -->")
    (run / "recipe.yaml").write_text("seed: 3\n")
    assert "seed: 3" in refresh_report(run).read_text()


def test_every_label_has_its_figures_and_rare_ones_a_curve(tmp_path: Path) -> None:
    figures = {"good": {"precision": 0.75, "recall": 0.5, "f1": 0.6, "rows": 1200}}
    curves = {"good": {"recall": [1.0, 0.5, 0.0], "precision": [0.2, 0.75, 1.0]}}
    sides = {role: MEASURED | {"by_label": figures, "curves": curves} for role in ("teacher", "student")}
    given = {"score": 0.8, "parts": {"accuracy": 0.8}, "kept": 0.99, "kept_interval": [0.97, 1.01]}
    page = page_of(write_run(tmp_path / "runs" / "reviews", CASES, **sides, given_teacher=given))
    shown = page.sections["Label by label"].split("good")[1].split()
    assert "".join(shown).startswith("1,200" + 2 * "0.7500.5000.600")
    assert "Precision by recall" in page.pictures
    said = " ".join(page.sections["Teacher and student"].split())
    assert "The given teacher, whose predictions were learnt, scores 0.8000; the student keeps 99.0% of it" in said


def test_several_labels_of_a_text_are_shown_as_names_and_those_far_apart_come_first(tmp_path: Path) -> None:
    rows = [
        answered(["a"], ["a"], [], sure=0.5) | {"teacher_probability": [0.9, 0.1], "student_probability": [0.4, 0.1]},
        answered([], ["a", "b"], []) | {"teacher_probability": [0.9, 0.9], "student_probability": [0.1, 0.1]},
    ]
    page = page_of(write_run(tmp_path / "runs" / "tickets", rows, labels=["a", "b"]))
    shown = "".join(page.sections["Where student and teacher disagree"].split())
    assert shown.endswith("atextnonea,bnone" + "atextaanone")
    assert "Confusion" not in page.sections
