"""Word replacement without the pipeline: candidates for any texts, variants of any rows, as two functions.

    propose(texts, "candidates", masked_lm="path/of/a/bert", vectors="glove.6B.50d.txt")
    sample(rows, "augmented", candidates="candidates", text_columns=("text",))

`python -m data_augment` is the same from a command line.
"""

from data_augment.proposing import propose
from data_augment.sampling import sample

__all__ = ["propose", "sample"]
