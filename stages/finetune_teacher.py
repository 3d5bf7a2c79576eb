"""Fine-tune the teacher on the task's labels, or check your own fine-tuned teacher against the task.

    accelerate launch -m stages.finetune_teacher --recipe recipes/rotten_tomatoes.yaml

Reads:  the backbone (pretrain_teacher) or `finetune_teacher.model`, the task's train and dev rows.
Writes: the task's teacher, the epoch with the best dev score; label names in the task's order.

A teacher that is no better than the most frequent label ends the run here, unless the recipe allows it: distilling it
would waste everything that follows.
"""

from typing import Any

import torch
from transformers import PreTrainedModel

from pipeline.errors import WorkFailed
from pipeline.evaluate.inference import predict_together
from pipeline.evaluate.label_order import own_teacher
from pipeline.evaluate.scoring import (
    LabelledSplit,
    answers,
    dev_scorer,
    judged,
    labelled_splits,
    score,
    supervised_loss,
)
from pipeline.launch.stage_runner import run_stage
from pipeline.models.collate import Inputs, Rows
from pipeline.models.loading import backbone_of
from pipeline.runtime.stage import Stage
from pipeline.tasks import KINDS
from pipeline.tasks.labelled_data import TaskData
from pipeline.training.batches import planned
from pipeline.training.loop import Job, Progress, train
from pipeline.training.throughput import training_flops


def main(stage: Stage) -> dict[str, Any]:
    given = stage.inputs.teacher
    source = given or backbone_of(stage.upstream["pretrain_teacher"])
    data, splits = labelled_splits(stage, source, "train", "dev")
    progress = Progress()
    if given:
        teacher = own_teacher(stage, data, given, splits["dev"]).to(stage.accelerator.device).eval()
    else:
        teacher, progress = finetune(stage, data, splits)
    dev = splits["dev"]
    figures = judged(data, answers(data, predict_together(teacher, dev.texts, stage), dev), dev)
    dev_score = score(data, figures)
    stage.say(f"teacher: dev {data.metric} {dev_score:.4f}")
    if not (stage.recipe.finetune_teacher.allow_majority or KINDS[data.kind].beats_trivial(data.metric, figures)):
        raise WorkFailed(
            f"the teacher is no better on dev than the most frequent label ({data.metric} {dev_score:.4f}): check the"
            " labels, their order and the learning rate; finetune_teacher.allow_majority: true goes on all the same"
        )
    if stage.is_main:
        KINDS[data.kind].save(teacher, stage.output, tokenizer_of=source)
    cut = {f"{name}_texts_cut": split.texts.share_cut() for name, split in splits.items()}
    curve = {"dev_scores": progress.scores, "curve": progress.curve}
    return {"dev_score": dev_score, "metric": data.metric, **cut, **curve}


def finetune(stage: Stage, data: TaskData, splits: dict[str, LabelledSplit]) -> tuple[PreTrainedModel, Progress]:
    """The backbone with a new head, trained on the labels; the best epoch on dev."""
    settings, train_split = stage.recipe.finetune_teacher, splits["train"]
    torch.manual_seed(stage.recipe.seed)  # of the new head
    backbone = backbone_of(stage.upstream["pretrain_teacher"])
    teacher = KINDS[data.kind].load(
        backbone, label_names=data.label_names, new_head=True, hidden_dropout=settings.hidden_dropout
    )

    scale = KINDS[data.kind].scale(train_split.labels)

    def collate(rows: Rows, epoch: int) -> Inputs:
        inputs = train_split.texts.collate_with_targets(rows)
        return scale.standardised(inputs) if scale else inputs

    job = Job(
        model=teacher.to(stage.accelerator.device),
        batches=planned(train_split.texts.lengths, settings, seed=stage.recipe.seed),
        collate=collate,
        loss=supervised_loss(train_split.texts),
        settings=settings,
        score=dev_scorer(stage, data, splits["dev"]),
        flops=training_flops(teacher),
    )
    progress = train(job, stage)
    if scale:
        scale.put_into(teacher)
    return teacher, progress


if __name__ == "__main__":
    run_stage("finetune_teacher", main)
