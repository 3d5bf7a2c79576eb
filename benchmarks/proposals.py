"""What `benchmarks.speed augment` times: candidates for the words of review snippets, by the recipe's settings and by
the authors' procedure (`benchmarks.reference.candidates`), which masks one word at a time and sees the text twice.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, PreTrainedModel, PreTrainedTokenizerFast

from benchmarks import reference
from benchmarks.agreement import Gap
from benchmarks.both_ways import forward_flops
from data_augment.masked_lm import masked_copies
from data_augment.pieces import Context, longest_input, single_pieces
from data_augment.proposer import Proposer
from data_augment.vectors import WordVectors, load_vectors
from data_augment.vocabulary import proposable
from data_augment.words import drawn_words, replaceable_words
from pipeline.config.data import ProposeCandidates
from pipeline.data.languages import ENGLISH, Languages
from pipeline.errors import UserError
from pipeline.models.loading import freeze, load_language_model, load_tokenizer, proposer_of, save_model
from pipeline.plan.plan import Plan
from pipeline.runtime.stage import Stage
from pipeline.tasks.labelled_data import read_task
from pipeline.training.throughput import Throughput

STEP = 16  # texts
TIE = 1e-4  # two log-probabilities nearer than this are equal: batches round differently

Candidates = reference.Candidates


class Way(NamedTuple):
    """How the masked LM is asked."""

    context: Context
    mask_share: float
    word_share: float = 1


AUTHORS, ALGORITHM_1 = Way("pair", 0), Way("single", 0)


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """Texts and models, ready to run either way; a step is STEP texts."""

    stage: Stage
    texts: list[str]
    tokenizer: PreTrainedTokenizerFast
    load: Callable[[], PreTrainedModel]
    model: PreTrainedModel
    slow_model: PreTrainedModel
    vectors: WordVectors | None
    unit: str = "sentences/s"
    found: dict[Way | None, Candidates] = field(default_factory=dict)
    """The candidates of the last runs: ours by their way, and None the reference's."""

    @property
    def way(self) -> Way:
        """The recipe's."""
        recipe = self.stage.recipe
        return Way(recipe.propose_candidates.context, recipe.propose_candidates.mask_share, recipe.word_share)

    def run_ours(self, steps: int, *, way: Way | None = None) -> tuple[float, dict[str, float]]:
        """Sentences a second; and its throughput, where all that is not the masked LM's own time counts as waiting."""
        way = way or self.way
        texts = self.texts[: steps * STEP]
        with _stopwatch(self.model) as inside:
            began = time.perf_counter()
            self.found[way] = self.propose(texts, self.model, self.stage.precision, way)
            seconds = time.perf_counter() - began
        throughput = Throughput(seconds=seconds, data_wait=seconds - sum(inside), flops=self._flops(texts, way))
        return len(texts) / seconds, vars(throughput)

    def run_reference(self, steps: int) -> float:
        """Sentences a second."""
        texts = self.texts[: steps * STEP]
        began = time.perf_counter()
        self.found[None] = reference.candidates(
            texts, model=self.slow_model, tokenizer=self.tokenizer, vectors=self.vectors, k=self._k
        )
        return len(texts) / (time.perf_counter() - began)

    def propose(
        self, texts: list[str], model: PreTrainedModel, precision: Literal["bf16", "fp32"], way: Way
    ) -> Candidates:
        """The pipeline's candidates: (text, start) -> words and scores."""
        settings = ProposeCandidates(
            candidates=self._k,
            decode_tokens=self.stage.recipe.propose_candidates.decode_tokens,
            context=way.context,
            mask_share=way.mask_share,
        )
        proposer = Proposer(
            settings=settings,
            tokenizer=self.tokenizer,
            model=model,
            vectors=self.vectors,
            languages=Languages((ENGLISH,), guessed=False),
            word_share=way.word_share,
            precision=precision,
        )
        return {
            (row["text"], row["start"]): list(zip(row["candidates"], row["scores"], strict=True))
            for row in proposer.shard(texts).to_pylist()
        }

    def gaps(self, steps: int) -> list[Gap]:
        """In float32: the share of words whose list is not the reference's, ties aside. In bf16: the share of the K
        that are not among float32's, on average over the words of the masked LM.
        """
        texts = self.texts[: steps * STEP]
        if None not in self.found or {text for text, _ in self.found[None]} - set(texts):
            self.run_reference(steps)
        device = self.stage.accelerator.device
        exact = self.propose(texts, freeze(self.load(), precision="fp32").to(device), "fp32", AUTHORS)
        theirs = self.found[None]
        other = [key for key in {*exact, *theirs} if not _same(exact.get(key, []), theirs.get(key, []))]
        rough_model = freeze(self.load(), precision="bf16").to(device)
        rough = self.propose(texts, rough_model, "bf16", AUTHORS)
        by_model = [key for key, found in exact.items() if found[0][1] < 0 and key in rough]  # no cosine: a logarithm
        kept = [len(_words(exact[key]) & _words(rough[key])) / len(exact[key]) for key in by_model]
        return [
            Gap(f"of {len(theirs)} words in float32, those with another list", len(other) / len(theirs), 0.0),
            Gap(f"of the K of {len(kept)} words, those that bf16 changes", 1 - sum(kept) / len(kept), 0.03),
        ]

    def shared(self) -> float:
        """The share of Algorithm 1's K that the recipe's way proposes too, a mean over the words of the masked LM."""
        exact, ours = self.found[ALGORITHM_1], self.found[self.way]
        by_model = [key for key, found in exact.items() if found[0][1] < 0 and key in ours]
        return fmean(len(_words(exact[key]) & _words(ours[key])) / len(exact[key]) for key in by_model)

    @property
    def _k(self) -> int:
        return self.stage.recipe.propose_candidates.candidates

    def _flops(self, texts: list[str], way: Way) -> float:
        spans = [drawn_words(text, replaceable_words(text), way.word_share) for text in texts]
        longest = longest_input(self.model, self.tokenizer)
        encoded, words = single_pieces(texts, spans, tokenizer=self.tokenizer, longest=longest, context=way.context)
        lengths = [len(encoded[copy[0].text].ids) for copy in masked_copies(words, encoded, way.mask_share)]
        return forward_flops(self.model, np.array(lengths))


def proposals(stage: Stage, plan: Plan, *, models: str, examples: int, only: str = "") -> Proposals:
    """The first training texts of the recipe, its masked LM and its vectors.

    Args:
        models: 'recipe', or 'bert-base', a masked LM of that size with random weights.
        only: 'ours' or 'reference': the other one is not to be run, and takes no memory.

    Raises: UserError where the masked LM is trained by the recipe and that was not done yet.
    """
    data = read_task(stage.recipe.task, stage.inputs.task)
    texts = list(dict.fromkeys(text for example in data.splits["train"] for text in example.texts))[:examples]
    folder = stage.inputs.backbone
    if models == "bert-base":
        folder = stage.work / models
        random_model = BertForMaskedLM(BertConfig(vocab_size=len(load_tokenizer(stage.inputs.backbone))))
        save_model(random_model, folder, tokenizer_of=stage.inputs.backbone)
    elif stage.recipe.pretrain_teacher.epochs:
        artifact = plan.stages["pretrain_teacher"].artifact
        if artifact.manifest() is None:
            raise UserError(
                f"{artifact.folder}: the masked LM is not there; run ./run_all.sh RECIPE --until pretrain_teacher first"
            )
        folder = proposer_of(artifact.folder)
    settings = stage.recipe.propose_candidates
    model, slow_model = _models(lambda: load_language_model(folder), stage, only)
    vectors = stage.inputs.vectors
    tokenizer = load_tokenizer(folder)
    proposable(tokenizer)  # made once for a whole run
    return Proposals(
        stage=stage,
        texts=texts,
        tokenizer=tokenizer,
        load=lambda: load_language_model(folder),
        model=model,
        slow_model=slow_model,
        vectors=load_vectors(vectors, vector_words=settings.vector_words) if vectors else None,
    )


def _models(load: Callable[[], PreTrainedModel], stage: Stage, only: str) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The pipeline's and the reference's; one and the same where only one of them is run."""
    device, loaded = stage.accelerator.device, []
    if only != "reference":
        loaded.append(freeze(load(), precision=stage.precision).to(device))
    if only != "ours":
        loaded.append(freeze(load(), precision="fp32").to(device))
        loaded[-1].set_attn_implementation("eager")
    return loaded[0], loaded[-1]


def _words(found: list[tuple[str, float]]) -> set[str]:
    return {word for word, _ in found}


def _same(ours: list[tuple[str, float]], theirs: list[tuple[str, float]]) -> bool:
    """The same words in the same order, where scores do not tie."""
    if len(ours) != len(theirs):
        return False
    return all(a == b or abs(x - y) <= TIE for (a, x), (b, y) in zip(ours, theirs, strict=True))


@contextmanager
def _stopwatch(model: PreTrainedModel) -> Iterator[list[float]]:
    """Seconds of each forward pass of the masked LM: of its encoder, and of its head."""
    inside: list[float] = []
    began: list[float] = []

    def start(*_: Any) -> None:
        _wait(model)
        began.append(time.perf_counter())

    def stop(*_: Any) -> None:
        _wait(model)
        inside.append(time.perf_counter() - began.pop())

    hooks = [
        hook
        for module in model.children()
        for hook in (module.register_forward_pre_hook(start), module.register_forward_hook(stop))
    ]
    try:
        yield inside
    finally:
        for hook in hooks:
            hook.remove()


def _wait(model: PreTrainedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()
