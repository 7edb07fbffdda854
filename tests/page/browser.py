"""A chromium that is steered, and the accessibility checker in it."""

import json
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

OUT = Path("work/page")
SERIOUS = {"serious", "critical"}


def start(width=1280, height=900):
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--force-device-scale-factor=1", f"--window-size={width},{height}", "--lang=en-GB",
                     "--disable-background-networking", "--no-first-run", "--enable-precise-memory-info",
                     "--js-flags=--expose-gc"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_page_load_timeout(60)
    driver.set_script_timeout(60)
    return driver


def until(seconds, what, wished):
    """What `wished` gives, once it gives something; fails after `seconds`."""
    begun = time.monotonic()
    while True:
        found = wished()
        if found:
            return found
        if time.monotonic() - begun > seconds:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)


def colours(driver, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def screenshot(driver, name, width, height=None, scale=1):
    """Of the whole page, as wide as given."""
    metrics = {"width": width, "height": height or 900, "deviceScaleFactor": scale, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    time.sleep(0.6)
    full = driver.execute_script("return document.documentElement.scrollHeight")
    metrics["height"] = height or min(full, 6000)
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    time.sleep(0.8)
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width, f"{name}: the page is {wide} pixels wide on a screen of {width}"
    path = OUT / f"{name}.png"
    driver.save_screenshot(str(path))
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return path


def accessible(driver, name):
    """Findings of axe-core, none of them serious; all stand in a file beside the screenshots. None without axe-core."""
    if not (OUT / "axe.min.js").exists():
        return None
    driver.execute_script((OUT / "axe.min.js").read_text())
    found = driver.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(done, (e) => done({error: String(e)}))"
    )
    assert "error" not in found, found
    (OUT / f"{name}.axe.json").write_text(json.dumps(found["violations"], indent=1))
    serious = [v for v in found["violations"] if v["impact"] in SERIOUS]
    told = [(v["id"], v["impact"], [n["target"] for n in v["nodes"]][:5], v["nodes"][0].get("failureSummary")) for v in serious]
    assert not serious, f"{name}: {json.dumps(told, indent=1)}"
    return len(found["violations"])


def complaints(driver):
    """What the browser's console says of scripts and of what the policy forbids."""
    lines = [line["message"] for line in driver.get_log("browser") if line["level"] == "SEVERE"]
    return [line for line in lines if "401" not in line and "429" not in line and "favicon" not in line]
