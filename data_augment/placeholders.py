"""Parts of a text that stand for something else: placeholders, addresses, names of users, a tokenizer's own tokens."""

import re
from functools import lru_cache

from transformers import PreTrainedTokenizerFast

PLACEHOLDERS = re.compile(
    r"""
    (?i:https?|ftps?|file)://[^\s　-〿＀-￯]+                                       # addresses
    | \b(?i:www)\.[^\s　-〿＀-￯]+
    | (?<!\w)(?<!\w[.-])(?=\w)(?:[\w-]+\.)+[a-z]{2,}/\S*
    | (?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+                                 # mail addresses
    | (?<![\w@])[@＠]\w[\w.-]* | (?<![\w\#])[\#＃]\w[\w-]*                                    # @names and #tags
    | \[\s?[^\[\]\s]{1,60}\s?\] | \[[A-Z][A-Z0-9 _-]{0,60}\]                       # [NAME], [FIRST NAME]
    | \[\w[\w'.-]*(?:[ ]\w[\w'.-]*){1,3}\]                         # [first name]
    | [$%]?\{{1,2}[^{}]{1,60}\}{1,2}                                               # {name}, {{ name }}, ${name}
    | <[^<>\s]{1,60}> | </?[A-Za-z][^<>]{0,200}>                                   # <name>, <a href="...">
    | %\(\w+\)[a-z] | (?<!\w)__\w+?__(?!\w)                                         # %(name)s, __name__
    """,
    re.VERBOSE,
)
"""Placeholders in brackets, addresses (up to a blank or full-width punctuation), mail addresses, @names and #tags.

What stands before an address is looked at (`?<!`), so that a long run of letters and dots is read once.
"""


@lru_cache(maxsize=4)
def own_tokens(tokenizer: PreTrainedTokenizerFast) -> re.Pattern[str]:
    """The special and the added tokens of a tokenizer, where a text holds them."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
    longest_first = sorted(filter(str.strip, added), key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
