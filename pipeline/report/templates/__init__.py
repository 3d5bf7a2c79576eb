"""Texts that are written for people, as jinja templates: the HTML pages and the model card."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def escape_markdown(text: object) -> str:
    """A text of one line that Markdown shows as it is, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", re.sub(r"\s", " ", str(text)))


def counted(number: float, name: str) -> str:
    """A number with the name of what it counts: '1 epoch', '2 epochs'."""
    return f"{number:g} {name}{'' if number == 1 else 's'}"


def render(template: str, **values: Any) -> str:
    """A filled-in template. In HTML every text is escaped unless the template calls it safe."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: bool(name and ".html" in name),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"markdown": escape_markdown, "counted": counted}
    return environment.get_template(template).render(values)
