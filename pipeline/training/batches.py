"""Which rows go through the model when: a pure function of (seed, epoch, step), whatever the number of processes.

A global batch is the rows of one optimiser step. It is cut into micro-batches of fixed membership: rows of similar
lengths, at most `micro_batch_tokens` padded tokens at once. Processes take micro-batches by number.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.config.distillation import LayerObjectives
from pipeline.config.training import Training
from pipeline.models.collate import Rows, buckets

ECHOED = 16  # batches come before the first of them comes again: the teacher's passes over so many are in memory
PASSES = 16  # one more pass costs about as much as a sixteenth of the token budget


@dataclass(frozen=True, kw_only=True)
class GlobalBatch:
    """The rows of one optimiser step and the counts that its losses are averaged over."""

    step: int
    epoch: int
    micro_batches: tuple[Rows, ...]
    examples: int
    tokens: int  # without padding
    pairs: int  # of tokens that attend to each other: the sum of squared lengths
    comes_again: bool = False  # in a later step, as an echo


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Which rows are one original example and its variants."""

    order: np.ndarray  # the rows, group by group
    first: np.ndarray  # where in `order` each group begins
    count: np.ndarray  # rows of each group, the original included

    @classmethod
    def of(cls, source_id: np.ndarray, part: np.ndarray | None = None) -> "Groups":
        """Neighbouring rows of one source; where an example is several rows (windows), one group for each `part`."""
        part = np.zeros_like(source_id) if part is None else part
        example = np.cumsum(np.r_[True, source_id[1:] != source_id[:-1]])
        order = np.lexsort((part, example))  # stable
        key = np.stack([example[order], part[order]])
        first = np.flatnonzero(np.r_[True, (key[:, 1:] != key[:, :-1]).any(axis=0)])
        return cls(order=order, first=first, count=np.diff(np.r_[first, len(order)]))


class BatchPlan:
    """The global batches of a training.

    Args:
        lengths: tokens of every row.
        groups: an epoch shows one row of each group, and the next epoch the next one; None: every row.
        echo: how often the rows of a batch come (data echoing, Choi et al., arXiv:1907.05550): ECHOED batches, then
            the same ones again. The number of steps is the same, that of different batches is smaller.
        packed: whether the models can take packed batches (`attention.can_pack`).
    """

    def __init__(
        self,
        lengths: np.ndarray,
        *,
        batch_size: int,
        epochs: float,
        micro_batch_tokens: int,
        seed: int,
        groups: Groups | None = None,
        echo: int = 1,
        packed: bool = True,
    ) -> None:
        self.echo, self.packed = echo, packed
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.groups = groups
        self.batch_size = batch_size
        self.micro_batch_tokens = micro_batch_tokens
        self.seed = seed
        self.rows_per_epoch = len(groups.first) if groups else len(self.lengths)
        self.steps_per_epoch = math.ceil(self.rows_per_epoch / batch_size)
        self.steps = math.ceil(epochs * self.steps_per_epoch)
        self._epoch: tuple[int, Rows] = (-1, np.empty(0, dtype=np.int64))

    def at(self, step: int) -> GlobalBatch:
        """The global batch of a step, counted from 0."""
        number, comes_again = self._echo(step)
        epoch, step_of_epoch = divmod(number, self.steps_per_epoch)
        rows = self._rows(epoch)[step_of_epoch * self.batch_size : (step_of_epoch + 1) * self.batch_size]
        lengths = self.lengths[rows]
        parts = cut_into_micro_batches(rows, lengths, self.micro_batch_tokens, packed=self.packed)
        return GlobalBatch(
            step=step,
            epoch=epoch,
            comes_again=comes_again,
            micro_batches=tuple(parts),
            examples=len(rows),
            tokens=int(lengths.sum()),
            pairs=int((lengths**2).sum()),
        )

    def _echo(self, step: int) -> tuple[int, bool]:
        """Which of the different batches a step takes, and whether a later step takes it again."""
        if self.echo == 1:
            return step, False
        first = step // (ECHOED * self.echo) * ECHOED
        together = max(1, min(ECHOED, math.ceil(self.steps / self.echo) - first))
        number = first + (step - first * self.echo) % together
        return number, step + together < min(self.steps, (first + together) * self.echo)

    def _rows(self, epoch: int) -> Rows:
        if self._epoch[0] != epoch:
            order = np.random.default_rng([self.seed, epoch, 1]).permutation(self.rows_per_epoch)
            if self.groups is not None:
                begin = np.random.default_rng([self.seed, 2]).integers(0, 2**31, self.rows_per_epoch)
                order = self.groups.order[self.groups.first + (begin + epoch) % self.groups.count][order]
            self._epoch = (epoch, order)
        return self._epoch[1]


def planned(
    lengths: np.ndarray, settings: Training, *, seed: int, packed: bool, groups: Groups | None = None
) -> BatchPlan:
    """The global batches that a stage's settings ask for. Args: packed: whether its models take packed batches."""
    return BatchPlan(
        lengths,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        micro_batch_tokens=settings.tokens_at_once,
        seed=seed,
        groups=groups,
        echo=settings.echo if isinstance(settings, LayerObjectives) else 1,
        packed=packed,
    )


def cut_into_micro_batches(rows: Rows, lengths: np.ndarray, tokens: int, *, packed: bool) -> list[Rows]:
    """Cut rows into micro-batches, longest first, each as many buckets as fit into `tokens` with their padding.

    Args: packed: else a bucket is a micro-batch, for models that see a batch padded to its longest row.
    """
    order = np.argsort(-lengths, kind="stable")
    parts: list[Rows] = []
    start, filled = 0, tokens
    for count, longest in buckets(lengths[order], tokens, cost=None if packed else tokens // PASSES):
        more = rows[order[start : start + count]]
        if packed and filled + count * longest <= tokens:
            parts[-1], filled = np.r_[parts[-1], more], filled + count * longest
        else:
            parts, filled = [*parts, more], count * longest
        start += count
    return parts
