"""The pages that are written for people, as jinja templates."""

from pathlib import Path
from typing import Any


def render(template: str, **values: Any) -> str:
    """A filled-in template. In HTML every text is escaped unless the template calls it safe."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 (a finished run renders nothing)

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: bool(name and ".html" in name),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)
