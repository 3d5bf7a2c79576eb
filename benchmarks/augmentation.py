"""Does augmentation help? The student's test score by the number of variants of each training text.

    python -m benchmarks.augmentation [--recipe R] [--seeds 0 1 2] [--json FILE] [--section.field value ...]

For each seed and each N of `--variants` the recipe is run as NAME-variants-N-seed-S. An epoch covers the originals (one
row of each example, in turn), so every N trains for the same number of steps. N of `--equal-epochs` are run once more
with every row of the augmented dataset in an epoch, as in the paper, for as many epochs as the recipe says: more steps
with more variants. What does not depend on N or the seed is shared, and nothing finished is run again, so the benchmark
can be stopped and started by the same command.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.quality import run
from pipeline.launch.cli import DEFAULT_RECIPE

STEPS, EPOCHS = "originals", "augmented"  # what an epoch covers


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.augmentation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", type=int, nargs="+", default=[0, 2, 5, 10, 20], help="at equal steps")
    parser.add_argument("--equal-epochs", type=int, nargs="*", default=[2, 5], help="at equal epochs too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given, overrides = parser.parse_known_args()
    settings = [(variants, STEPS) for variants in given.variants] + [(n, EPOCHS) for n in given.equal_epochs]
    rows = []
    for variants, covers in settings:
        found = [measure(given.recipe, variants, covers, seed, overrides) for seed in given.seeds]
        scores = [each["student"]["score"] for each in found]
        rows.append(
            {
                "variants": variants,
                "equal": "steps" if covers == STEPS else "epochs",
                "scores": scores,
                "mean": statistics.mean(scores),
                "deviation": statistics.stdev(scores) if len(scores) > 1 else 0.0,
                "kept": statistics.mean(each["kept"] or 0.0 for each in found),
                "agreement": statistics.mean(each["agreement"] or 0.0 for each in found),
            }
        )
        print(line(rows[-1], given.seeds, header=len(rows) == 1), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measure(recipe: Path, variants: int, covers: str, seed: int, overrides: list[str]) -> dict[str, Any]:
    """The results of one run; it is not run again where it is finished."""
    name = f"{recipe.stem}-variants-{variants}-{covers}-seed-{seed}"
    changes = {
        "--name": name,
        "--seed": seed,
        "--augment_data.variants": variants,
        "--distill_layers.epoch_covers": covers,
        "--distill_predictions.epoch_covers": covers,
    }
    plan = run(recipe, [*overrides, *(str(word) for pair in changes.items() for word in pair)])
    return json.loads((plan.run_folder / "results.json").read_text(encoding="utf-8"))


def line(row: dict[str, Any], seeds: list[int], *, header: bool) -> str:
    """A row of the table, under the names of its columns where it is the first."""
    names = "".join(f"{f'seed {seed}':>9}" for seed in seeds)
    title = f"{'variants':<10}{'equal':<8}{names}{'mean':>9}{'+-':>8}{'kept':>8}{'agreement':>11}\n" if header else ""
    scores = "".join(f"{score:>9.4f}" for score in row["scores"])
    return (
        f"{title}{row['variants']:<10}{row['equal']:<8}{scores}{row['mean']:>9.4f}{row['deviation']:>8.4f}"
        f"{row['kept']:>8.1%}{row['agreement']:>11.1%}"
    )


if __name__ == "__main__":
    main()
