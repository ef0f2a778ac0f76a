"""The audit's page in a real browser: it draws, obeys keyboard and theme, loads nothing, and can be read by all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from layerlock.store.local import LocalStore
from tests.audit.browser import Page, chromium
from tests.audit.conftest import Shelf
from tests.audit.pages import ATTACK, TREE, built, drawn, page, write

INK = """
const canvas = document.querySelector(arguments[0] + ' canvas');
const { width, height } = canvas;
const copy = Object.assign(document.createElement('canvas'), { width, height });
const pen = copy.getContext('2d', { willReadFrequently: true });
pen.drawImage(canvas, 0, 0);
const pixels = pen.getImageData(0, 0, width, height).data;
const colours = {};
for (let i = 0; i < pixels.length; i += 16) {
  const colour = pixels.slice(i, i + 4).join();
  colours[colour] = (colours[colour] || 0) + 1;
}
return Object.keys(colours).length;
"""
"""How many colours a chart has: one that is blank has one."""

CONTRAST = """
const light = (text) => {
  const [r, g, b] = text.match(/[\\d.]+/g).map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const colour = getComputedStyle(element).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const poor = new Set();
let looked = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest('script')) continue;
  looked += 1;
  const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) poor.add(`${element.outerHTML.slice(0, 80)} ${contrast.toFixed(2)}`);
}
return [looked, [...poor]];
"""
"""Texts whose contrast is below 4.5 to 1, by the formula of WCAG 2.2 (success criterion 1.4.3)."""

NAMELESS = """
const named = (element) => (element.getAttribute('aria-label') || element.innerText
  || element.closest('label')?.innerText
  || document.getElementById(element.getAttribute('aria-labelledby'))?.innerText || '').trim();
return [...document.querySelectorAll(
  'a, button, input, progress, summary, nav, section, [role=img], [role=group], [role=region]'
)].filter((element) => element.checkVisibility() && !named(element)).map((element) => element.outerHTML.slice(0, 100));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    """Give the browser, one for all of these tests."""
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the address of the page, of a layer that would like to do harm."""
    folder = tmp_path_factory.mktemp("page")
    return write(folder, page(built(Shelf(folder), hostile=True), drawn(LocalStore(folder / "libraries"))))


@pytest.fixture
def shown(browser: Page, address: str) -> Iterator[Page]:
    """Show the page as it is when it is opened; whatever the browser complains of is a failure."""
    browser.prefers("light")
    browser.open(address)
    browser.run("localStorage.clear(); delete document.documentElement.dataset.theme")
    yield browser
    assert browser.troubles() == []


def test_it_draws_and_loads_nothing(shown: Page) -> None:
    for chart in ("#treemap", "#dag"):
        assert shown.run(INK, chart) > 10
    assert shown.run("return performance.getEntriesByType('resource').length") == 0
    assert shown.run("return document.documentElement.scrollWidth <= innerWidth")


def test_hostile_words_are_shown_and_do_nothing(shown: Page) -> None:
    assert shown.run("return window.hacked") is None
    assert shown.all("h1 + .lead")[0].text == ATTACK
    # The chart's own hints are made of the same words.
    hints = shown.run(
        "const map = echarts.getInstanceByDom(document.querySelector('#treemap')); const told = [];"
        "for (let dataIndex = 0; dataIndex < 20; dataIndex += 1) {"
        "  map.dispatchAction({ type: 'showTip', seriesIndex: 0, dataIndex });"
        "  told.push(document.querySelector('.tip')?.innerText);"
        "} return told"
    )
    assert any(ATTACK.replace("/", "_") in (hint or "") for hint in hints)
    assert shown.run("return [window.hacked, document.querySelectorAll('img').length]") == [None, 0]


def test_its_policy_stops_what_is_not_its_own(browser: Page, address: str) -> None:
    browser.open(address)
    browser.troubles()
    browser.run(
        "const made = document.createElement('script'); made.textContent = 'window.hacked = 1';"
        "document.body.append(made);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=x.png onerror=window.hacked=1>')"
    )
    assert browser.run("return window.hacked") is None
    told = browser.troubles()
    assert told and all("Content Security Policy" in message for message in told)


def test_sizes_are_explored_by_keyboard_alone(shown: Page) -> None:
    for _ in range(60):
        shown.press(Keys.TAB)
        if shown.run("return document.activeElement.closest('#parts') !== null"):
            break
    assert shown.focused().startswith("hello")
    assert shown.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    shown.press(Keys.ENTER)
    crumbs = "return [...document.querySelectorAll('#crumbs li')].map((each) => each.innerText.split('\\n')[0].trim())"
    assert [re.sub(r"\s*[\d.]+ [kM]?B$", "", each) for each in shown.run(crumbs)] == ["the layer", "hello"]
    first = shown.focused()
    shown.press(Keys.ARROW_DOWN)
    assert shown.focused() != first
    shown.press(Keys.ARROW_UP, Keys.ARROW_RIGHT)
    assert shown.run("return document.querySelectorAll('#crumbs li').length") == 3
    assert "parts" in (shown.all("#said")[0].get_attribute("textContent") or "")
    shown.press(Keys.BACKSPACE)
    assert shown.focused() == first
    shown.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert shown.run("return document.querySelectorAll('#crumbs li').length") == 1
    assert shown.focused().startswith("hello")


def test_a_rectangle_is_gone_into_by_a_click(shown: Page) -> None:
    before = shown.run(INK, "#treemap")
    shown.run("document.querySelector('#treemap').scrollIntoView({ block: 'center' })")
    shown.run(
        "const place = document.querySelector('#treemap canvas');"
        "const { left, top, width, height } = place.getBoundingClientRect();"
        "for (const kind of ['mousemove', 'mousedown', 'mouseup', 'click']) place.dispatchEvent(new MouseEvent(kind, "
        "{ bubbles: true, clientX: left + width / 3, clientY: top + height / 2 }))"
    )
    shown.until("return document.querySelectorAll('#crumbs li').length > 1")
    assert before > 10 and shown.run(INK, "#treemap") > 10


def test_the_list_tells_of_every_byte_by_package_and_by_kind_in_the_zip_too(shown: Page) -> None:
    total = sum(map(len, TREE.values()))
    shares = (
        "return [...document.querySelectorAll('#parts [data-id] .of:nth-child(3)')]"
        ".map((each) => parseFloat(each.innerText))"
    )
    for selector in ("[data-by=kind]", "[data-bytes=packed]", "[data-by=package]", "[data-bytes=bytes]"):
        (button,) = shown.all(f"#explorer {selector}")
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert sum(shown.run(shares)) == pytest.approx(100, abs=1.5)
    assert f"{total / 1000:.0f} kB" in shown.all("#crumbs")[0].text


def test_a_step_of_the_graph_shows_what_it_needs(shown: Page) -> None:
    before = shown.run(INK, "#dag")
    (button,) = [each for each in shown.all("#derivations button") if each.text == "hello"]
    button.send_keys(Keys.ENTER)
    lit = [row.get_attribute("data-name") for row in shown.all("#derivations tr.lit")]
    assert lit == ["environment-root", "python", "hello", "layer-demo-tree"]
    assert button.get_attribute("aria-pressed") == "true"
    assert shown.run(INK, "#dag") != before
    button.send_keys(Keys.ESCAPE)
    assert shown.all("#derivations tr.lit") == []


def test_it_follows_the_system_until_the_reader_chooses(shown: Page) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = shown.run(ground)
    shown.prefers("dark")
    dark = shown.run(ground)
    assert dark != light
    switch = {each.text: each for each in shown.all("#theme button")}
    switch["Light"].send_keys(Keys.ENTER)
    assert shown.run(ground) == light
    shown.driver.refresh()
    shown.until("return document.querySelector('.command button') !== null")
    assert shown.run(ground) == light
    shown.all("#theme button")[0].click()
    assert shown.run(ground) == dark
    assert [each.get_attribute("aria-pressed") for each in shown.all("#theme button")] == [
        "true",
        "false",
        "false",
    ]


def test_sources_are_filtered(shown: Page) -> None:
    (field,) = shown.all("#filter input")
    field.send_keys("debian BASH")
    assert [row.text.split()[0] for row in shown.all("#source-rows tbody tr") if row.is_displayed()] == [
        "root/bash"
    ]
    assert shown.all("#filter [role=status]")[0].text == "1 of 3"
    field.send_keys(Keys.CONTROL, "a", Keys.DELETE)
    assert all(row.is_displayed() for row in shown.all("#source-rows tbody tr"))


def test_a_command_is_copied(shown: Page) -> None:
    button = shown.all(".command button")[0]
    button.send_keys(Keys.ENTER)
    shown.until("return document.querySelector('.command button').innerText !== 'Copy'")
    assert button.text in ("Copied", "Selected")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(shown: Page, scheme: str) -> None:
    shown.prefers(scheme)
    shown.run("for (const each of document.querySelectorAll('details')) each.open = true")
    looked, poor = shown.run(CONTRAST)
    assert looked > 200 and poor == []


def test_programs_that_read_it_aloud_find_names_and_order(shown: Page) -> None:
    assert shown.run(NAMELESS) == []
    ids = shown.run("return [...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))
    levels = shown.run(
        "return [...document.querySelectorAll('h1, h2, h3')].map((each) => Number(each.tagName[1]))"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    broken = (
        "return [...document.querySelectorAll('a[href^=\"#\"]')]"
        ".filter((each) => !document.querySelector(each.hash)).length"
    )
    assert shown.run(broken) == 0
    assert shown.run(
        "return [...document.querySelectorAll('thead th')].every((each) => each.scope === 'col')"
    )
    assert shown.run("return document.documentElement.lang") == "en"


def test_it_fits_a_narrow_screen(shown: Page) -> None:
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    shown.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert shown.run("return [innerWidth, document.documentElement.scrollWidth <= innerWidth]") == [
            400,
            True,
        ]
    finally:
        shown.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_without_scripts_it_tells_the_same(shown: Page, address: str) -> None:
    shown.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        shown.driver.get(address)
        assert not shown.all("#theme")[0].is_displayed() and not shown.all("#explorer")[0].is_displayed()
        assert shown.all("#derivations")[0].is_displayed() and "hello" in shown.all("#derivations")[0].text
    finally:
        shown.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_where_the_tables_stand_does_not_matter(tmp_path: Path, browser: Page) -> None:
    folder = tmp_path / "a folder with # and spaces"
    folder.mkdir()
    browser.open(write(folder, page(built(Shelf(tmp_path)), drawn(LocalStore(tmp_path / "libraries")))))
    assert browser.run(INK, "#treemap") > 10
    assert browser.troubles() == []
