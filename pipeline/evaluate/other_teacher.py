"""A teacher of another architecture, with its own tokenizer: only its predictions are learnt, word by word for tags."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.errors import UserError, require
from pipeline.evaluate.label_order import better_order, better_tag_order
from pipeline.hardware import ROUND
from pipeline.heads import head_of
from pipeline.models.loading import freeze, load_complete, load_tokenizer
from pipeline.models.saved_model import classifier_config
from pipeline.runtime.stage import Stage
from pipeline.tasks.base import TaskKind
from pipeline.tasks.teacher_labels import says_nothing, teacher_labels
from pipeline.tasks.tokenised import TokenisedTexts

SETTING = "annotate_data.teacher"
LONGER = 2  # times task.max_length: its tokenizer may cut a text into more pieces


@dataclass(frozen=True, kw_only=True)
class OtherTeacher:
    """A frozen classifier; its outputs are put in the task's order."""

    folder: Path
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    max_length: int  # tokens of a text that it reads
    labels: tuple[str, ...]  # the task's label of each output, in its own order; none for a score
    order: list[int]  # its output for each of the task's labels
    named: bool  # whether labels have names, its own or the recipe's

    def in_order(self, outputs: np.ndarray) -> np.ndarray:
        """Its outputs (U, C) in the order of the task's labels."""
        return outputs[:, self.order]

    def check_order(self, outputs: np.ndarray, references: np.ndarray, *, are_tags: bool = False) -> None:
        """Raises: UserError where labels fit the rows much better in another order, or tags without names the words.

        Args: outputs: (R, C) in the task's order. references: (R,) label numbers. are_tags: of words.
        """
        better = None
        if len(references) and not are_tags:
            better = better_order(outputs, references, unnamed=not self.named)
        elif len(references) and not self.named:
            better = better_tag_order(outputs, references)
        if better is not None:
            names = ", ".join(self.labels[number] for number in better)
            raise UserError(
                f"{SETTING}: {self.folder} answers as if the labels stood in another order; if they do, set"
                f" annotate_data.labels: [{names}]"
            )


def load_other_teacher(stage: Stage, kind: TaskKind, label_names: tuple[str, ...]) -> OtherTeacher:
    """The teacher that `annotate_data.teacher` names.

    Raises: UserError for a tokenizer without a fast version or a padding token, and for labels that do not match.
    """
    folder = stage.inputs.other_teacher
    assert folder is not None
    config, tokenizer = classifier_config(folder, SETTING), load_tokenizer(folder)
    require(tokenizer.is_fast, f"{SETTING}: {folder} has no tokenizer.json; save its fast tokenizer beside it")
    model = load_complete(head_of(kind).architecture, folder)
    if tokenizer.pad_token is None:  # as in decoders, which find a text's last token by it
        appended = tokenizer.eos_token_id in tokenizer("a")["input_ids"]
        usable = tokenizer.eos_token and not appended  # else the end of a text would count as padding
        require(usable, f"{SETTING}: the tokenizer of {folder} has no padding token; add a pad_token and save it")
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    length = min(LONGER * stage.recipe.task.max_length, config.positions or LONGER * stage.recipe.task.max_length)
    labels = ()
    if label_names:
        labels = teacher_labels(stage.recipe, kind, label_names, config.labels, folder=folder, setting=SETTING)
    unnamed = not stage.recipe.annotate_data.labels and says_nothing(config.labels)
    model = freeze(model, precision=stage.precision).to(stage.accelerator.device)
    stage.say(
        f"the predictions of {folder} ({model.config.model_type}) are learnt, up to {length} of its tokens a text"
    )
    return OtherTeacher(
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        max_length=length // ROUND * ROUND,
        labels=labels,
        order=[labels.index(name) for name in label_names] or [0],
        named=not unnamed,
    )


def by_our_tokens(outputs: np.ndarray, theirs: TokenisedTexts, ours: TokenisedTexts, rows: np.ndarray) -> np.ndarray:
    """A tagger's outputs for its own tokens as outputs for ours: a word's first token has those of the word.

    Args:
        outputs: (their tokens, C) of some texts, in the order of `rows`.
        theirs, ours: the same texts, each as one sequence.

    Returns: (our tokens, C), 0 where no word begins, and for a word that their length cuts off.
    """
    their_bounds, our_bounds = theirs.bounds(rows), ours.bounds(rows)
    found = np.zeros((our_bounds[-1], outputs.shape[1]), dtype=np.float32)
    words = zip(theirs.columns(rows)["word"], ours.columns(rows)["word"], strict=True)
    for number, (their_words, our_words) in enumerate(words):
        their_token = {word: their_bounds[number] + token for token, word in enumerate(their_words) if word >= 0}
        for token, word in enumerate(our_words):
            if word in their_token:
                found[our_bounds[number] + token] = outputs[their_token[word]]
    return found
