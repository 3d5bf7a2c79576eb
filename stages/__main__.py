"""Run several stages in turn, in the same processes. `./run_all.sh` launches all that have to run like this.

    accelerate launch -m stages augment_data annotate_data --recipe recipes/rotten_tomatoes.yaml

Each publishes the bytes that it publishes when it is launched alone, as `accelerate launch -m stages.NAME`.
"""

from importlib import import_module

from pipeline.distill.token_costs import expected_seconds
from pipeline.launch.stage_runner import run_stages

if __name__ == "__main__":
    run_stages(lambda name: import_module(f"stages.{name}").main, expected_seconds)
