"""The card as Markdown and as a page: names are text, nothing is fetched, and a browser shows the map."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from qdqnp.errors import InputError
from qdqnp.inspection.lifetimes import Lifetime
from qdqnp.model_card import ModelCard, model_card
from qdqnp.model_card.placement import place
from qdqnp.render import html as html_module
from qdqnp.render import memory_map as map_module
from qdqnp.render.memory_map import HEIGHT, WIDTH, memory_map
from qdqnp.render.model_card import html, markdown
from tests.networks import dla
from tests.render.test_reports import CHROMIUM, EVIL, Page

MARKS = "`a` ``b`` | <b>x</b> [l](http://x) *y* _z_ \\ ~ # & ![i](http://y)"


PROBE = """<script>
const boxes = Array.from(document.querySelectorAll("svg.map rect")).filter((r) => r.getBoundingClientRect().height > 0);
document.title = "RESULT " + performance.getEntriesByType("resource").length + " " + boxes.length;
</script></body>"""


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return model_card(dla(seed=1), device="stm32n6")


def named(card: ModelCard, text: str) -> ModelCard:
    """The card with its name, layers and tensors called so."""
    first = card.layers[0]
    layers = (replace(first, info=replace(first.info, label=text), tensors=(text,)), *card.layers[1:])
    inputs = tuple({**end, "name": text, "in_file": text} for end in card.inputs)
    return replace(card, name=text, layers=layers, inputs=inputs)


def test_names_are_text_and_nothing_else(card: ModelCard) -> None:
    page = Page(html(named(card, EVIL)))
    assert page.count("script") == page.count("img") == 0
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert "<img src=x onerror=hacked=1>" in "".join(page.words)


def test_nothing_is_fetched(card: ModelCard) -> None:
    page = Page(html(named(card, MARKS)))
    assert not any(key in attrs for _, attrs in page.tags for key in ("src", "href", "action", "data"))
    policy = next(attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    assert policy is not None and policy.startswith("default-src 'none'")


@pytest.mark.parametrize("text", [MARKS, EVIL, "a\nb\n# c", "|", "`", "``", " ", "", "x" * 5000])
def test_names_are_no_markup_in_markdown(card: ModelCard, text: str) -> None:
    made, plain = markdown(named(card, text)), markdown(named(card, "x"))
    assert len(made.splitlines()) == len(plain.splitlines())
    assert max(map(len, made.splitlines())) < max(map(len, plain.splitlines())) + 1500
    for line, other in zip(made.splitlines(), plain.splitlines(), strict=True):
        if other.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", other)), line
        if line != other:  # what is left without code is ours
            without = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)
            assert "<b>" not in without and "http" not in without.replace("https://www.st.com", ""), line


def test_boxes_of_the_map_are_the_pieces(card: ModelCard) -> None:
    need = card.memory[0]
    found = memory_map(card, need)
    assert found is not None and need.placement is not None and len(found["boxes"]) == len(need.pieces)
    across, up = WIDTH / len(card.layers), HEIGHT / need.placement.nbytes
    area = sum(piece.nbytes * (piece.last - piece.first + 1) for piece in need.pieces)
    drawn = sum(box["width"] * box["height"] for box in found["boxes"])
    assert drawn == pytest.approx(area * across * up, rel=1e-2)
    tallest = min(float(point.split(",")[1]) for point in found["line"].split())
    assert tallest == pytest.approx(HEIGHT - up * need.peak, abs=0.01)


def test_only_the_largest_boxes_are_drawn(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_module, "MOST_BOXES", 3)
    assert html(card).count("<rect") == 3 and "smaller tensors are not drawn" in html(card)


def test_nothing_to_draw(card: ModelCard) -> None:
    empty = (Lifetime("x", 0, 0, 0),)
    assert memory_map(card, replace(card.memory[0], pieces=empty, placement=place(empty, 1))) is None
    unplaced = replace(card, memory=tuple(replace(need, placement=None) for need in card.memory))
    assert "too many tensors to place" in markdown(unplaced) and "<svg" not in html(unplaced)


def test_without_jinja2_the_error_says_what_to_install(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    html_module.template.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(InputError, match=r"qdqnp\[report\]"):
        html(card)
    assert markdown(card)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_page_opens_in_a_browser(card: ModelCard, tmp_path: Path) -> None:
    """Every host name leads nowhere, so that a request would fail; the page says by itself that there is none."""
    text = html(card).replace("style-src", "script-src 'unsafe-inline'; style-src", 1).replace("</body>", PROBE)
    (tmp_path / "card.html").write_text(text, encoding="utf-8")
    command = [
        *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *(f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (tmp_path / "card.html").as_uri()),
    ]
    page = Page(subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode())
    requests, boxes = next(word for word in page.words if word.startswith("RESULT")).split()[1:]
    assert int(requests) == 0 and int(boxes) > len(card.memory[0].pieces) / 2
    assert f"{card.memory[0].peak:,}" in "".join(page.words)
