"""An evaluation as a table, Markdown, CSV and a page: complete, escaped, without network; in a browser where there is
one."""

from __future__ import annotations

import csv
import io
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from qdqnp.evaluation.evaluate import data_of, evaluate
from qdqnp.evaluation.result import Evaluation
from qdqnp.evaluation.thumbnails import thumbnails
from qdqnp.inputs.pictures import Preprocessing
from qdqnp.render.evaluation import FIELDS, csv_text, markdown, print_evaluation
from qdqnp.render.evaluation_html import MOST_CLASSES, evaluation_html
from tests.evaluation.kit import COLOURS, network, picture, png
from tests.render.test_reports import CHROMIUM, EVIL, Page

DIVIDED = Preprocessing(divisor=8)
SWAPPED = COLOURS[[1, 0, 2]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, dict[int, str]]:
    """Pictures whose file, class and column names are hostile; one is damaged, one grey, and green and red flip."""
    folder = tmp_path_factory.mktemp("d") / "data"
    folder.mkdir()
    name = EVIL.replace("/", "").replace("\x00", "").replace('"', "")[:60]
    lines = []
    for number, data in enumerate((png(0), png(1), png(2), png(0)[:40])):
        (folder / f"{number}{name}.png").write_bytes(data)
        lines.append(f"{number}{name}.png\t{number % 3}")
    (folder / "labels.txt").write_text("\n".join(lines), encoding="utf-8")
    names = [f"{EVIL}{number}" for number in range(3)]
    models = {EVIL: network(), f"swapped {EVIL}": network(SWAPPED), "=cmd()": network(SWAPPED)}
    data = data_of(folder, None, names)
    made = evaluate(models, data, preprocessing=DIVIDED, class_names=names, skip_bad=True)
    return made, thumbnails(made, data)


def test_markdown_is_one_table_whatever_the_names(found: tuple[Evaluation, dict[int, str]]) -> None:
    text = markdown(found[0])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", row) for row in rows]
    assert len(rows) == 2 + 3 and {len(row) for row in cells} == {10}
    assert not re.search(r"(?<!\\)<", text) and " 100.00 " in cells[2] and " 33.33 " in cells[3]


def test_csv_reads_back(found: tuple[Evaluation, dict[int, str]]) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(found[0]))))
    assert len(rows) == 3 and tuple(rows[0]) == FIELDS
    for row, one in zip(rows, found[0].columns, strict=True):
        assert (int(row["inputs"]), int(row["top1"]), int(row["same_bits"])) == (3, one.top1, one.same_bits)
        assert (float(row["top1_low"]), float(row["top1_high"])) == one.interval(one.top1)
        assert row["top5"] == "" and row["not_evaluated"] == "1" and int(row["flips"]) == len(one.flips)
    assert rows[2]["column"] == "'=cmd()"


def test_the_terminal_says_what_flipped_and_what_is_bad(
    found: tuple[Evaluation, dict[int, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    print_evaluation(found[0])
    text = capsys.readouterr().out
    assert "flipped in 'swapped" in text and "not evaluated: 1 input: no readable picture" in text
    assert "\x1b" not in text and "95 % interval" in text


def test_the_page_is_text_and_asks_for_nothing(found: tuple[Evaluation, dict[int, str]]) -> None:
    text = evaluation_html(*found)
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "form", "a"}
    assert page.count("img") == 4  # green and red, in both of the columns where they flip
    assert all(attributes["src"].startswith("data:image/png;base64,") for tag, attributes in page.tags if tag == "img")
    assert not re.search(r"https?:|url\(|@import", text)
    assert "hacked" in "".join(page.words) and "\x1b" not in text
    assert page.count("td") > 3 * 9


def test_of_many_classes_the_confusions_are_listed() -> None:
    weights = np.zeros((MOST_CLASSES + 1, 3), np.float32)
    weights[:3] = COLOURS
    made = evaluate(network(weights), [(picture(0), 7), (picture(0), 7), (picture(1), 8)], preprocessing=DIVIDED)
    text = evaluation_html(made, {})
    assert "The most frequent confusions" in text and 'class="matrix"' not in text
    assert re.search(r"<td>7</td><td>0</td><td class=\"number\">2</td>", text)


# What Chromium asks for by itself: the time, accounts, features. No page of ours has an address at all (see above).
OWN = re.compile(r"https?://([\w-]+\.)*google(apis)?\.com/")


def opened(folder: Path, text: str) -> tuple[Page, list[str]]:
    """The page as a browser has it for which no name resolves, and the addresses that it asked for."""
    folder.mkdir()
    (folder / "page.html").write_text(text, encoding="utf-8")
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    command = [
        *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", *quiet),
        *("--host-resolver-rules=MAP * ~NOTFOUND", f"--log-net-log={folder / 'net.json'}"),
        *(f"--user-data-dir={folder / 'profile'}", (folder / "page.html").as_uri()),
    ]
    page = Page(subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode())
    log = (folder / "net.json").read_text(encoding="utf-8", errors="replace")
    asked = re.findall(r'"url":"((?:https?|wss?|ftp):[^"]*)"', log)
    return page, [address for address in asked if not OWN.match(address)]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_in_a_browser_that_reaches_nothing(tmp_path: Path, found: tuple[Evaluation, dict[int, str]]) -> None:
    page, asked = opened(tmp_path / "ours", evaluation_html(*found))
    words = "".join(page.words)
    assert asked == [] and page.count("img") == 4
    assert "33.33" in words and "100.00" in words and "2 flipped" in words
    _, asked = opened(tmp_path / "other", "<img src='http://example.invalid/x.png'>")
    assert asked and set(asked) == {"http://example.invalid/x.png"}
