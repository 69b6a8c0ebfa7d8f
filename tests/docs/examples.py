"""Examples on pages, and running them.

Fenced blocks of a page are run one after the other, in one folder:

- ``bash``: commands, which must succeed; warnings of the program are errors, as in tests.
- ``text`` after ``bash``: what they print must have these lines, ``...`` standing for anything.
- ``python``: statements. Names live on to the end of the page.
- ``pycon``: a session, as in docstrings.

``<!-- not run: WHY -->`` before a block says why it is only to be read.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = ("bash", "text", "python", "pycon")
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+) -->\n)?^```(?P<kind>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_COMMANDS = {
    "bids-spheres": "bids_spheres",
    "bids-spheres-brainlife": "bids_spheres.integrations.brainlife",
}
_SHIM = """\
#!/bin/sh
exec "{python}" -W error -m {module} "$@"
"""


@dataclass(frozen=True)
class Example:
    """A fenced block of a page."""

    page: Path
    line: int
    kind: str
    code: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line} ({self.kind})"


def examples(page: Path) -> Iterator[Example]:
    """All blocks of a page that are to be run, or that say why they are not."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        if found["kind"] in RUN:
            line = text.count("\n", 0, found.start("code"))
            yield Example(page, line, found["kind"], found["code"], found["why"])


@dataclass
class Session:
    """A folder, and what examples have left in it and in the interpreter."""

    folder: Path
    names: dict[str, Any] = field(default_factory=dict)
    printed: str | None = None

    def run(self, example: Example) -> None:
        """Run one example.

        Raises
        ------
        AssertionError
            When it fails, or prints something else.
        """
        getattr(self, f"_{example.kind}")(example)

    def _bash(self, example: Example) -> None:
        tools = self._tools()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", example.code],  # noqa: S607 - the reader's bash
            cwd=self.folder,
            env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{example} ended with {done.returncode}:\n{done.stderr}"
        self.printed = done.stdout

    def _tools(self) -> Path:
        """A folder with the commands, by which warnings are errors."""
        tools = self.folder.parent / "tools"
        tools.mkdir(exist_ok=True)
        for name, module in _COMMANDS.items():
            (tools / name).write_text(_SHIM.format(python=sys.executable, module=module))
            (tools / name).chmod(0o755)
        return tools

    def _text(self, example: Example) -> None:
        assert self.printed is not None, f"{example} follows nothing that prints"
        same = doctest.OutputChecker().check_output(example.code, self.printed, _FLAGS)
        assert same, f"{example}: the page has\n{example.code}\nand printed was\n{self.printed}"

    def _python(self, example: Example) -> None:
        # Padded, so that an error shows the line of the page.
        code = compile("\n" * example.line + example.code, str(example.page), "exec")
        exec(code, self.names)  # noqa: S102 - examples are ours

    def _pycon(self, example: Example) -> None:
        parser, lines = doctest.DocTestParser(), []
        test = parser.get_doctest(example.code, {}, str(example), str(example.page), example.line)
        test.globs = self.names
        runner = doctest.DocTestRunner(optionflags=_FLAGS)
        runner.run(test, out=lines.append, clear_globs=False)
        assert runner.failures == 0, "".join(lines)
