"""Judges the page of a fleet of a thousand nodes."""

import json
import statistics
import urllib.request

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import browser
from browser import until
from fleet import NODES, metrics, rollout

#: Milliseconds in which a click or a letter has to show.
LAG = 100

#: Runs `act`, has everything laid out, and tells how long that took: what the browser is kept from doing anything else for.
TIMED = """
    const done = arguments[0];
    const begun = performance.now();
    (%s)();
    document.body.getBoundingClientRect(); document.getElementById('rows').lastElementChild?.getBoundingClientRect();
    const worked = performance.now() - begun;
    requestAnimationFrame(() => requestAnimationFrame(() => done([worked, performance.now() - begun])));"""


def timed(driver, act, times=7):
    """Milliseconds of work and until it is painted: the median of several."""
    found = [driver.execute_async_script(TIMED % act) for _ in range(times)]
    return [statistics.median(values) for values in zip(*found)]


def names(driver):
    return driver.execute_script("return [...document.querySelectorAll('#rows tr[data-node]')].map((row) => row.dataset.node)")


def shown(driver):
    return driver.execute_script("return Number(document.getElementById('table')?.dataset.shown)")


def opens(driver, fleet):
    until(30, "the broker's word", lambda: len(json.loads(urllib.request.urlopen(fleet.url("/api/fleet")).read())["rows"]) == NODES)
    driver.get(fleet.url())
    until(30, "a full table", lambda: shown(driver) == NODES)
    took = driver.execute_script("return performance.getEntriesByName('whole')[0].startTime")
    text = driver.find_element(By.ID, "sum").text
    assert text.startswith(f"{NODES} nodes"), text
    assert took < 2000, f"{took:.0f} ms from the navigation to the full table"
    return f"{took:.0f} ms from the navigation to the full table; {text}"


def sorts(driver, _fleet):
    click = "() => document.querySelector('[data-by=%s] button').click()"
    found = {}
    for column in ("node", "model", "seen", "rate", "status"):
        worked, painted = timed(driver, click % column)
        assert worked < LAG, f"{column}: {worked:.0f} ms"
        found[column] = f"{worked:.0f}/{painted:.0f}"
    driver.execute_script("document.querySelector('[data-by=hottest] button').click()")
    head = driver.find_element(By.CSS_SELECTOR, "[data-by=hottest]").get_attribute("aria-sort")
    cells = driver.execute_script("return [...document.querySelectorAll('#rows tr[data-node]')].map((row) => Number(row.lastElementChild.textContent))")
    assert head == "descending" and cells == sorted(cells, reverse=True) and cells[0] == 80, (head, cells[:5])
    driver.execute_script("document.querySelector('[data-by=node] button').click()")
    listed = names(driver)
    assert listed == sorted(listed), listed[:5]
    return "ms of work/until painted by column: " + ", ".join(f"{name} {times}" for name, times in found.items())


def filters(driver, fleet):
    found = {}
    for text, wanted in (("orchard", 250), ("unplugged", 14), ("", NODES)):
        act = f"() => {{ const find = document.getElementById('find'); find.value = '{text}'; find.dispatchEvent(new Event('input')); }}"
        worked, painted = timed(driver, act)
        assert worked < LAG, f"{text}: {worked:.0f} ms"
        assert shown(driver) == wanted, (text, shown(driver))
        found[text or "nothing"] = f"{worked:.0f}/{painted:.0f}"
    for kind, wanted in (("offline", 19), ("drift", 12), ("all", NODES)):
        worked, painted = timed(driver, f"() => document.querySelector('[data-kind={kind}]').click()")
        assert worked < LAG and shown(driver) == wanted, (kind, worked, shown(driver))
        found[kind] = f"{worked:.0f}/{painted:.0f}"
    return "ms of work/until painted: " + ", ".join(f"{name} {times}" for name, times in found.items())


def scrolls(driver, _fleet):
    """The last node is reached by scrolling."""
    def down():
        driver.execute_script("const table = document.getElementById('table'); table.scrollTop = table.scrollHeight")
        return len(names(driver)) == NODES
    drawn = len(names(driver))
    assert drawn < NODES / 2, drawn
    until(20, "all rows", down)
    last = driver.execute_script("return Number([...document.querySelectorAll('#rows tr[data-node]')].at(-1).getAttribute('aria-rowindex'))")
    count = driver.execute_script("return Number(document.getElementById('grid').getAttribute('aria-rowcount'))")
    assert count == last == NODES + 1, (count, last)
    assert names(driver) == sorted(fleet_names(driver)), "not in order"
    return f"{drawn} rows at first, {NODES} at the end"


def fleet_names(driver):
    return driver.execute_async_script("fetch('/api/fleet').then((a) => a.json()).then((t) => arguments[0](t.rows.map((row) => row.node)))")


def changes(driver, fleet):
    """What nodes say shows by itself, and does not keep the browser busy."""
    driver.execute_script("""
        window.longest = 0;
        new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration); }).observe({ entryTypes: ['longtask'] });""")
    def told():
        return driver.execute_script("return Number(document.getElementById('table').dataset.changes)")
    for second in range(3):
        before = told()
        for number, name in enumerate(fleet.names):
            fleet.publisher.retain(f"fieldmark/{name}/metrics", metrics(number + second))
        until(10, "changes", lambda: told() > before + 1)
    first = names(driver)[0]
    fleet.publisher.retain(f"fieldmark/{first}/status", "offline")
    until(10, "the status", lambda: driver.execute_script(
        "return document.querySelector('[data-node=\"' + arguments[0] + '\"]').children[1].textContent", first) == "offline")
    fleet.publisher.retain(f"fieldmark/{first}/status", "online")
    rollout(fleet.publisher, "ponds", "done")
    until(10, "the rollout", lambda: "done" in driver.find_element(By.ID, "rollouts").text)
    return f"a thousand nodes that all change: the longest the browser was busy at one time is {driver.execute_script('return window.longest'):.0f} ms (0: never above 50)"


def by_keyboard(driver, _fleet):
    driver.find_element(By.ID, "find").send_keys("hedge", Keys.TAB)
    assert driver.execute_script("return document.activeElement.dataset.kind") == "all"
    driver.switch_to.active_element.send_keys(Keys.TAB, Keys.TAB)
    driver.execute_script("document.querySelector('[data-by=status] button').focus()")
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert driver.find_element(By.CSS_SELECTOR, "[data-by=status]").get_attribute("aria-sort") == "ascending"
    field = driver.find_element(By.ID, "find")
    field.clear()
    field.send_keys(" ", Keys.BACKSPACE)
    driver.execute_script("document.querySelector('[data-by=node] button').click()")


CHECKS = [
    ("the page of a fleet shows a thousand nodes within two seconds", opens),
    ("a thousand nodes are sorted without lag", sorts),
    ("a thousand nodes are filtered without lag", filters),
    ("all rows come as one scrolls", scrolls),
    ("what nodes say shows by itself", changes),
    ("the table is worked with the keyboard", by_keyboard),
]
