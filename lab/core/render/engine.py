"""Templates to text: jinja2 with nothing left to chance.

Templates hold text; values are computed in Python. An unknown variable is an error, never an empty string.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import jinja2

from lab.core.errors import LabError

SUFFIX = ".j2"


class Engine:
    """Renders named templates.

    Args:
        templates: path below the repository's root to text, such as ``cloudinit/user-data.j2``.
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        self.templates = dict(sorted(templates.items()))
        self._environment = jinja2.Environment(
            loader=jinja2.DictLoader(self.templates),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # noqa: S701 - configuration files, not HTML; XML templates escape value by value
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters.update(
            base64=lambda data: base64.b64encode(data).decode("ascii"),
            json=lambda value: json.dumps(value, sort_keys=True),
            pretty_json=lambda value: json.dumps(value, sort_keys=True, indent=2),
            block=yaml_block,
        )

    def text(self, name: str, values: Mapping[str, Any]) -> str:
        """The template ``name`` filled with ``values``.

        Raises:
            LabError: no such template, a syntax error, or a variable that does not exist.
        """
        try:
            return self._environment.get_template(name).render(values)
        except jinja2.TemplateNotFound as error:
            raise LabError(f"template {error} is missing", remedy="restore it from the repository") from error
        except jinja2.TemplateSyntaxError as error:
            raise LabError(f"{error.name}:{error.lineno}: {error.message}", remedy="correct the template") from error
        except jinja2.UndefinedError as error:
            raise LabError(f"{name}: {error.message}", remedy="correct the variable's name in the template") from error

    def below(self, prefix: str) -> list[str]:
        """Names of the templates below a folder, sorted; ``prefix`` ends with a slash."""
        return [name for name in self.templates if name.startswith(prefix)]


def yaml_block(text: str, indent: int) -> str:
    """Text as a YAML 1.2 literal block scalar (chapter 8.1.2), the header included, without a final newline.

    Args:
        text: printable text; newlines and tabs are kept as they are.
        indent: columns before each line.

    Raises:
        LabError: the text holds characters that a literal block cannot.
    """
    odd = next((c for c in text if not (c.isprintable() or c in "\n\t")), "")
    if odd:
        raise LabError(f"a text for cloud-init holds the character {odd!r}", remedy="carry the file as .b64 instead")
    body = text.rstrip("\n")
    ending = len(text) - len(body)
    chomping = "-" if ending == 0 else "" if ending == 1 and body else "+"
    lines = (body + "\n" * max(0, ending - 1)).split("\n")
    margin = " " * indent
    # The digit is needed when the first line starts with a space or is empty: a reader would guess wrongly.
    digit = "2" if lines[0][:1] in ("", " ") else ""
    return f"|{digit}{chomping}\n" + "\n".join(margin + line if line else "" for line in lines)
