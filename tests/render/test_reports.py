"""JUnit XML and the HTML report: well formed, complete, escaped, without network; in a browser where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.compare.status import FAULT
from qdqnp.diagnosis.tally import Tally
from qdqnp.errors import InputError
from qdqnp.render import html as html_module
from qdqnp.render.html import MAX_CELLS, heat_map, histogram, html
from qdqnp.render.junit import junit
from tests.diagnosis.compare.test_compare import CONVS, after, disturbed
from tests.diagnosis.small import report, tensors

EVIL = "</script><script>window.hacked=1</script><img src=x onerror=hacked=1>\"'&{{ 7*7 }}../../etc/\x00\x1b[31m\ufffe"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (path := shutil.which(name))), None
)


@pytest.fixture()
def found() -> CompareReport:
    made = report(after(CONVS[5], disturbed(CONVS[5])))
    row = next(row for row in made.rows if row.name == CONVS[5])
    row.name = row.label = row.entry = EVIL
    row.segment, row.starts, row.notes = [EVIL], [EVIL], (EVIL,)
    return made


class Page(HTMLParser):
    """Tags, and what stands between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_names_are_text_and_nothing_else(found: CompareReport) -> None:
    page = Page(html(found, EVIL))
    assert page.count("script") == 1 and page.count("img") == 0
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert any("<img src=x onerror=hacked=1>" in text for text in page.words)
    assert any("{{ 7*7 }}" in text for text in page.words) and not any("49../" in text for text in page.words)


def test_nothing_is_fetched(found: CompareReport) -> None:
    page = Page(html(found, "a"))
    assert not any(key in attrs for _, attrs in page.tags for key in ("src", "action", "data"))
    assert all((attrs["href"] or "").startswith("#layer-") for _, attrs in page.tags if "href" in attrs)
    policy = next(attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    assert policy is not None and policy.startswith("default-src 'none'")


def test_every_layer_has_a_row_with_its_numbers(found: CompareReport) -> None:
    page = Page(html(found, "a"))
    groups = [attrs for tag, attrs in page.tags if tag == "tbody"]
    assert len(groups) == len(found.rows)
    for attrs, row in zip(groups, found.rows, strict=True):
        assert float(attrs["data-single"] or 0) == row.single.differing / row.single.elements
        assert attrs["data-status"] == row.status
    maps = sum("map" in (attrs.get("class") or "") for tag, attrs in page.tags if tag == "svg")
    assert maps - 1 == sum(row.entire.differing > 0 for row in found.rows) > 5  # one of them twice: it is the first


def test_the_page_opens_with_the_verdict_the_chart_and_the_first_layer(found: CompareReport) -> None:
    text = html(found, "a")
    parts = ('class="verdict bad"', 'class="depth"', 'class="first"', '<svg class="map"', '<table id="layers"')
    assert sorted(parts, key=text.index) == list(parts)
    page = Page(text)
    bars = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    groups = [attrs for tag, attrs in page.tags if tag == "tbody"]
    assert bars == [f"#{attrs['id']}" for attrs in groups] and len(set(bars)) == len(found.rows)
    folded = ["hidden" in attrs for attrs in groups]
    assert folded == [not row.entire.differing for row in found.rows] and any(folded) and not all(folded)
    good = Page(html(report(tensors()), "a"))
    assert not any("hidden" in attrs for tag, attrs in good.tags if tag == "tbody")
    assert "First divergence" not in "".join(good.words)


def test_names_may_be_broken_between_words_only() -> None:
    made = html_module._breakable("level3.tree1/conv_2.<b>")
    assert str(made) == "level3.<wbr>tree1/<wbr>conv_<wbr>2.&lt;b&gt;"


def test_without_jinja2_the_error_says_what_to_install(found: CompareReport, monkeypatch: pytest.MonkeyPatch) -> None:
    html_module.template.cache_clear()  # which another test filled
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(InputError, match=r"qdqnp\[report\]"):
        html(found, "a")


def test_heat_maps_keep_every_mismatch() -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (3, 70), (200, 1), (65, 129)):
        places = rng.integers(0, 3, shape)
        made = heat_map(places)
        assert sum(cell["count"] for cell in made["cells"]) == places.sum()
        assert made["height"] <= MAX_CELLS and made["width"] <= MAX_CELLS
        assert all(cell["x"] < made["width"] and cell["y"] < made["height"] for cell in made["cells"])
        where = {
            (int(c) // made["by_channel"], int(r) // made["by_row"]) for c, r in zip(*np.nonzero(places), strict=True)
        }
        assert where == {(cell["y"], cell["x"]) for cell in made["cells"]}


def test_histograms_sum_what_is_far_away_at_their_ends() -> None:
    tally = Tally(histogram=Counter({0: 100, 1: 5, -3: 2, 90: 1, 80: 1, -200: 4}))
    bins = {item["lsb"]: item["count"] for item in histogram(tally)}
    reach = html_module.MAX_BINS // 2
    assert bins[1] == 5 and bins[-3] == 2 and bins[reach] == 2 and bins[-reach] == 4 and 0 not in bins
    assert histogram(Tally(histogram=Counter({0: 3}))) == []


def test_junit_has_a_case_for_each_layer(found: CompareReport) -> None:
    root = ET.fromstring(junit(found, EVIL))
    suite = root[0]
    assert root.tag == "testsuites" and int(suite.attrib["tests"]) == len(found.rows) == len(suite)
    failed = [case for case in suite if case.find("failure") is not None]
    assert len(failed) == int(suite.attrib["failures"]) == len(found.failing) == 1
    assert "<script>" in failed[0].attrib["name"]  # as text: the document has no such element
    assert "\x1b" not in failed[0].attrib["name"] and root.find(".//script") is None
    equal = ET.fromstring(junit(report(tensors()), "good"))[0]
    assert equal.attrib["failures"] == "0"


def test_a_fault_is_named_in_all_of_them() -> None:
    made = report({**tensors(), CONVS[1]: [np.zeros_like(a) for a in tensors()[CONVS[1]]]})
    assert made.first is not None and made.first.status == FAULT
    assert "all zero" in html(made, "a") and b"all zero" in junit(made, "a")


# -- in a browser --------------------------------------------------------------------------------------------------
PROBE = """<script>
{
const say = {errors: window.errors, hacked: typeof window.hacked};
const shown = () => Array.from(document.querySelectorAll("tbody.group")).filter((g) => !g.hidden);
const order = () => shown().map((g) => Number(g.dataset.single));
say.differing = shown().length;
const chart = document.querySelector("svg.depth").getBoundingClientRect();
say.chart = chart.width > 600 && chart.height > 80;
const differing = document.getElementById("differing");
differing.checked = false;
differing.dispatchEvent(new Event("input"));
say.layers = shown().length;
document.querySelector("th[data-key=single]").click();
say.up = order();
document.querySelector("th[data-key=single]").click();
say.down = order();
document.querySelector("th[data-key=op]").click();
say.operators = shown().map((g) => g.dataset.op);
const own = document.getElementById("own");
own.checked = true;
own.dispatchEvent(new Event("input"));
say.own = shown().length;
own.checked = false;
const filter = document.getElementById("filter");
filter.value = "MAXPOOL";
filter.dispatchEvent(new Event("input"));
say.pools = shown().map((g) => g.dataset.op);
const group = shown().find((g) => g.querySelector("svg.map"));
group.querySelector("tr.layer").click();
say.open = !group.querySelector("tr.detail").hidden;
say.height = group.querySelector("svg.map").getBoundingClientRect().height;
document.title = "RESULT" + JSON.stringify(say);
}
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_page_sorts_filters_and_opens_in_a_browser(found: CompareReport, tmp_path: Path) -> None:
    text = html(found, EVIL)
    catch = "<script>window.errors = []; window.onerror = (m) => { window.errors.push(String(m)); };</script>"
    text = text.replace("<head>", "<head>" + catch, 1).replace("</body>", PROBE + "</body>", 1)
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        f"--user-data-dir={tmp_path / 'profile'}",
        (tmp_path / "report.html").as_uri(),
    ]
    page = Page(subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode())
    title = next(word for word in page.words if word.startswith("RESULT"))
    say = json.loads(title.removeprefix("RESULT"))
    assert say["errors"] == [] and say["hacked"] == "undefined"
    assert (
        say["layers"] == len(found.rows)
        and say["chart"]
        and say["own"] == 1
        and say["open"] is True
        and say["height"] > 0
    )
    assert say["up"] == sorted(say["up"]) and say["down"] == sorted(say["up"], reverse=True) and max(say["up"]) > 0
    assert say["differing"] == sum(row.entire.differing > 0 for row in found.rows) < len(found.rows)
    assert say["operators"] == sorted(say["operators"]) and set(say["pools"]) == {"MaxPool"}
