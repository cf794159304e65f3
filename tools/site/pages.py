"""Pages of the repository as pages of the site: their links, their fences, and notebooks."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Pages outside of docs/, and what they are called in the site: README.md is the first page of a folder to MkDocs.
OUTSIDE = {
    "README.md": "project/readme.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
    "tools/README.md": "project/tools.md",
    "qdqnp/data/README.md": "project/data.md",
}
EXAMPLES = "examples/index.md"
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_OPENED = re.compile(r"^```(\w+) +([^\n]+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)]*)?\)")


def place(path: str) -> str:
    """Return where a file or folder of the repository is in the site: 'docs/card.md' is 'card.md'.

    What is no page is shown as it is, as text that every browser opens.
    """
    if path in OUTSIDE:
        return OUTSIDE[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path == "examples":
        return EXAMPLES
    if path.endswith(".ipynb"):
        return path.removesuffix(".ipynb") + ".md"
    return f"source/{path}.txt"


def links(text: str, path: str) -> list[str]:
    """Return the files and folders of the repository that a page links, the page being `path` in it."""
    folder = posixpath.dirname(path)
    return [posixpath.normpath(posixpath.join(folder, found[1])) for found in _LINK.finditer(_FENCED.sub("", text))]


def for_site(text: str, path: str) -> str:
    """Return a page, which is `path` in the repository, with the links and fences that it has in the site."""
    folder, here = posixpath.dirname(path), posixpath.dirname(place(path)) or "."

    def moved(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found[1]))
        return f"]({posixpath.relpath(place(target), here)}{found[2] or ''})"

    pieces, end = [], 0
    for fenced in _FENCED.finditer(text):
        pieces += [_LINK.sub(moved, text[end : fenced.start()]), _OPENED.sub(_titled, fenced[0], count=1)]
        end = fenced.end()
    return "".join([*pieces, _LINK.sub(moved, text[end:])])


def _titled(opened: re.Match[str]) -> str:
    """Return the first line of a block with the name of its file as a title; why it is not run is not shown."""
    return f"```{opened[1]}" if opened[2].startswith("not run: ") else f'```{opened[1]} title="{opened[2]}"'


def notebook_page(text: str) -> str:
    """Return a notebook, its JSON, as a page: its cells, and the texts that they printed."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            shown = "".join(output.get("text") or output["data"]["text/plain"]).rstrip("\n")
            parts.append(f"```text\n{shown}\n```")
    return "\n\n".join(parts) + "\n"


def examples_page() -> str:
    """Return the list of what examples/ holds: each notebook's title, each script's first line."""
    lines = ["# Examples", "", "Notebooks, with what they print:", ""]
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        title = notebook_page(path.read_text(encoding="utf-8")).partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{path.name}]({path.stem}.md): {title}")
    lines += ["", "Scripts, which run from the command line:", ""]
    for path in sorted((ROOT / "examples").glob("*.py")):
        first = path.read_text(encoding="utf-8").partition("\n")[0].strip('"')
        lines.append(f"- [{path.name}](../{place(f'examples/{path.name}')}): {first}")
    return "\n".join(lines) + "\n"
