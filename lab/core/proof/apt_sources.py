"""The host's own package sources, asked for source packages instead: nothing about mirrors is known here.

Forms: sources.list(5), one line an entry (``*.list``) and deb822 (``*.sources``).
"""

from __future__ import annotations

import re

_LINE = re.compile(r"^\s*deb(?:-src)?(?P<rest>\s.+)$")
_TYPES = re.compile(r"^Types:.*$", re.IGNORECASE)
_DISABLED = re.compile(r"^Enabled:\s*(no|false|off|0|without|disable)\s*$", re.IGNORECASE | re.MULTILINE)


def source_entries(name: str, text: str) -> str:
    """The same entries of a file, for source packages; empty when it has none.

    Args:
        name: of the file; its ending tells the form.
        text: of the file.
    """
    if name.endswith(".sources"):
        parts = [part for part in re.split(r"\n[ \t]*\n", text) if re.search(r"^Types:", part, re.MULTILINE)]
        return "\n\n".join(_stanza(part) for part in parts if not _DISABLED.search(part))
    lines = [f"deb-src{match['rest']}" for line in text.splitlines() if (match := _LINE.match(line))]
    return "\n".join(dict.fromkeys(lines)) + ("\n" if lines else "")


def _stanza(part: str) -> str:
    lines = [line for line in part.strip("\n").splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(_TYPES.sub("Types: deb-src", line) for line in lines) + "\n"
