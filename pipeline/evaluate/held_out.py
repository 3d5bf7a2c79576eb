"""What a model says of held-out text: how a general student is measured beside its teacher, in every form it has.

MaskedWords   models with a masked-LM head: which of the masked tokens they find
NextTokens    decoders: which of the next tokens they find; perplexity and bits a byte
States        models without one: their last hidden states, compared by linear CKA
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.config.data import LINEAR_CKA, MASKED_ACCURACY, NEXT_TOKEN_ACCURACY
from pipeline.data.corpus import Corpus, text_bytes
from pipeline.models.architectures import DECODERS
from pipeline.models.collate import Batch, Rows, collate
from pipeline.models.saved_model import special_id
from pipeline.models.trace import Wanted, forward, trace
from pipeline.runtime.stage import Stage
from pipeline.training.batches import cut_into_micro_batches
from pipeline.training.causal_lm import PADDING, CausalBlocks, bits_a_byte, perplexity
from pipeline.training.language_model import MEASURED, Blocks
from pipeline.training.masked_lm import MaskedBlocks

MOST_TOKENS = 1 << 17  # of the held-out text that is used
STATE_TOKENS = 4096  # tokens whose hidden states are compared
AT_ONCE = 1024  # tokens: their logits over a vocabulary fit in memory


def linear_cka(ours_nS: np.ndarray, theirs_nD: np.ndarray) -> float:
    """Linear centred kernel alignment of two models' states (Kornblith et al., arXiv:1905.00414, eq. 4).

        CKA = ||Y'X||^2 / (||X'X|| ||Y'Y||),   X and Y centred, Frobenius norms

    1 where one is a rotation of the other, scaled; widths may differ.

    Args: ours_nS, theirs_nD: of the same tokens.
    """
    x, y = (states.astype(np.float64) - states.mean(axis=0, dtype=np.float64) for states in (ours_nS, theirs_nD))
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / norms) if norms else 0.0


def spread_blocks(lengths: np.ndarray, tokens: int) -> Rows:
    """Blocks with about so many tokens together, evenly spread over the corpus."""
    count = max(1, min(len(lengths), int(tokens / lengths.mean())))
    return np.unique(np.linspace(0, len(lengths) - 1, count).astype(np.int64))


def with_mask(batch: Batch) -> Batch:
    """The same batch, its mask given to the model in any case: an ONNX file takes no less."""
    return replace(batch, full=False)


class HeldOutMetric(ABC):
    """A way to measure any form of a model: PyTorch, or an ONNX file behind the same call."""

    name: ClassVar[str]
    can_be_kept: ClassVar[bool]  # whether the teacher has a score of its own, of which the student keeps a share

    def __init__(self, corpus: Corpus, tokenizer: PreTrainedTokenizerFast, stage: Stage, tokens: int) -> None:
        self.corpus, self.tokenizer, self.stage = corpus, tokenizer, stage
        self.rows = spread_blocks(corpus.lengths, tokens)

    @abstractmethod
    def outputs(self, model: Any) -> np.ndarray:
        """What a model says, the same in every process; each has run its share."""

    @abstractmethod
    def statistics(self, outputs: np.ndarray) -> np.ndarray:
        """Numbers from which the score of any of the rows follows."""

    @abstractmethod
    def score(self, statistics: np.ndarray, *, teacher: np.ndarray) -> float:
        """From 0 to 1. Args: teacher: the teacher's statistics, which only some metrics compare with."""

    @abstractmethod
    def values(self, outputs: np.ndarray) -> np.ndarray:
        """The numbers that two forms of one model are compared by."""

    @abstractmethod
    def agreement(self, teacher: np.ndarray, student: np.ndarray) -> float:
        """How alike the outputs of two models are, from 0 to 1."""

    def details(self, outputs: np.ndarray) -> dict[str, Any]:
        """What results.json says of a model beside its score."""
        return {}

    def layer_states(self, model: PreTrainedModel, layers: Sequence[int]) -> list[np.ndarray]:
        """Hidden states (n, width) of some layers, 0 being the embeddings, of the same tokens for every model."""
        rows, found = spread_blocks(self.corpus.lengths, STATE_TOKENS), [[] for _ in layers]
        encoder = cast(PreTrainedModel, model.base_model)
        decoder = model.config.model_type in DECODERS
        pad_id = PADDING if decoder else special_id(self.tokenizer, "pad_token_id")
        with torch.inference_mode(), self.stage.autocast():
            for chosen in cut_into_micro_batches(rows, self.corpus.lengths[rows], AT_ONCE, packed=False):
                batch = collate({"input_ids": [self.corpus[int(row)] for row in chosen]}, pad_id, packed=False)
                batch = batch.to(self.stage.accelerator.device)
                states = trace(encoder, batch, Wanted(layers=tuple(set(layers)))).hidden_states
                for kept, layer in zip(found, layers, strict=True):
                    kept.append(states[layer][batch.attention_mask.bool()].float().cpu().numpy())
        return [np.concatenate(kept) for kept in found]

    def batches(self) -> list[Rows]:
        """The numbers of the blocks, in fixed batches: outputs do not depend on the number of processes."""
        rows = np.arange(len(self.rows))
        return cut_into_micro_batches(rows, self.corpus.lengths[self.rows], AT_ONCE, packed=False)


class MaskedWords(HeldOutMetric):
    """Masked tokens: the id that a model gives, and its cross-entropy in nats; (masked tokens, 2)."""

    name, can_be_kept = MASKED_ACCURACY, True

    def __init__(self, corpus: Corpus, tokenizer: PreTrainedTokenizerFast, stage: Stage) -> None:
        super().__init__(corpus, tokenizer, stage, MOST_TOKENS)
        self.blocks: Any = self.blocks_to_predict()
        wanted = self.wanted_of_blocks()
        self.begins = np.cumsum([0, *map(len, wanted)])  # of each block's masked tokens
        self.wanted = np.concatenate(wanted)

    def blocks_to_predict(self) -> Blocks:
        """What makes the batches."""
        size = len(self.tokenizer)
        return MaskedBlocks(self.corpus, self.rows, self.tokenizer, vocab_size=size, seed=0, packed=False)

    def wanted_of_blocks(self) -> list[np.ndarray]:
        """What is to be found in each block."""
        return [self.blocks.masked(row, MEASURED)[2] for row in range(len(self.rows))]

    def outputs(self, model: Any) -> np.ndarray:
        found, batches = torch.zeros(len(self.wanted), 2), self.batches()
        with torch.inference_mode(), self.stage.autocast():
            for number in self.stage.own_share(len(batches)):
                rows = batches[number]
                batch = with_mask(self.blocks.collate(rows, MEASURED)).to(self.stage.accelerator.device)
                logits = forward(model, batch).logits
                batch = batch.to(logits.device)  # an ONNX file answers on the CPU
                logits = logits[batch.targets["predicted"]].float()
                wanted = batch.targets["predicted_ids"]
                gap = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
                positions = np.concatenate([np.arange(*self.begins[row : row + 2].tolist()) for row in rows.tolist()])
                found[positions] = torch.stack([logits.argmax(dim=-1), gap], dim=1).cpu()
        return self.stage.sum_over_processes(found).numpy()

    def statistics(self, outputs: np.ndarray) -> np.ndarray:
        """(blocks, 2): masked tokens that were found, and all of them."""
        right = np.add.reduceat(outputs[:, 0] == self.wanted, self.begins[:-1], dtype=np.float64)
        return np.stack([right, np.diff(self.begins)], axis=1)

    def score(self, statistics: np.ndarray, *, teacher: np.ndarray) -> float:
        right, count = statistics.sum(axis=0)
        return float(right / count)

    def values(self, outputs: np.ndarray) -> np.ndarray:
        return outputs[:, 1]

    def agreement(self, teacher: np.ndarray, student: np.ndarray) -> float:
        """Share of the masked tokens for which both give the same."""
        return float((teacher[:, 0] == student[:, 0]).mean())

    def details(self, outputs: np.ndarray) -> dict[str, Any]:
        return {"all_scores": {"cross_entropy": float(outputs[:, 1].mean())}}


class NextTokens(MaskedWords):
    """The same of decoders, at each token but the first of a block, from those before it."""

    name = NEXT_TOKEN_ACCURACY

    def blocks_to_predict(self) -> CausalBlocks:
        return CausalBlocks(self.corpus, self.rows)

    def wanted_of_blocks(self) -> list[np.ndarray]:
        return [self.corpus[int(row)][1:] for row in self.rows]

    def details(self, outputs: np.ndarray) -> dict[str, Any]:
        """Perplexity of a token, and bits a byte, which also compares models with other tokenizers."""
        nats = float(outputs[:, 1].sum(dtype=np.float64))
        size = sum(text_bytes(self.tokenizer, self.corpus[int(row)]) for row in self.rows)
        return {"all_scores": {"perplexity": perplexity(nats, len(outputs)), "bits_a_byte": bits_a_byte(nats, size)}}


class States(HeldOutMetric):
    """Last hidden states of some tokens, (n, width); their score is the linear CKA with the teacher's."""

    name, can_be_kept = LINEAR_CKA, False

    def __init__(self, corpus: Corpus, tokenizer: PreTrainedTokenizerFast, stage: Stage) -> None:
        super().__init__(corpus, tokenizer, stage, STATE_TOKENS)
        self.pad_id = special_id(tokenizer, "pad_token_id")

    def outputs(self, model: Any) -> np.ndarray:
        lengths = self.corpus.lengths[self.rows]
        begins, batches, found = np.cumsum([0, *lengths]), self.batches(), None
        with torch.inference_mode(), self.stage.autocast():
            for number in self.stage.own_share(len(batches)):
                rows = batches[number]
                columns = {"input_ids": [self.corpus[int(self.rows[row])] for row in rows]}
                batch = with_mask(collate(columns, self.pad_id, packed=False)).to(self.stage.accelerator.device)
                states: Tensor = forward(model, batch).last_hidden_state.float().cpu()
                if found is None:
                    found = torch.zeros(int(begins[-1]), states.shape[-1])
                for row, own in zip(rows, states, strict=True):
                    found[begins[row] : begins[row + 1]] = own[: lengths[row]]
        if found is None:
            found = torch.zeros(int(begins[-1]), model.config.hidden_size)
        return self.stage.sum_over_processes(found).numpy()

    def statistics(self, outputs: np.ndarray) -> np.ndarray:
        """The states themselves."""
        return outputs

    def score(self, statistics: np.ndarray, *, teacher: np.ndarray) -> float:
        return linear_cka(statistics, teacher)

    def values(self, outputs: np.ndarray) -> np.ndarray:
        return outputs

    def agreement(self, teacher: np.ndarray, student: np.ndarray) -> float:
        return linear_cka(student, teacher)
