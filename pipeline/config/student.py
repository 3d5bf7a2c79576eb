"""Settings of the student: its architecture, and how its weights are initialised."""

from typing import Literal

from pydantic.dataclasses import dataclass

from pipeline.config.fields import CONFIG, Count, LayerMap, Positive, SmallShare, require_setting

MOBILEBERT_BOTTLENECK = 4  # its embeddings and its attention are this many times narrower than its layers


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Student:
    """The architecture of the student, and how its weights are initialised."""

    layers: Positive = 4
    """Transformer layers."""
    width: Positive = 312
    """Hidden size."""
    feed_forward: Positive = 1200
    """Intermediate size."""
    heads: Positive = 12
    """Attention heads; `attention` and `attention_maps` need as many as the teacher has."""
    key_value_heads: Count = 0
    """For a Llama, whose query heads share keys and values in groups: how many heads its keys and values have, a
    divisor of `heads`. 0: the groups are as large as in the backbone."""
    hidden_dropout: SmallShare = 0.1
    """Dropout of hidden states. Attention dropout is always 0, because with it the fused kernel would write out every
    attention map."""
    architecture: Literal["bert", "mobilebert"] = "bert"
    """BERT, or MobileBERT with a bottleneck of a quarter of its width. The student of a decoder (GPT-2, Llama) has the
    architecture of the backbone instead."""
    start: Literal["fitted", "layers", "embeddings", "random"] | None = None
    """How the weights are initialised. fitted: every part by least squares, so that on real text the student gives what
    the teacher gives. layers: the teacher's layers and embeddings, cut to the student's sizes. embeddings: a low-rank
    copy of the teacher's embeddings (truncated SVD), the rest at random. random: as in the paper. null: fitted where
    teacher and student are like BERT, else random."""
    start_from: Literal["backbone", "task_teacher"] = "backbone"
    """The model that `fitted` and `layers` start from. backbone: before general distillation. task_teacher: the
    fine-tuned teacher with its head, before task distillation; there is no general distillation then."""
    start_layers: LayerMap = "uniform"
    """The teacher's layer that each layer of the student starts from, given as a layer_map."""
    model: str | None = None
    """Start from an existing student with the same tokenizer, such as a published TinyBERT: a path or hub:NAME. Then
    leave `start` out."""
    project_embedding: bool = True
    """For sentence embeddings of a student that is narrower than the teacher. true: a layer, saved with the student,
    projects them to the teacher's width. false: they keep their width, and the student learns how similar the texts of
    a batch are."""

    @property
    def may_be_fitted(self) -> bool:
        """Whether it starts fitted, where the teacher is like BERT too."""
        return self.start in (None, "fitted") and self.architecture == "bert" and not self.model

    @property
    def attention_width(self) -> int:
        """Width of the queries, keys and values of all heads together."""
        return self.width // (MOBILEBERT_BOTTLENECK if self.architecture == "mobilebert" else 1)

    def __post_init__(self) -> None:
        narrow = self.architecture == "mobilebert"
        multiple = MOBILEBERT_BOTTLENECK * self.heads
        wrong = f"{self.width} is not a multiple of student.heads, {self.heads}"
        require_setting(self.width % self.heads == 0, wrong, "width")
        wrong = f"{self.width}; a MobileBERT's heads divide its bottleneck, a quarter of its width; take a multiple of"
        require_setting(not narrow or self.width % multiple == 0, f"{wrong} {multiple}", "width")
        shared, wrong = self.key_value_heads, f"{self.key_value_heads} do not divide student.heads, {self.heads}"
        require_setting(not shared or self.heads % shared == 0, wrong, "key_value_heads")
        wrong = f"{self.start}, but a {self.architecture} can only start at random; leave it out"
        require_setting(not narrow or self.start in (None, "random"), wrong, "start")
        wrong = f"{self.start}, but student.model is there to start from; leave one of them out"
        require_setting(not self.model or self.start is None, wrong, "start")
        wrong = "task_teacher: only a student that starts fitted or with layers starts from it; set student.start"
        of_teacher = self.may_be_fitted or self.start == "layers"
        require_setting(self.start_from == "backbone" or of_teacher, wrong, "start_from")
