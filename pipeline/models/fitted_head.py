"""A masked-LM head that starts as a fitted copy of its teacher's, for a student whose encoder is fitted.

A BERT's head gives logits E u + b of a state s, with u = norm(gelu(A s + a)), where E are the student's own embeddings.
The teacher's gives W t + c. In closed form, on masked tokens of real text:

    the u that is wanted   the one whose logits are nearest to the teacher's: by least squares over the vocabulary, each
                           word weighed by how often the teacher says it; a shift of all logits costs nothing
    A, a                   ridge regression from s to that u, scaled so far down that gelu is nearly linear there: the
                           layer norm after it takes the scale away
    norm                   gain and bias by least squares, one dimension at a time
    b                      c, and what the means of both sides leave

Legend: n masked tokens, V words, S and D widths of u and t.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.models.collate import Batch
from pipeline.models.fitted_start import fit_layer_norm
from pipeline.models.least_squares import ridge
from pipeline.models.loading import separate_head
from pipeline.models.trace import forward

LINEAR = 0.25  # standard deviation of gelu's input
WEIGHED = 2048  # masked tokens from which the weights of the words are counted
SMOOTH = 1e-6  # added to every word's weight
STEADY = 1e-6  # of the mean diagonal, added to it


@torch.no_grad()
def fit_masked_lm_head(student: Any, teacher: PreTrainedModel, batches: Iterable[Batch]) -> None:
    """Overwrite the head of a student.

    Args:
        student: a BERT with a masked-LM head, in eval mode.
        teacher: a masked LM in eval mode.
        batches: with the target `predicted`, on the same device as both.
    """
    states_nS, theirs_nD = _states(student, teacher, batches)
    decoder: Any = teacher.get_output_embeddings()
    wanted_nS = (theirs_nD - theirs_nD.mean(dim=0)) @ _nearest(student, decoder, theirs_nD).T
    transform, own = student.cls.predictions.transform, student.get_output_embeddings()
    fitted = ridge(states_nS, wanted_nS)
    down = LINEAR / fitted(states_nS).std()
    transform.dense.weight.copy_(fitted.weight_OI * down)
    transform.dense.bias.copy_(fitted.bias_O * down)
    inner_nS = transform.transform_act_fn(transform.dense(states_nS))
    found_nS = fit_layer_norm(transform.LayerNorm, inner_nS, wanted_nS)
    bias = 0 if decoder.bias is None else decoder.bias
    own.bias.copy_(bias + decoder.weight @ theirs_nD.mean(dim=0) - own.weight @ found_nS.mean(dim=0))


def _nearest(student: Any, decoder: Any, theirs_nD: Tensor) -> Tensor:
    """M, (S, D): E M t are the logits that are nearest to W t."""
    weights_V = decoder(theirs_nD[:WEIGHED]).softmax(dim=-1).double().mean(dim=0) + SMOOTH
    weights_V /= weights_V.sum()
    ours, theirs = (layer.weight.double() for layer in (student.get_output_embeddings(), decoder))
    ours, theirs = (table - weights_V @ table for table in (ours, theirs))
    weighed = ours * weights_V[:, None]
    moment_SS = weighed.T @ ours
    moment_SS.diagonal().add_(STEADY * moment_SS.diagonal().mean())
    return torch.linalg.solve(moment_SS, weighed.T @ theirs).float()


def _states(student: Any, teacher: PreTrainedModel, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Of the masked tokens: the student's last states, and what goes into the teacher's last layer."""
    head, decoder, given, ours, theirs = separate_head(teacher), teacher.get_output_embeddings(), [], [], []
    assert decoder is not None
    hook = decoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        for batch in batches:
            predicted = batch.targets["predicted"]
            ours.append(forward(student.base_model, batch).last_hidden_state[predicted])
            if head is None:
                forward(teacher, batch)
                theirs.append(given[-1][predicted])
            else:
                head(forward(teacher.base_model, batch).last_hidden_state[predicted])
                theirs.append(given[-1])
            given.clear()
    finally:
        hook.remove()
    return torch.cat(ours).float(), torch.cat(theirs).float()
