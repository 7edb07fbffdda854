"""Judges the pages as a person meets them. `judge.py BINARIES [all|node|fleet|written|soak]`"""

import json
import statistics
import sys
import time
import traceback

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import browser
import fleet_judge
from browser import until
from fleet import Fleet
from node import TOKEN, Node

WIDTHS = {"phone": 390, "tablet": 834, "desktop": 1440}
FAILED = []


def promise(name):
    def wrap(function):
        def checked(*arguments):
            begun = time.monotonic()
            try:
                told = function(*arguments) or ""
                print(f"kept    {name}{': ' if told else ''}{told}  ({time.monotonic() - begun:.1f} s)", flush=True)
            except Exception as error:
                FAILED.append(name)
                print(f"BROKEN  {name}: {error}", flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
        return checked
    return wrap


def camera(driver):
    return driver.find_element(By.CSS_SELECTOR, "[data-camera=garden]")


def attribute(driver, name):
    return camera(driver).get_attribute(name)


@promise("a live picture appears")
def live(driver, node):
    driver.get(node.url())
    until(20, "a picture", lambda: driver.find_elements(By.CSS_SELECTOR, "[data-camera=garden][data-live=yes]"))
    wide = driver.execute_script("return document.querySelector('[data-camera=garden] canvas').width")
    assert 640 <= wide < 1280, wide
    look = """
        const image = document.querySelector('[data-camera=garden] canvas'), canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [32, 18];
        const context = canvas.getContext('2d'); context.drawImage(image, 0, 0, 32, 18);
        return Array.from(context.getImageData(0, 0, 32, 18).data).join()"""
    pictures = set()
    until(20, "another picture", lambda: pictures.add(driver.execute_script(look)) or len(pictures) > 2)
    return f"{wide} pixels wide, and moves"


#: Notes at each change of the decision: how long ago its frame was taken, the engine's share of that, and, once a picture
#: had time to come, whether it is the picture of that frame.
WATCHED = """
    window.delays = [];
    const element = document.querySelector('[data-camera=garden]'), { dataset } = element;
    new MutationObserver(() => {
        const delay = [Date.now() - Date.parse(dataset.time), Number(dataset.latency)], frame = dataset.frame;
        setTimeout(() => window.delays.push([...delay, dataset.frame !== frame ? null : dataset.picture === frame]), 350);
    }).observe(element, { attributes: true, attributeFilter: ['data-time'] });"""


def delays(driver, count):
    driver.execute_script(WATCHED)
    until(60, f"{count} decisions", lambda: driver.execute_script("return window.delays.length") >= count)
    return driver.execute_script("return window.delays")


@promise("every decision is shown within a second of its frame, with the picture it was made from")
def quick(driver, node):
    """With a model that costs nothing: what is measured is the way from the camera to the eye."""
    driver.get(node.url())
    until(20, "a picture", lambda: driver.find_elements(By.CSS_SELECTOR, "[data-camera=garden][data-live=yes]"))
    # The page has settled when the first are through.
    found = delays(driver, 22)[2:]
    whole = [delay for delay, _, _ in found]
    assert max(whole) < 1000, found
    belongs = [same for _, _, same in found if same is not None]
    assert len(belongs) >= 10 and all(belongs), found
    return (f"{len(found)} decisions, median {statistics.median(whole):.0f} ms, longest {max(whole)} ms after the frame was taken; "
            f"{len(belongs)} looked at beside their picture, all of the same frame")


@promise("with the shipped model the way beside the engine's is as short")
def decisions(driver, _node):
    found = delays(driver, 10)
    whole, way = [delay for delay, _, _ in found], [delay - latency for delay, latency, _ in found]
    # How long the engine takes is the machine's affair; this is the page's.
    assert max(way) < 1000, found
    return (f"{len(found)} decisions, median {statistics.median(whole):.0f} ms, longest {max(whole)} ms; "
            f"without the engine's share {statistics.median(way):.0f} and {max(way):.0f} ms")


@promise("every region of a frame shows its answer, and each can be chosen")
def regions(driver, node):
    driver.get(node.url())
    until(30, "boxes", lambda: len(driver.find_elements(By.CSS_SELECTOR, ".regions .box")) > 3)
    until(10, "a choice", lambda: driver.find_element(By.CSS_SELECTOR, ".picker select").is_displayed())
    seen = node.state()["cameras"][0]["decision"]["regions"]
    boxes = driver.find_elements(By.CSS_SELECTOR, ".regions .box")
    assert len(boxes) == len(seen), (len(boxes), len(seen))
    order = [(-region["taxon"]["depth"], -region["probability"]) for region in seen]
    assert order == sorted(order), "the surest are not first"
    select = driver.find_element(By.CSS_SELECTOR, ".picker select")
    wanted = select.find_elements(By.TAG_NAME, "option")[-1].get_attribute("value")
    select.send_keys(Keys.END, Keys.ENTER)
    driver.execute_script("document.activeElement.blur()")
    until(5, "the chosen", lambda: driver.execute_script(
        "return document.querySelector('.picker select').value === arguments[0] && document.querySelectorAll('.box.looked').length === 1", wanted))
    place = driver.execute_script("""
        const box = document.querySelector('.box.looked').getBoundingClientRect(), all = document.querySelector('.regions').getBoundingClientRect();
        return [(box.x - all.x) / all.width, (box.y - all.y) / all.height, (box.right - all.x) / all.width, (box.bottom - all.y) / all.height];""")
    box = next(region["box"] for region in seen if region["name"] == wanted)
    assert all(abs(one - other) < 0.02 for one, other in zip(place, box)), (place, box)
    browser.screenshot(driver, "node-regions", WIDTHS["tablet"])
    browser.accessible(driver, "node-regions")
    driver.execute_script("document.querySelector('.regions .box').click()")
    return f"{len(seen)} tiles; {wanted} chosen with the keyboard"


@promise("a lineage with probabilities and the threshold says why it stopped")
def lineage(driver, _node):
    rungs = until(20, "rungs", lambda: driver.find_elements(By.CSS_SELECTOR, ".ladder li"))
    assert len(rungs) >= 3, len(rungs)
    ok = driver.execute_script("""
        return [...document.querySelectorAll('.ladder .bar')].every((bar) => {
            const share = parseFloat(bar.style.getPropertyValue('--share')), all = bar.getBoundingClientRect();
            const fill = bar.querySelector('i').getBoundingClientRect(), cut = bar.querySelector('b').getBoundingClientRect();
            const at = parseFloat(bar.style.getPropertyValue('--cut-at'));
            return Math.abs(fill.width / all.width * 100 - share) < 2 && Math.abs((cut.x + cut.width / 2 - all.x) / all.width * 100 - at) < 2;
        })""")
    assert ok, "bars or thresholds are not where their numbers say"
    return driver.find_element(By.CSS_SELECTOR, ".why").text


@promise("the dial changes the threshold that is published")
def dial(driver, node):
    before = [json.loads(payload)["threshold"] for _, payload in node.on("fieldmark/pond-node/info")][-1]
    slider = driver.find_element(By.ID, "target")
    slider.send_keys(Keys.HOME)
    driver.find_element(By.ID, "set-target").click()
    said = until(10, "the reply", lambda: driver.find_element(By.ID, "said-target").text)
    assert said.startswith("Done"), said
    now = until(5, "another info", lambda: [
        json.loads(payload)["threshold"] for _, payload in node.on("fieldmark/pond-node/info")][-1:])
    assert now[0] != before, (before, now)
    replies = [json.loads(payload) for _, topic, payload in node.heard if "/reply/page-" in topic]
    assert {"accepted", "done"} <= {reply["state"] for reply in replies}, replies
    return f"mosquitto_sub heard {before:.2f} -> {now[0]:.2f}; the page says: {said}"


@promise("the watch list is set, and what the model does not know is refused with a reason")
def watch(driver, _node):
    field = driver.find_element(By.ID, "taxa")
    field.clear()
    field.send_keys("Insecta\nAves\nMammalia")
    driver.find_element(By.ID, "set-watch").click()
    said = until(10, "the reply", lambda: driver.find_element(By.ID, "said-watch").text)
    assert said.startswith("Done"), said
    field.clear()
    field.send_keys("Insekta")
    driver.find_element(By.ID, "set-watch").click()
    refused = until(10, "a refusal", lambda: (t := driver.find_element(By.ID, "said-watch").text).startswith("Refused") and t)
    field.clear()
    field.send_keys("Insecta\nAves\nMammalia")
    driver.find_element(By.ID, "set-watch").click()
    until(10, "the reply", lambda: driver.find_element(By.ID, "said-watch").text.startswith("Done"))
    return refused


@promise("everything can be reached and worked with the keyboard alone")
def keyboard(driver, node):
    driver.get(node.url())
    until(20, "a picture", lambda: driver.find_elements(By.CSS_SELECTOR, "[data-camera=garden][data-live=yes]"))
    reached = []
    for _ in range(40):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        name = driver.execute_script("return document.activeElement.id || document.activeElement.className || document.activeElement.tagName")
        if name == "BODY" or (reached and name == reached[0]):
            break
        ring = driver.execute_script("return getComputedStyle(document.activeElement).outlineWidth")
        assert ring != "0px", f"{name} shows no focus"
        reached.append(name)
    for wanted in ("skip", "target", "keep-target", "set-target", "taxa", "set-watch"):
        assert wanted in reached, (wanted, reached)
    place = "return document.activeElement.closest('#day [data-path]')?.dataset.path"
    driver.execute_script("document.querySelector('#day summary').focus()")
    before, counts = driver.execute_script(place), driver.find_element(By.ID, "day").text
    assert before
    until(30, "another count", lambda: driver.find_element(By.ID, "day").text != counts)
    assert driver.execute_script(place) == before, "the focus went when the tree was drawn anew"
    return f"{len(reached)} stops, and the focus stays where counts change"


@promise("nobody's console complains, and nothing is loaded from elsewhere")
def quiet(driver, node):
    complaints = browser.complaints(driver)
    assert not complaints, complaints
    names = driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert names and all(name.startswith(node.url("")) for name in names), names
    return f"{len(names)} resources"


def look_over(driver, page):
    found = []
    for scheme in ("light", "dark"):
        browser.colours(driver, scheme)
        for name, width in WIDTHS.items():
            browser.screenshot(driver, f"{page}-{name}-{scheme}", width)
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            found.append(browser.accessible(driver, f"{page}-{name}-{scheme}"))
            driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.colours(driver, "light")
    if None in found:
        return "screenshots ONLY: axe-core could not be had, and nobody looked for barriers"
    return f"{sum(found)} minor findings in {len(found)} looks"


@promise("screenshots, and axe-core finds nothing serious, light and dark, at three widths")
def looks(driver, _node):
    return look_over(driver, "node")


@promise("a camera that goes is shown within two seconds")
def loss(driver, node):
    (node.path / "garden").rename(node.path / "away")
    begun = until(20, "the daemon's word", lambda: next(
        (at for at, payload in node.on("fieldmark/pond-node/garden/status") if json.loads(payload)["state"] == "lost"), None))
    until(10, "the page's word", lambda: attribute(driver, "data-state") == "lost")
    shown = time.time() - begun
    text = driver.find_element(By.CSS_SELECTOR, "[data-camera=garden] .over").text
    assert "Camera lost" in text, text
    assert shown < 2, f"{shown:.2f} s after the broker"
    browser.screenshot(driver, "node-lost", WIDTHS["tablet"])
    (node.path / "away").rename(node.path / "garden")
    until(20, "the camera's return", lambda: attribute(driver, "data-state") == "streaming")
    return f"{shown * 1000:.0f} ms after the broker heard of it"


@promise("a page in the background asks for nothing")
def background(driver, node):
    driver.switch_to.new_window("tab")
    until(10, "no viewer", lambda: (s := node.state()["viewers"])["live"] == 0 and s["pages"] == 0)
    driver.close()
    driver.switch_to.window(driver.window_handles[0])
    until(10, "a viewer", lambda: node.state()["viewers"]["live"] == 1)


@promise("a node that stops is told of")
def gone(driver, node):
    node.daemon.terminate()
    node.daemon.wait(30)
    until(10, "the banner", lambda: driver.find_element(By.ID, "gone").is_displayed())
    node.start()
    until(30, "its return", lambda: not driver.find_element(By.ID, "gone").is_displayed())


@promise("a wrong token is refused, the right one lets in, and leaving is leaving")
def token(driver, node):
    driver.get(node.url())
    assert driver.current_url.endswith("/login"), driver.current_url
    for scheme in ("light", "dark"):
        browser.colours(driver, scheme)
        browser.accessible(driver, f"login-{scheme}")
        browser.screenshot(driver, f"login-{scheme}", WIDTHS["phone"], 700)
    browser.colours(driver, "light")
    field = driver.find_element(By.ID, "token")
    field.send_keys("not the token", Keys.ENTER)
    said = until(5, "a refusal", lambda: driver.find_element(By.ID, "said").text)
    assert "not the token" in said, said
    field.clear()
    field.send_keys(TOKEN, Keys.ENTER)
    until(10, "the page", lambda: driver.find_elements(By.CSS_SELECTOR, "[data-camera=garden][data-live=yes]"))
    # A page that only shows offers no settings.
    assert not driver.find_element(By.ID, "control-card").is_displayed()
    driver.find_element(By.ID, "leave").click()
    until(10, "the login", lambda: driver.current_url.endswith("/login"))
    driver.get(node.url())
    assert driver.current_url.endswith("/login"), driver.current_url
    return said


def of_fleet(driver, fleet):
    for name, check in fleet_judge.CHECKS:
        promise(name)(check)(driver, fleet)

    @promise("screenshots of the fleet, and axe-core finds nothing serious, light and dark, at three widths")
    def looked(driver):
        return look_over(driver, "fleet")
    looked(driver)

    @promise("nobody's console complains of the fleet's page")
    def complained(driver):
        complaints = browser.complaints(driver)
        assert not complaints, complaints
    complained(driver)


def written(driver):
    """What the trainer writes: pages without a server, from `work/page/written` where `tests/page/written` left them."""
    pages = sorted((browser.OUT / "written").glob("*.html"))
    if not pages:
        return print("SKIPPED: there is no page of the trainer's in work/page/written", flush=True)
    for page in pages:
        @promise(f"{page.name} is read on a phone and a desktop, loads nothing, and axe-core finds nothing serious")
        def opened(driver, page=page):
            driver.get(page.resolve().as_uri())
            loaded = driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
            assert not [name for name in loaded if not name.startswith(("data:", "file:"))], loaded
            complaints = browser.complaints(driver)
            assert not complaints, complaints
            return look_over(driver, page.stem)
        opened(driver)


def at(driver, stand, checks):
    try:
        for check in checks:
            check(driver, stand)
    finally:
        # A page whose server is gone asks again and again, and the console says so.
        driver.get("about:blank")
        browser.complaints(driver)
        stand.stop()


def of_node(driver, binaries):
    at(driver, Node(binaries, page="live_fps = 6", rate=2.0, toy=True), [quick])
    tiles = "rate_hz = 1.0\nregions = {kind = \"tiles\", tile_px = 480, overlap = 0.0}\n"
    at(driver, Node(binaries, page="live_fps = 6", cameras={"garden": tiles}), [regions])
    at(driver, Node(binaries, page="live_fps = 6"),
              [live, decisions, lineage, dial, watch, keyboard, quiet, looks, loss, background, gone])
    at(driver, Node(binaries, page="token_file = \"TOKENFILE\"\nread_only = true"), [token])


def judge(binaries, what="all"):
    driver = browser.start()
    try:
        if what in ("all", "node"):
            of_node(driver, binaries)
        if what in ("all", "fleet"):
            at(driver, Fleet(binaries), [of_fleet])
        if what in ("all", "written"):
            written(driver)
    finally:
        driver.quit()


def soak(binaries, minutes=3):
    """The page open for minutes: memory of daemon and browser, document and listeners, before and after."""
    driver = browser.start()
    node = Node(binaries, page="live_fps = 6", rate=5.0)
    try:
        driver.get(node.url())
        until(20, "a picture", lambda: driver.find_elements(By.CSS_SELECTOR, "[data-camera=garden][data-live=yes]"))
        driver.execute_cdp_cmd("Performance.enable", {})

        def now():
            for _ in range(3):
                driver.execute_script("gc()")
            found = {m["name"]: m["value"] for m in driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]}
            with open(f"/proc/{node.daemon.pid}/status") as status:
                rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
            parts = driver.execute_script("""
                const count = (at) => document.querySelectorAll(`${at} *`).length;
                return { elements: document.querySelectorAll('*').length, tracks: count('#tracks'), day: count('#day'), camera: count('.camera'), health: count('#health') };""")
            return {"rss_mb": rss, "heap_mb": found["JSHeapUsedSize"] / 1e6, "nodes": found["Nodes"],
                    "listeners": found["JSEventListeners"], "decisions": float(attribute(driver, "data-decision")), **parts}
        # What fills up to a limit is full by then: tracks (as many as the scenes give), the day's taxa.
        sizes = []
        while len(sizes) < 4 or (len(set(sizes[-4:])) > 1 and len(sizes) < 24):
            time.sleep(10)
            sizes.append(len(driver.find_elements(By.CSS_SELECTOR, "#tracks > li")))
        print(f"tracks, every 10 s: {sizes}", flush=True)
        rows = [now()]
        for _ in range(minutes * 3):
            time.sleep(20)
            rows.append(now())
        for row in rows:
            print("  ".join(f"{key} {value:.1f}" for key, value in row.items()), flush=True)
        # The first third against the last: a step is no growth.
        third = max(len(rows) // 3, 1)
        for key, most in {"rss_mb": 4, "heap_mb": 1, "nodes": 60, "listeners": 10}.items():
            early, late = (statistics.median(row[key] for row in part) for part in (rows[:third], rows[-third:]))
            print(f"{key}: {early:.1f} in the first minute, {late:.1f} in the last")
            if late > early + most:
                FAILED.append(f"{minutes} minutes without growth of {key}")
    finally:
        node.stop()
        driver.quit()


if __name__ == "__main__":
    if sys.argv[2:] == ["soak"]:
        soak(sys.argv[1])
    else:
        judge(*sys.argv[1:])
    sys.exit(f"broken: {', '.join(FAILED)}" if FAILED else 0)
