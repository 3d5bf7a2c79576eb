"""What there is to set, for --help and the documentation."""

from pipeline.config.reference import sections, settings

KNOWN = {setting.name: setting for setting in settings()}


def test_every_setting_and_section_has_a_help_text() -> None:
    assert [name for name, setting in KNOWN.items() if not setting.help] == []
    assert [section.name for section in sections() if not section.help] == []


def test_types_are_words_with_the_bounds_of_their_values() -> None:
    expected = {
        "task.dev_share": "number, at least 0, below 1",
        "task.train": "list (text)",
        "task.text_pair": "text | null",
        "precision": "auto | bf16 | fp32",
        "propose_candidates.decode_tokens": "whole number, at least 1 | null",
        "task.skip_empty": "true or false",
    }
    assert {name: KNOWN[name].type for name in expected} == expected


def test_defaults_are_written_as_a_recipe_has_them() -> None:
    expected = {"task.train": "[]", "name": '""', "task.skip_empty": "false", "backbone": "required", "seed": "0"}
    assert {name: KNOWN[name].default for name in expected} == expected
