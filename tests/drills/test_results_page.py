"""The results page in a browser: at two widths, in both themes, by keyboard, and without a network."""

import itertools

import pytest

from benchmarks.results.documents import PAGE
from tests.drills.browser import browser

WIDTHS = (1280, 390)
THEMES = ("light", "dark")

pytestmark = pytest.mark.drill


def test_results_page(capsys: pytest.CaptureFixture[str]) -> None:
    with browser() as pages:
        driver = pages._driver
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["http://*", "https://*"]})
        seen = {}
        for width, theme in itertools.product(WIDTHS, THEMES):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
            pages.open(PAGE.as_uri())
            inside = driver.execute_script("return document.documentElement.scrollWidth")
            assert inside <= width, f"{theme}, {width} pixels: the page is {inside} wide and scrolls sideways"
            seen[width, theme] = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
            loaded = driver.execute_script("return [...document.images].every(image => image.naturalWidth > 0)")
            assert loaded, "a picture did not load"
        assert len({seen[1280, theme] for theme in THEMES}) == 2, "the page looks alike in both themes"
        moved = _by_keyboard(driver)
        loaded = driver.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
        assert not [name for name in loaded if not name.startswith("data:")]
        assert not driver.get_log("browser")
    with capsys.disabled():
        print(f"results page: {len(seen)} looks, no sideways scrolling; sliders moved by keyboard: {moved}")


def _by_keyboard(driver) -> int:
    """Each slider cuts its picture elsewhere after an arrow key; how many there are."""
    from selenium.webdriver.common.keys import Keys

    sliders = driver.find_elements("css selector", ".slider")
    for slider in sliders:
        before = slider.find_element("css selector", "img.left").get_attribute("style")
        slider.find_element("css selector", "input[type=range]").send_keys(Keys.ARROW_RIGHT)
        assert slider.find_element("css selector", "img.left").get_attribute("style") != before
    return len(sliders)
