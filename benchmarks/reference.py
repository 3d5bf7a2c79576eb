"""The method as its paper writes it (TinyBERT, section 3), with nothing spared: what the pipeline is measured against.

Eager attention that writes out every score, float32, everything padded to one length, the teacher in every step, AdamW
as torch has it by default. `candidates` is the authors' procedure of augmentation.

Legend: B batch, H heads, T tokens, D hidden width, C classes, V vocabulary, W words with vectors.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, pad
from transformers import AttentionInterface, PreTrainedModel, PreTrainedTokenizerFast
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from data_augment.vectors import WordVectors
from data_augment.vocabulary import Vocabulary, proposable
from data_augment.words import Span, replaceable_words
from pipeline.distill.layers import ProjectedStudent
from pipeline.models.collate import Batch

SCORES = "eager_with_scores"
Inputs = dict[str, Tensor]
Losses = Callable[[Inputs], dict[str, Tensor]]
Ranked = list[tuple[str, float]]
Candidates = dict[tuple[str, int], Ranked]
"""(text, start of the word) -> words and their log-probabilities or cosines, best first."""


def _attention_with_scores(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    """Attention that hands back the unnormalised scores Q K' / sqrt(head width), (B, H, T, T)."""
    scores_BHTT = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    masked_BHTT = scores_BHTT if attention_mask is None else scores_BHTT + attention_mask
    return (masked_BHTT.softmax(dim=-1) @ value).transpose(1, 2).contiguous(), scores_BHTT


AttentionInterface.register(SCORES, _attention_with_scores)
AttentionMaskInterface.register(SCORES, eager_mask)


def padded(batch: Batch, length: int, *, pad_id: int) -> Inputs:
    """What a model takes of a batch, (B, T), padded to (B, length)."""
    missing = (0, length - batch.input_ids.shape[1])
    inputs = {"input_ids": pad(batch.input_ids, missing, value=pad_id)}
    inputs["attention_mask"] = pad(batch.attention_mask, missing)
    if batch.token_type_ids is not None:
        inputs["token_type_ids"] = pad(batch.token_type_ids, missing)
    return inputs


def layer_losses(
    teacher: PreTrainedModel, student: ProjectedStudent, layers: Mapping[int, int], *, attention: bool
) -> Losses:
    """TinyBERT eq. 7 to 9 on whole maps and states, means over real tokens and pairs of them.

    Args:
        teacher, student: encoders with the attention SCORES.
        layers: student layer -> teacher layer.
        attention: whether eq. 7 is among them.
    """

    def losses(inputs: Inputs) -> dict[str, Tensor]:
        real_BT = inputs["attention_mask"].float()
        pairs_B1TT = real_BT[:, None, :, None] * real_BT[:, None, None, :]
        with torch.no_grad():
            theirs = teacher(**inputs, output_hidden_states=True, output_attentions=attention)
        ours = student.model(**inputs, output_hidden_states=True, output_attentions=attention)
        found: dict[str, Tensor] = {}
        for layer, source in layers.items():
            state_BTD = student.projections[layer](ours.hidden_states[layer])
            gap_BTD = (state_BTD - theirs.hidden_states[source]) ** 2 * real_BT[:, :, None]
            hidden = gap_BTD.sum() / (real_BT.sum() * gap_BTD.shape[-1])
            found[f"hidden_{layer}" if layer else "embedding"] = hidden
            if layer and attention:
                gap_BHTT = (ours.attentions[layer - 1] - theirs.attentions[source - 1]) ** 2 * pairs_B1TT
                found[f"attention_{layer}"] = gap_BHTT.sum() / (gap_BHTT.shape[1] * pairs_B1TT.sum())
        return found

    return losses


def prediction_losses(teacher: PreTrainedModel, student: PreTrainedModel) -> Losses:
    """TinyBERT eq. 10 at temperature 1, the teacher run for it."""

    def losses(inputs: Inputs) -> dict[str, Tensor]:
        with torch.no_grad():
            target_BC = teacher(**inputs).logits.softmax(dim=-1)
        return {"prediction": -(target_BC * log_softmax(student(**inputs).logits, dim=-1)).sum(dim=-1).mean()}

    return losses


def train(student: nn.Module, losses: Losses, batches: Iterable[Inputs], *, learning_rate: float) -> None:
    """A plain loop."""
    optimizer = torch.optim.AdamW((p for p in student.parameters() if p.requires_grad), lr=learning_rate)
    student.train()
    for inputs in batches:
        loss = torch.stack(list(losses(inputs).values())).sum()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()


def candidates(
    texts: Sequence[str],
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    vectors: WordVectors | None,
    k: int,
) -> Candidates:
    """One word of one text at a time: a forward pass for a word of one piece, a search for any other.

    Which words are replaced and which may be proposed is as in the pipeline, so that the lists can be compared.
    """
    vocabulary, found = proposable(tokenizer), {}
    for text in texts:
        for span in replaceable_words(text):
            ranked = masked_lm_words(text, span, model=model, tokenizer=tokenizer, vocabulary=vocabulary, k=k)
            if ranked is None:
                ranked = nearest_words(text[slice(*span)], vectors, k=k) if vectors else []
            if ranked:
                found[text, span[0]] = ranked
    return found


@torch.inference_mode()
def masked_lm_words(
    text: str,
    span: Span,
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    vocabulary: Vocabulary,
    k: int,
) -> Ranked | None:
    """The words most likely where a word is masked, the unmasked text being the second segment.

    Returns: None for a word that is not one known piece.
    """
    inputs = tokenizer(text, text, return_tensors="pt", return_offsets_mapping=True)
    offsets = [tuple(pair) for pair in inputs.pop("offset_mapping")[0].tolist()]
    if span not in offsets:
        return None
    position = offsets.index(span)  # the first segment's
    own_id = int(inputs["input_ids"][0, position])
    if own_id == tokenizer.unk_token_id:
        return None
    inputs["input_ids"][0, position] = tokenizer.mask_token_id
    logits_TV = model(**inputs.to(model.device)).logits[0]
    scores_V = logits_TV.log_softmax(dim=-1)[position].cpu().numpy()[vocabulary.ids]
    ranked = []
    for row in np.argsort(-scores_V, kind="stable"):
        word = vocabulary.words[row]
        if word.casefold() != text[slice(*span)].casefold() and vocabulary.ids[row] != own_id:
            ranked.append((word, float(scores_V[row])))
        if len(ranked) == k:
            break
    return ranked


def nearest_words(word: str, vectors: WordVectors, *, k: int) -> Ranked:
    """The words with the largest cosines, by a sort of the whole table."""
    row = vectors.row(word)
    if row is None:
        return []
    cosines_W = vectors.table_WD @ vectors.table_WD[row]
    best = (other for other in np.argsort(-cosines_W, kind="stable") if vectors.words[other].lower() != word.lower())
    return [(vectors.words[other], float(cosines_W[other])) for other, _ in zip(best, range(k), strict=False)]
