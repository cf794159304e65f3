"""What MkDocs calls while it builds the site: pages from outside of docs/, the reference, and their links."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from tools.site import pages, reference


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/, and the sources that pages link, as texts."""
    made = {place: (pages.ROOT / path).read_text(encoding="utf-8") for path, place in pages.OUTSIDE.items()}
    made |= {f"reference/{name}": reference.text(*page) for name, page in reference.pages().items()}
    made[pages.EXAMPLES] = pages.examples_page()
    for notebook in (pages.ROOT / "examples").glob("*.ipynb"):
        made[f"examples/{notebook.stem}.md"] = pages.notebook_page(notebook.read_text(encoding="utf-8"))
    linked = {f"examples/{script.name}" for script in (pages.ROOT / "examples").glob("*.py")}
    for path in (*pages.OUTSIDE, *(f"docs/{file.src_uri}" for file in files.documentation_pages())):
        linked.update(pages.links((pages.ROOT / path).read_text(encoding="utf-8"), path))
    for path in linked:
        place = pages.place(path)
        if place.startswith("source/") and (pages.ROOT / path).is_file():
            made[place] = (pages.ROOT / path).read_text(encoding="utf-8")
    for place, text in made.items():
        files.append(File.generated(config, place, content=text, inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Return a page with the links and fences of the site."""
    there = {place: path for path, place in pages.OUTSIDE.items()}
    if page.file.generated_by is None:
        return pages.for_site(markdown, f"docs/{page.file.src_uri}")
    return pages.for_site(markdown, there[page.file.src_uri]) if page.file.src_uri in there else markdown
