"""What the project's files promise: pins, declared dependencies, a plan free of torch, launch configurations."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONSTRAINTS = (ROOT / "pipeline/environment/constraints.txt").read_text()
SCRIPTS = ["run_all.sh", "run_tests.sh", ".ci/run", "pipeline/environment/setup.sh", "pipeline/environment/lint.sh"]


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_valid_bash(script: str):
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_every_dependency_is_pinned_and_the_constraints_agree():
    pins = dict(line.split("==") for line in CONSTRAINTS.splitlines() if not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    lines = [line for part in (PROJECT["dependencies"], *EXTRAS.values()) for line in part if line != "pip"]
    for requirement in map(Requirement, lines):
        assert str(requirement.specifier) == f"=={pins[canonicalize_name(requirement.name)]}", requirement.name


def test_the_constraints_leave_the_build_of_torch_to_the_machine():
    assert re.search(r"^torch==[\d.]+$", CONSTRAINTS, re.MULTILINE)
    assert not re.search(r"^(nvidia|cuda|triton)", CONSTRAINTS, re.MULTILINE)


def test_the_overview_names_every_package_of_the_pipeline():
    page = (ROOT / "docs/architecture.md").read_text()
    packages = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert packages == set(re.findall(r"^\| `pipeline/(\w+)/` \|", page, re.MULTILINE))


def test_every_package_that_the_code_imports_is_a_dependency():
    extras = [line for name, lines in EXTRAS.items() if name != "dev" for line in lines]
    declared = names(PROJECT["dependencies"] + extras)
    ours = {"pipeline", "data_augment", "stages"}
    distributions = packages_distributions()
    for file in [file for folder in ours for file in (ROOT / folder).rglob("*.py")]:
        for module in imported(file) - ours - set(sys.stdlib_module_names):
            assert declared & {canonicalize_name(name) for name in distributions[module]}, f"{file} imports {module}"


def imported(file: Path) -> set[str]:
    modules = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules += [node.module or ""]
    return {module.split(".")[0] for module in modules}


def test_the_plan_imports_no_torch():
    code = "import sys, pipeline.plan; print(*sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    path = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | path, text=True, capture_output=True, check=True
    )
    assert done.stdout == "\n"


@pytest.mark.parametrize(
    ("name", "machines", "processes"),
    [("cpu", 1, "one"), ("one_gpu", 1, "one"), ("multi_gpu", 1, "several"), ("two_machines", 2, "several")],
)
def test_accelerate_reads_its_configuration_files(name: str, machines: int, processes: str):
    from accelerate.commands.config.config_args import ClusterConfig

    config = ClusterConfig.from_yaml_file(str(ROOT / f"accelerate_configs/{name}.yaml"))
    assert config.num_machines == machines
    assert (config.num_processes == 1) == (processes == "one")
