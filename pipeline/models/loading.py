"""Load and save models: backbone, teacher, student. Weights are safetensors, remote code stays off."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from pipeline.config.distillation import DistillGeneral
from pipeline.errors import UserError, require
from pipeline.models.architectures import DECODERS, WITHOUT_QUERIES, encoder_layers
from pipeline.models.attention import ATTENTION
from pipeline.models.json_files import check_tokenizer_files, loading_from
from pipeline.models.saved_model import MODEL_FILES, TOKENIZER_FILES

HIDDEN_DROPOUT = ("hidden_dropout_prob", "dropout", "embedding_dropout", "mlp_dropout", "resid_pdrop", "embd_pdrop")
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")
ProblemType = Literal["single_label_classification", "multi_label_classification"]  # of models with label names
SINGLE_LABEL: ProblemType = "single_label_classification"
PROPOSER = "masked_lm"  # the folder of a masked LM that is not the backbone
LOAD = {"trust_remote_code": False, "use_safetensors": True, "dtype": torch.float32, "local_files_only": True}


def backbone_of(pretrained: Path) -> Path:
    """What teacher and student start from, in the artifact of pretrain_teacher."""
    return pretrained / "backbone"


def proposer_of(pretrained: Path) -> Path:
    """The masked LM that proposes words, in the artifact of pretrain_teacher."""
    apart = pretrained / PROPOSER
    return apart if apart.exists() else backbone_of(pretrained)


def distilled_from(pretrained: Path, settings: DistillGeneral) -> Path:
    """The model that general distillation learns from, in the same artifact: the masked LM where its head is needed."""
    return proposer_of(pretrained) if settings.needs_teacher_head else backbone_of(pretrained)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer saved beside a model."""
    check_tokenizer_files(folder)
    with loading_from(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True, use_fast=True)


def copy_model_files(source: Path, target: Path, patterns: Sequence[str] = MODEL_FILES) -> None:
    """Copy a model, or with TOKENIZER_FILES its tokenizer, as it is."""
    target.mkdir(exist_ok=True)
    for path in sorted({path for pattern in patterns for path in source.glob(pattern)}):
        shutil.copyfile(path, target / path.name)


def save_model(
    model: PreTrainedModel, folder: Path, *, tokenizer_of: Path, extra: dict[str, Tensor] | None = None
) -> None:
    """Save weights (safetensors), config and tokenizer so that a bare transformers loads the folder.

    Args: extra: tensors to put beside the model's own, such as a pooler that this head does not use.
    """
    copies: dict[Any, Tensor] = {}  # one of tied tensors, which are saved once; from a GPU each copy is another tensor
    state = {}
    for name, tensor in model.state_dict().items():
        storage = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if storage not in copies:
            copies[storage] = tensor.detach().cpu().contiguous()
        state[name] = copies[storage]
    model.save_pretrained(folder, state_dict={**state, **(extra or {})})
    copy_model_files(tokenizer_of, folder, TOKENIZER_FILES)


def load_config(folder: Path, *, hidden_dropout: float) -> PreTrainedConfig:
    """A model's config; attention dropout is off, because with it the fused kernel writes out every map on CPUs."""
    with loading_from(folder):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    set_dropout(config, hidden_dropout)
    return config


def set_dropout(config: PreTrainedConfig, hidden_dropout: float) -> None:
    """Dropout of hidden states, and none of attention."""
    for name in (*HIDDEN_DROPOUT, *ATTENTION_DROPOUT):
        if hasattr(config, name):
            setattr(config, name, hidden_dropout if name in HIDDEN_DROPOUT else 0.0)


def attention_of(config: PreTrainedConfig, wanted: str = ATTENTION) -> str:
    """How a model attends: as wanted, where its architecture can.

    Raises: UserError where it can neither do that nor be used without.
    """
    if config.model_type in WITHOUT_QUERIES:
        return "eager"
    trunk = MODEL_MAPPING.get(type(config), None)
    require(
        wanted != ATTENTION or getattr(trunk, "_supports_sdpa", True),
        f"{config.name_or_path} is a {config.model_type}, which cannot be distilled here; take a BERT, RoBERTa,"
        " ELECTRA, ModernBERT or the like (docs/how-to/methods.md)",
    )
    return wanted


def load_language_model(
    folder: Path, *, new_head: bool = False, hidden_dropout: float = 0.0, attention: str = ATTENTION
) -> PreTrainedModel:
    """A backbone with its masked-LM head, or a decoder with its head.

    Args: new_head: start from a random head where the checkpoint has none.
    Raises: UserError when weights are missing from the checkpoint.
    """
    config = load_config(folder, hidden_dropout=hidden_dropout)
    attends = attention_of(config, attention)
    return load_complete(_language_model(config), folder, new_head=new_head, config=config, attn_implementation=attends)


def load_complete(architecture: Any, folder: Path, *, new_head: bool = False, **options: Any) -> PreTrainedModel:
    """A model as its folder has it, with all of its weights.

    Args:
        architecture: the class of transformers.
        new_head: allow a pooler and head that the checkpoint lacks, or has for other labels; they start at random.
        options: of `from_pretrained`.

    Raises: UserError when other weights are missing, have another size than config.json says, or are not finite.
    """
    with loading_from(folder):
        options = {"ignore_mismatched_sizes": True, **options}  # they are named below
        model, info = architecture.from_pretrained(folder, output_loading_info=True, **options, **LOAD)
    missing = {*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])}
    if new_head:
        of_trunk = f"{model.base_model_prefix}."
        missing = {name for name in missing if name.startswith(of_trunk) and ".pooler." not in name}
    if missing:
        some = ", ".join(sorted(missing)[:3])
        raise UserError(
            f"{folder} lacks {len(missing)} of the model's weights ({some}), or has them in another size than its"
            " config.json says; is it the right checkpoint?"
        )
    for name, tensor in model.named_parameters():
        require(bool(tensor.isfinite().all()), f"{folder}: {name} has numbers that are not finite; save it again")
    return model


def _language_model(config: PreTrainedConfig) -> Any:
    return AutoModelForCausalLM if config.model_type in DECODERS else AutoModelForMaskedLM


def random_language_model(config: PreTrainedConfig) -> PreTrainedModel:
    """A masked LM or a decoder with random weights, in float32."""
    return _language_model(config).from_config(
        config, attn_implementation=attention_of(config), dtype=torch.float32, trust_remote_code=False
    )


def load_classifier(
    folder: Path,
    *,
    label_names: Sequence[str],
    new_head: bool,
    hidden_dropout: float = 0.0,
    attention: str = ATTENTION,
    head: Any = AutoModelForSequenceClassification,
    problem_type: ProblemType = SINGLE_LABEL,
) -> PreTrainedModel:
    """A sequence classifier (or, without label names, a regressor with one output), or a model with another head.

    Args:
        new_head: allow a pooler and head that the checkpoint lacks; they start at random.
        head: the class of transformers.
        problem_type: of a model with label names.

    Raises: UserError when other weights are missing, or the encoder's have another size than config.json says.
    """
    config = load_config(folder, hidden_dropout=hidden_dropout)
    set_labels(config, label_names, problem_type=problem_type)
    return load_complete(
        head,
        folder,
        new_head=new_head,
        config=config,
        attn_implementation=attention_of(config, attention),
    )


def set_labels(
    config: PreTrainedConfig, label_names: Sequence[str], *, problem_type: ProblemType = SINGLE_LABEL
) -> None:
    """Write the label names, or that there is one score, into a model's config."""
    names = list(label_names) or ["score"]
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}
    config.problem_type = problem_type if label_names else "regression"


def parameter_count(module: nn.Module) -> int:
    """Numbers in all; a tensor that is used twice counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def encoder_parameter_count(model: PreTrainedModel) -> int:
    """Parameters of the transformer layers."""
    return parameter_count(encoder_layers(model))


def separate_head(model: PreTrainedModel) -> nn.Module | None:
    """The masked-LM head, where it is the one module beside the encoder (BERT, RoBERTa, ALBERT); else None.

    Some models do more to the logits in `forward`, so one input shows whether the head alone gives the same.
    """
    heads = [module for module in model.children() if module is not model.base_model]
    if len(heads) != 1:
        return None
    trial = torch.zeros((1, 8), dtype=torch.long, device=model.device)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits = heads[0](model.base_model(trial).last_hidden_state)
            whole = model(trial).logits
    except TypeError:  # it wants more than the hidden states
        return None
    finally:
        model.train(training)
    same = isinstance(logits, Tensor) and logits.shape == whole.shape
    return heads[0] if same and torch.allclose(logits, whole, rtol=1e-2, atol=1e-2) else None


def pooler_of(checkpoint: Path, model: PreTrainedModel) -> dict[str, Tensor]:
    """The checkpoint's pooler, which a masked-LM model has no place for and fine-tuning starts from."""
    prefix = f"{model.base_model_prefix}."
    found = {}
    for path in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                if "pooler." in name:
                    found[prefix + name.removeprefix(prefix)] = file.get_tensor(name).float()
    return found


def freeze(model: PreTrainedModel, *, precision: str) -> PreTrainedModel:
    """A model that is only run: in eval mode (no dropout in its targets), without gradients, its weights cast once.

    Buffers are not cast: ModernBERT and Llama have the frequencies of their positions there, which bf16 makes wrong.
    """
    model.requires_grad_(False).eval()
    buffers = [(module, *named) for module in model.modules() for named in module.named_buffers(recurse=False)]
    nn.Module.to(model, torch.bfloat16 if precision == "bf16" else torch.float32)
    for module, name, buffer in buffers:
        setattr(module, name, buffer)
    return model
