"""The method as its paper writes it (TinyBERT, section 3), with nothing spared: what the pipeline is measured against.

Eager attention that writes out every score, float32, everything padded to one length, the teacher in every step, AdamW
as torch has it by default.

Legend: B batch, H heads, T tokens, D hidden width, C classes.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, pad
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from pipeline.distillation import Distilled

SCORES = "eager_with_scores"
Inputs = dict[str, Tensor]
Losses = Callable[[Inputs], dict[str, Tensor]]


def _attention_with_scores(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    """Attention that hands back the unnormalised scores Q K' / sqrt(head width), (B, H, T, T)."""
    scores_BHTT = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    masked_BHTT = scores_BHTT if attention_mask is None else scores_BHTT + attention_mask
    return (masked_BHTT.softmax(dim=-1) @ value).transpose(1, 2).contiguous(), scores_BHTT


AttentionInterface.register(SCORES, _attention_with_scores)
AttentionMaskInterface.register(SCORES, eager_mask)


def padded(inputs: Inputs, length: int, *, pad_id: int) -> Inputs:
    """A batch, (B, T), padded to (B, length)."""
    missing = length - inputs["input_ids"].shape[1]
    return {
        name: pad(tensor, (0, missing), value=pad_id if name == "input_ids" else 0) for name, tensor in inputs.items()
    }


def layer_losses(teacher: PreTrainedModel, student: Distilled, layers: Mapping[int, int]) -> Losses:
    """TinyBERT eq. 7 to 9 on whole maps and states, means over real tokens and pairs of them.

    Args:
        teacher, student: encoders with the attention SCORES.
        layers: student layer -> teacher layer.
    """

    def losses(inputs: Inputs) -> dict[str, Tensor]:
        real_BT = inputs["attention_mask"].float()
        pairs_B1TT = real_BT[:, None, :, None] * real_BT[:, None, None, :]
        with torch.no_grad():
            theirs = teacher(**inputs, output_hidden_states=True, output_attentions=True)
        ours = student.encoder(**inputs, output_hidden_states=True, output_attentions=True)
        found: dict[str, Tensor] = {}
        for layer, source in layers.items():
            state_BTD = student.projections[layer](ours.hidden_states[layer])
            gap_BTD = (state_BTD - theirs.hidden_states[source]) ** 2 * real_BT[:, :, None]
            hidden = gap_BTD.sum() / (real_BT.sum() * gap_BTD.shape[-1])
            found[f"hidden_{layer}" if layer else "embedding"] = hidden
            if layer:
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
