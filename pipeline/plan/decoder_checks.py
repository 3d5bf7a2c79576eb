"""A backbone that is a decoder (GPT-2, Llama): what can be made of it. Every problem is a `UserError`."""

from pathlib import Path

from pipeline.config import Recipe
from pipeline.config.objectives import CAUSAL_LM, MASKED_LM, chosen
from pipeline.errors import require
from pipeline.models.architectures import DECODERS
from pipeline.models.saved_model import ModelShape, read_config


def check_decoder(recipe: Recipe, teacher: ModelShape, folder: Path) -> None:
    """That the recipe wants of a decoder what a decoder can, and of an encoder nothing that only a decoder can."""
    of_text = recipe.distill_general
    others = [name for name in teacher.architectures if name.endswith(("ForCausalLM", "LMHeadModel"))]
    require(
        teacher.is_decoder or not others,
        f"{folder} (backbone) is a {', '.join(others)}; of the decoders {' and '.join(DECODERS)} can be distilled; take"
        " one of these, or an encoder such as a BERT",
    )
    if not teacher.is_decoder:
        for masked, causal in zip(MASKED_LM, CAUSAL_LM, strict=True):
            require(
                not chosen(of_text, [causal]),
                f"distill_general.{causal}: {folder} is a {teacher.model_type}, which does not predict the next token;"
                f" take {masked} instead",
            )
        return
    named = f"{folder} is a {teacher.model_type}, a decoder"
    require(
        not recipe.has_task,
        f"task: {named}, which is distilled on plain text alone, without augmentation and proposed words; leave task:"
        " out, or take an encoder such as a BERT as the backbone",
    )
    require(
        not recipe.pretrain_teacher.only_proposes,
        f"pretrain_teacher.only_proposes: {named}, which proposes no words; leave it out",
    )
    require(
        recipe.pretrain_teacher.train != "head",
        f"pretrain_teacher.train: head, but {named}, whose head may be its embeddings; take 'top 1' or more, or all",
    )
    for masked, causal in zip(MASKED_LM, CAUSAL_LM, strict=True):
        require(
            not chosen(of_text, [masked]),
            f"distill_general.{masked}: {named}, which masks no token; take {causal} instead",
        )
    require(
        not of_text.normalised_hidden,
        f"distill_general.normalised_hidden: {named}, whose first token says nothing of its text; leave it out",
    )
    require(
        not of_text.epochs or chosen(of_text, CAUSAL_LM),
        f"distill_general: {named}, and the head of its student learns from {' or '.join(CAUSAL_LM)} alone; give one of"
        " them a weight",
    )
    _check_sizes(recipe, teacher, folder)


def _check_sizes(recipe: Recipe, teacher: ModelShape, folder: Path) -> None:
    """How the student starts, and that its heads can share keys and values as the recipe says."""
    student, config = recipe.student, read_config(folder, "backbone")
    shared = student.key_value_heads or student.heads * teacher.key_value_heads // teacher.heads
    groups = teacher.heads // teacher.key_value_heads
    require(
        student.architecture == "bert",  # the default
        f"student.architecture: {folder} is a {teacher.model_type}, and its student is one too; leave it out",
    )
    require(
        teacher.model_type != "gpt2" or student.key_value_heads in (0, student.heads),
        "student.key_value_heads: a gpt2 has keys and values for each head; leave it out",
    )
    require(
        student.key_value_heads or student.heads % groups == 0,
        f"student.heads: {student.heads}, but in {folder} {groups} heads share their keys and values; take a multiple"
        f" of {groups}, or set student.key_value_heads",
    )
    require(
        config.get("head_dim") in (None, teacher.width // teacher.heads)
        and not config.get("scale_attn_by_inverse_layer_idx"),
        f"{folder}: its heads are not as wide as its width divided among them, or each layer scales its attention"
        " otherwise (head_dim, scale_attn_by_inverse_layer_idx), which is not supported; take another backbone",
    )
    require(
        student.start in (None, "layers", "random"),
        f"student.start: {student.start}, but the student of a decoder starts with layers of the backbone or at random;"
        " write layers or random",
    )
    ours = {"width": student.width, "heads": student.heads, "feed_forward": student.feed_forward}
    theirs = {name: getattr(teacher, name) for name in ours}
    same = ours == theirs and shared == teacher.key_value_heads
    require(
        student.start != "layers" or same,
        f"student.start: layers of a decoder are copied whole, so the student needs the sizes of {folder}: {theirs},"
        f" key_value_heads {teacher.key_value_heads}; write these, or start at random",
    )
