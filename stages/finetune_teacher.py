"""Fine-tune the teacher on the task's labels, or check your own fine-tuned teacher against the task.

    accelerate launch -m stages.finetune_teacher --recipe recipes/rotten_tomatoes.yaml

Reads:  the backbone (pretrain_teacher) or `finetune_teacher.model`, the task's train and dev rows.
Writes: the task's teacher, the epoch with the best dev score; label names in the task's order.

A teacher that scores no better than an answer that ignores the text ends the run here, unless the recipe allows it:
distilling it would waste everything that follows.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.errors import WorkFailed
from pipeline.evaluate.inference import predict_together
from pipeline.evaluate.label_order import own_teacher
from pipeline.evaluate.scoring import LabelledSplit, dev_scorer, labelled_splits, score, set_thresholds
from pipeline.heads import head_of
from pipeline.heads.base import Head, total_weight
from pipeline.heads.fit import fit_head
from pipeline.launch.stage_runner import run_stage
from pipeline.models.attention import can_pack
from pipeline.models.collate import Batch, Rows
from pipeline.models.loading import backbone_of
from pipeline.models.seen_pieces import seen_pieces
from pipeline.runtime.stage import Stage
from pipeline.tasks.data_summary import describe
from pipeline.tasks.tokenised import TokenisedTexts
from pipeline.training.batches import GlobalBatch, planned
from pipeline.training.loop import Job, Progress, train
from pipeline.training.optimizer import train_only
from pipeline.training.throughput import training_flops

FITTED = 2048  # texts on which a new layer for given vectors is fitted


def main(stage: Stage) -> dict[str, Any]:
    given, progress = stage.inputs.teacher, Progress()
    source = given or backbone_of(stage.upstream["pretrain_teacher"])
    task, splits = labelled_splits(stage, source, "train", "dev")
    dev = splits["dev"]
    for line in describe(task, stage.recipe.task, source):
        stage.say(line)
    if given:
        teacher = own_teacher(stage, given, dev).to(stage.accelerator.device).eval()
    else:
        teacher, progress = finetune(stage, splits["train"], dev)
    outputs = predict_together(teacher, dev.texts, stage)
    statistics = dev.statistics(dev.predictions(outputs, set_thresholds(teacher, outputs, dev)))
    dev_score = score(task, statistics)
    stage.say(f"teacher: dev {task.metric} {dev_score:.4f}")
    if not (stage.recipe.finetune_teacher.allow_majority or task.kind.beats_trivial(task.metric, statistics)):
        metric = "task.metric: macro_f1 and " if "macro_f1" in task.kind.metrics else ""
        balance = f"where few rows have the labels that matter, set {metric}finetune_teacher.class_weights: balanced; "
        raise WorkFailed(
            f"the teacher scores no better on dev than {task.kind.trivial_answer} ({task.metric} {dev_score:.4f}):"
            f" check the labels, their order and the learning rate; {balance if task.kind.weighs_classes else ''}"
            "finetune_teacher.allow_majority: true goes on all the same"
        )
    if stage.is_main:
        head_of(task.kind).save(teacher, stage.output, tokenizer_of=source)
    cut = {f"{name}_texts_cut": split.texts.share_cut() for name, split in splits.items()}
    curve = {"dev_scores": progress.scores, "curve": progress.curve}
    return {"dev_score": dev_score, "metric": task.metric, **cut, **curve}


def finetune(stage: Stage, examples: LabelledSplit, dev: LabelledSplit) -> tuple[PreTrainedModel, Progress]:
    """The backbone with a new head, trained on the labels; the best epoch on dev."""
    settings, texts, head = stage.recipe.finetune_teacher, examples.texts, head_of(examples.task.kind)
    torch.manual_seed(stage.recipe.seed)  # of the new head
    teacher = head.load(
        backbone_of(stage.upstream["pretrain_teacher"]),
        label_names=examples.task.label_names,
        new_head=True,
        hidden_dropout=settings.hidden_dropout,
    )
    if settings.upper_layers is not None:
        train_only(teacher, settings.upper_layers)
    fit_to_vectors(head, teacher, texts)
    head.start_at_frequencies(teacher, examples.references)
    scale, packed, weights = head.scale(examples.references), can_pack(teacher), class_weights(stage, examples)

    def collate(rows: Rows, epoch: int) -> Batch:
        batch = head.collate(texts, rows, packed=packed)
        return scale.standardise(batch) if scale else batch

    def loss(model: nn.Module, batch: Batch, global_batch: GlobalBatch) -> dict[str, Tensor]:
        weight = total_weight(texts, global_batch.micro_batches)
        return head.supervised_loss(head.outputs(model, batch), batch, weight=weight, class_weights=weights)

    job = Job(
        model=teacher.to(stage.accelerator.device),
        batches=planned(texts.lengths, settings, seed=stage.recipe.seed, packed=packed),
        collate=collate,
        loss=loss,
        settings=settings,
        score=dev_scorer(stage, dev),
        flops=training_flops(teacher),
    )
    with seen_pieces(teacher, texts.piece_counts()):
        progress = train(job, stage)
    if scale:
        scale.fold_into(teacher)
    return teacher, progress


def fit_to_vectors(head: Head, teacher: PreTrainedModel, texts: TokenisedTexts) -> None:
    """Where the given vectors have another width than the backbone's, a layer on top of it, by least squares."""
    if "soft" not in texts.rows.column_names or not head.set_width(teacher, len(texts.rows[0]["soft"])):
        return
    rows = np.linspace(0, len(texts) - 1, min(len(texts), FITTED)).astype(np.int64)
    batches = [head.collate(texts, part, packed=False) for part in np.array_split(rows, -(-len(rows) // 32))]
    aimed = [batch.with_targets(teacher_outputs=batch.targets["soft"]) for batch in batches]
    fit_head(head, teacher.eval(), aimed, new_head=True)


def class_weights(stage: Stage, examples: LabelledSplit) -> Tensor | None:
    """(C,) how much the rows of each label weigh in the loss; None: the recipe says nothing of it."""
    wanted, names = stage.recipe.finetune_teacher.class_weights, examples.task.label_names
    if not wanted:
        return None
    if isinstance(wanted, str):
        found = examples.task.kind.balanced_weights(examples.references, len(names)).tolist()
    else:
        found = [wanted.get(name, 1.0) for name in names]
    stage.say("a row weighs, by its label: " + ", ".join(f"{n} {w:.3g}" for n, w in zip(names, found, strict=True)))
    return torch.tensor(found, dtype=torch.float32, device=stage.accelerator.device)


if __name__ == "__main__":
    run_stage("finetune_teacher", main)
