"""Which objectives compare layers, what each needs, and which layer learns from which. No torch: the plan reads it."""

from collections.abc import Sequence

HIDDEN_STATES = ("hidden", "hidden_cosine", "normalised_hidden")  # projected to the teacher's width
HEAD_BY_HEAD = ("attention", "attention_maps")  # they need as many heads on both sides
RELATIONS = ("query_relations", "key_relations", "value_relations")  # any number of heads on either side
LAYER_OBJECTIVES = ("embedding", *HIDDEN_STATES, *HEAD_BY_HEAD, *RELATIONS)
MASKED_LM = ("masked_lm", "soft_masked_lm")  # of general distillation, for encoders
CAUSAL_LM = ("causal_lm", "soft_causal_lm")  # the same for decoders
PREDICTIONS = ("prediction", "label")  # of the second step of task distillation
OF_ATTENTION = (*HEAD_BY_HEAD, *RELATIONS)


def chosen(weights: object, names: Sequence[str] = LAYER_OBJECTIVES) -> tuple[str, ...]:
    """The objectives among `names` that a stage's settings give a weight."""
    return tuple(name for name in names if getattr(weights, name))


def layer_map(rule: str | Sequence[int], *, teacher_layers: int, student_layers: int) -> dict[int, int]:
    """Which teacher layer each student layer learns from; the embeddings, 0, always from the embeddings.

    With N teacher and M student layers, student layer m learns from

        uniform   m * N / M (TinyBERT, section 4.2), the nearest layer where M does not divide N, the upper of two
        top       N - M + m
        bottom    m
        last      the last one from the last one, the others from none
        every k   k * m

    or from the m-th number of a list, where 0 says that it learns from none; such layers are not in the result.

    Raises: ValueError when there are no such layers.
    """
    N, M = teacher_layers, student_layers
    numbers = range(1, M + 1)
    if not isinstance(rule, str):
        sources = list(rule)
        if len(sources) != M:
            raise ValueError(f"it lists {len(sources)} layers for a student of {M}; give one for each, 0 for none")
    elif rule.startswith("every "):
        sources = [int(rule.removeprefix("every ")) * m for m in numbers]
    else:
        sources = {
            "uniform": [max(1, (2 * m * N + M) // (2 * M)) for m in numbers],
            "top": [N - M + m for m in numbers],
            "bottom": list(numbers),
            "last": [0] * (M - 1) + [N],
        }[rule]
    fewest = 1 if rule == "top" else 0
    if max(sources) > N or min(sources) < fewest:
        raise ValueError(f"a student of {M} layers would learn from layers {sources}, the teacher has {N}")
    return {0: 0} | {layer: source for layer, source in zip(numbers, sources, strict=True) if source}
