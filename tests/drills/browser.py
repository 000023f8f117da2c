"""Chromium without a screen, and the pages of a Prefect server as one who looks at them finds their way about."""

import io
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1400,1400",
)
WAIT_SECONDS = 120.0
"""How long a page may take to show something: it takes a second or two."""

T = TypeVar("T")


@contextmanager
def browser() -> Iterator["Pages"]:
    """A browser with nothing remembered; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install '.[dev]'")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium with its driver here: `apt-get install chromium chromium-driver` for this drill")
    with tempfile.TemporaryDirectory(prefix="rinr-browser-", ignore_cleanup_errors=True) as folder:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for flag in (*FLAGS, f"--user-data-dir={folder}"):
            options.add_argument(flag)
        service = webdriver.chrome.service.Service(driver)  # named, so that nothing is looked for on the network
        opened = webdriver.Chrome(options=options, service=service)
        try:
            yield Pages(opened)
        finally:
            opened.quit()


class Pages:
    """What is on the screen, found by the words on it.

    Args:
        driver: selenium's.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    @property
    def address(self) -> str:
        return str(self._driver.current_url)

    def open(self, address: str) -> None:
        self._driver.get(address)

    def text(self) -> str:
        """All words on the page."""
        return str(self._script("return document.body.innerText"))

    def wait_for(self, text: str) -> None:
        """Wait until these words stand on the page."""
        self._until(f"the words {text!r}", lambda: text in self.text())

    def field(self, title: str) -> Any:
        """The box of a form's field, by its title: the pages tie no label to its input."""
        names = f"normalize-space()='{title}' or normalize-space()='{title} (Optional)'"
        path = (
            f"//span[contains(@class,'schema-form-property__label')][{names}]"
            "/ancestor::div[contains(concat(' ',@class,' '),' schema-form-property ')][1]"
        )
        return self._until(f"the field {title!r}", lambda: self._one("xpath", path))

    def fill(self, title: str, value: str) -> None:
        """Write a value in place of what stands in a field."""
        box = self._inside(title, "input, textarea")
        box.send_keys("\ue009", "a")  # Control and A
        box.send_keys(value)

    def choose(self, title: str, value: str) -> None:
        """Choose one of a field's choices."""
        from selenium.webdriver.support.ui import Select

        Select(self._inside(title, "select")).select_by_visible_text(value)

    def click(self, words: str) -> None:
        """Click the button, link or tab with these words."""
        path = f"//*[self::button or self::a or contains(@class,'p-tab')][normalize-space()='{words}']"
        self._until(f"a button {words!r}", lambda: self._one("xpath", path)).click()

    def follow(self, part: str) -> None:
        """Click the first link whose address holds this."""
        path = f"//a[contains(@href,'{part}')]"
        link = self._until(f"a link to {part!r}", lambda: self._one("xpath", path))
        self._script("arguments[0].click()", link)

    def message(self) -> str:
        """What the pages have just said in a corner of the screen."""
        words = "return [...document.querySelectorAll('[class*=toast]')].map(each => each.innerText).find(Boolean)"
        return str(self._until("a message", lambda: self._script(words)))

    def pictures(self) -> list[tuple[int, int]]:
        """Width and height in pixels of each picture that is shown and whole."""
        found = "return [...document.images].filter(i => i.complete).map(i => [i.naturalWidth, i.naturalHeight])"
        return [(width, height) for width, height in self._script(found)]

    def wait_for_picture(self, width: int) -> None:
        """Wait until a picture at least so wide is shown."""
        self._until(f"a picture {width} pixels wide", lambda: any(w >= width for w, _ in self.pictures()))

    def drawing(self) -> Image.Image:
        """The first drawing on the page, as it looks."""
        canvas = self._until("a drawing", lambda: self._one("css selector", "canvas"))
        return Image.open(io.BytesIO(canvas.screenshot_as_png)).convert("RGB")

    def scroll_to(self, title: str) -> None:
        self._script("arguments[0].scrollIntoView({block: 'center'})", self.field(title))

    def photograph(self, place: Path) -> None:
        """Keep what the screen shows, as a JPEG."""
        picture = Image.open(io.BytesIO(self._driver.get_screenshot_as_png())).convert("RGB")
        picture.resize((1100, round(picture.height * 1100 / picture.width)), Image.Resampling.LANCZOS).save(
            place, quality=80, optimize=True, progressive=True
        )

    def _inside(self, title: str, selector: str) -> Any:
        body = f".p-label__body :is({selector})"
        field = self.field(title)
        return self._until(f"the input of {title!r}", lambda: (field.find_elements("css selector", body) or [None])[0])

    def _one(self, by: str, what: str) -> Any:
        return next((each for each in self._driver.find_elements(by, what) if each.is_displayed()), None)

    def _script(self, code: str, *arguments: Any) -> Any:
        return self._driver.execute_script(code, *arguments)

    def _until(self, what: str, look: Callable[[], T]) -> T:
        from selenium.common.exceptions import StaleElementReferenceException

        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                if found := look():
                    return found
            except StaleElementReferenceException:
                pass  # the page was drawn anew while it was looked at
            assert time.monotonic() < end, f"{what} did not appear at {self.address}; there stands:\n{self.text()}"
            time.sleep(0.25)
