"""Words of other languages: what is found in three sentences of each, and that a replacement touches nothing else."""

import unicodedata

import pytest

from data_augment.candidates_folder import WordCandidates
from data_augment.placeholders import PLACEHOLDERS
from data_augment.variants import sample_variant
from data_augment.words import find_words, is_word, match_case, replaceable_words, stop_list

NFD_GA = "か\u3099"  # が, as a syllable and a mark
FAMILY = "👨‍👩‍👧"
# Language -> what stands for its words in variants, and sentences with the words that may be replaced.
SENTENCES: dict[str, tuple[str, list[tuple[str, list[str]]]]] = {
    "zh": (
        "宾馆",
        [
            ("酒店的服务态度非常好！", ["酒店", "服务态度", "非常"]),
            (f"屏幕　很清晰{FAMILY}，ｍｐ３，café不错１２元。", ["屏幕", "清晰", "café", "不错", "元"]),
            ("早餐丰富，房间有三张床；推荐。", ["早餐", "丰富", "房间", "三张", "床", "推荐"]),
        ],
    ),
    "ja": (
        "写真",
        [
            ("この映画はとても面白かったです。", ["映画", "とても", "面白"]),
            (f"音楽{NFD_GA}美しい「東京タワー」は１９５８年。", ["音楽", "美しい", "東京タワー", "年"]),
            ("ホテルの朝食はおいしい😀", ["ホテル", "朝食", "おいしい"]),
        ],
    ),
    "th": (
        "เพลง",
        [
            ("หนังเรื่องนี้สนุกมาก", ["หนัง", "เรื่อง", "สนุก"]),
            ("ฉันชอบกินข้าวผัด ๑๒ บาท", ["ฉัน", "ชอบ", "กิน", "ข้าว", "ผัด", "บาท"]),
            ("อากาศวันนี้ร้อน👍🏽", ["อากาศ", "ร้อน"]),
        ],
    ),
    "ko": (
        "음악",
        [
            ("이 영화는 정말 재미있었다.", ["영화는", "정말", "재미있었다"]),
            ("연기가 훌륭하다。음악도 좋다！", ["연기가", "훌륭하다", "음악도", "좋다"]),
            (f"{unicodedata.normalize('NFD', '서울에서')} 2023년에 촬영했다", ["서울에서", "촬영했다"]),
        ],
    ),
    "de": (
        "Straße",
        [
            ("Der „großartige“ Film war leider zu lang.", ["großartige", "Film", "leider"]),
            ("Die Schauspieler spielten überzeugend…", ["Schauspieler", "spielten", "überzeugend"]),
            (unicodedata.normalize("NFD", "Grüße aus München!"), ["Grüße", "München"]),
        ],
    ),
    "fr": (
        "forêt",
        [
            ("L'histoire de l’acteur émeut.", ["histoire", "acteur", "émeut"]),
            ("« Magnifique » : j'ai adoré le film !", ["Magnifique", "adoré", "film"]),
            (unicodedata.normalize("NFD", "Un café très agréable."), ["café", "agréable"]),
        ],
    ),
    "ru": (
        "книга",
        [
            ("Фильм оказался скучным, хотя актёры играли.", ["Фильм", "оказался", "скучным", "актёры", "играли"]),
            ("Сюжет — «предсказуемый», 2 часа.", ["Сюжет", "предсказуемый", "часа"]),
            (unicodedata.normalize("NFD", "Ёлка стояла в углу."), ["Ёлка", "стояла", "углу"]),
        ],
    ),
    "ar": (
        "مدينة",
        [
            ("كان الفيلمُ رائعًا، والممثلون ممتازون.", ["الفيلمُ", "رائعًا", "والممثلون", "ممتازون"]),
            ("هل شاهدت المسلسل الجديد؟", ["شاهدت", "المسلسل", "الجديد"]),
            ("\u200fالكتاب ٣٥ صفحة\u200f!", ["الكتاب", "صفحة"]),
        ],
    ),
    "hi": (
        "नदी",
        [
            ("यह फ़िल्म बहुत अच्छी थी।", ["फ़िल्म", "अच्छी"]),
            ("अभिनेताओं ने शानदार काम किया।कहानी सुन्दर", ["अभिनेताओं", "शानदार", "काम", "कहानी", "सुन्दर"]),
            ("किताब में १२ पन्ने हैं 🇮🇳", ["किताब", "पन्ने"]),
        ],
    ),
}
CASES = [(name, new, text, words) for name, (new, rows) in SENTENCES.items() for text, words in rows]


@pytest.mark.parametrize(("language", "new", "text", "words"), CASES, ids=[case[0] for case in CASES])
def test_words_are_found_and_nothing_but_them_is_replaced(language: str, new: str, text: str, words: list[str]) -> None:
    spans = replaceable_words(text, stop_words=stop_list(None, language), language=language)
    assert [unicodedata.normalize("NFC", text[slice(*span)]) for span in spans] == words
    candidates = [WordCandidates(*span, (new,), "masked_lm") for span in spans]
    variant, replaced = sample_variant(text, candidates, seed=0, occurrence=0, column="text", variant=1, p=1)
    assert [row["old"] for row in replaced] == [text[slice(*span)] for span in spans]
    bounds = [0, *(bound for span in spans for bound in span), len(text)]
    outside = [text[start:end].encode() for start, end in zip(bounds[::2], bounds[1::2], strict=True)]
    rest = variant.encode()
    for part, row in zip(outside, [*replaced, {"new": ""}], strict=True):
        assert rest.startswith(part + row["new"].encode())
        rest = rest[len(part + row["new"].encode()) :]
    assert rest == b""


@pytest.mark.parametrize("language", ["zh", "ja", "th", "de"])
def test_no_word_begins_or_ends_inside_a_character(language: str) -> None:
    text = unicodedata.normalize("NFD", "Café Zoë が ร้อน ё हिन्दी é中é文")
    for start, end in find_words(text, language):
        assert not unicodedata.category(text[start]).startswith("M")
        assert end == len(text) or not unicodedata.category(text[end]).startswith("M")


def test_a_text_of_another_script_is_found_too() -> None:
    text = "iPhone的屏幕, very good"
    assert [text[slice(*span)] for span in find_words(text, "zh")] == ["iPhone", "的", "屏幕", "very", "good"]


def test_stop_words_of_a_language_may_be_others() -> None:
    assert "的" in stop_list(None, "zh")
    assert "und" in stop_list(None, "de") and "und" not in stop_list(None)
    assert stop_list(["酒店"], "zh") == {"酒店"}
    assert stop_list(None, "xx") == frozenset()


def test_numbers_in_words_and_lone_syllables_stay() -> None:
    text = "二十 三百万 酒店"
    assert [text[slice(*span)] for span in replaceable_words(text, stop_words=set(), language="zh")] == ["酒店"]
    text = f"本{NFD_GA}読"
    found = replaceable_words(text, stop_words=set(), language="ja")
    assert [text[slice(*span)] for span in found] == ["本", "読"]


def test_addresses_and_placeholders_stay_between_ideographs() -> None:
    text = "详见https://a.com/酒店，联系bob@x.com，{酒店}和[姓名]的屏幕"
    found = replaceable_words(text, never=[PLACEHOLDERS], stop_words=stop_list(None, "zh"), language="zh")
    assert [text[slice(*span)] for span in found] == ["详见", "屏幕"]


def test_a_vowel_sign_alone_is_no_word() -> None:
    assert not is_word("\u0e35") and not is_word("\u093f")
    assert is_word("ที่") and is_word("हिन्दी")


@pytest.mark.parametrize("original", ["酒店", "映画", "หนัง", "الفيلم", "फ़िल्म"])
def test_a_script_without_case_changes_none(original: str) -> None:
    assert match_case("hotel", original) == "hotel"
    assert match_case("宾馆", "HOTEL") == "宾馆"
