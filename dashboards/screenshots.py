"""Pictures of the dashboards as their readers see them, in headless Chromium; a chart with an error fails the run."""

import io
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx
from PIL import Image

from dashboards.specification import Dashboard
from infra.runtime.errors import BadArgumentsError, CustomsError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response

WIDTH = 1600
_MOST_BYTES = 300_000
_GRID_UNIT = 8
# page head, filter bar, intro, margins between rows
_AROUND = 285
_LOAD_MILLISECONDS = 120_000
_SETTLE_MILLISECONDS = 2_500
_COLORS = (256, 128, 64, 32)
_BUSY = ".loading, [data-test='loading-indicator'], .ant-spin-spinning"
_CHART = "[data-test-chart-name]"
_FAULT = ".ant-alert-error"
# charts that neither drew nor failed yet
_WAITING = f"""count => {{
  const charts = [...document.querySelectorAll("{_CHART}")];
  const done = charts.filter(chart => chart.querySelector(".slice_container, {_FAULT}"));
  return done.length >= count && document.querySelectorAll("{_BUSY}").length === 0;
}}"""

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
_SUFFIXES = {"light": "", "dark": "-dark"}


class DrawingError(CustomsError):
    """A dashboard did not draw as it should."""


def chromium() -> str:
    """Return the system's Chromium.

    Raises:
        BadArgumentsError: there is none.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise BadArgumentsError(
        "No Chromium found: install it (`apt-get install chromium`), the pictures are drawn with it."
    )


def draw(
    url: str,
    passwords: Mapping[str, str],
    dashboards: list[Dashboard],
    out: Path,
    *,
    themes: tuple[Theme, ...] = THEMES,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Draw each dashboard as ``<out>/<slug>.png`` and, dark, ``<slug>-dark.png``; 1600 pixels wide, at most 300 kB.

    Args:
        url: Superset's address.
        passwords: of the account of each role; the first role of a page looks at it.
        dashboards: specs of the pages to draw.
        out: folder of the pictures; made if needed.
        themes: themes to draw.
        say: receives one progress line per picture.

    Raises:
        DrawingError: a chart shows an error or never finishes; the message names the page and the fault.
    """
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    pictures = []
    with sync_playwright() as playwright:
        # no name but our own resolves: what draws here draws on a closed network
        browser = playwright.chromium.launch(
            executable_path=chromium(),
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"],
        )
        try:
            for theme in themes:
                for account in dict.fromkeys(dashboard.roles[0] for dashboard in dashboards):
                    page = _logged_in(browser, url, account, passwords[account], theme)
                    for dashboard in [one for one in dashboards if one.roles[0] == account]:
                        say(f"{dashboard.slug}, {theme}")
                        picture = out / f"{dashboard.slug}{_SUFFIXES[theme]}.png"
                        picture.write_bytes(_shrunk(_picture(page, url, dashboard)))
                        pictures.append(picture)
                    page.context.close()
        finally:
            browser.close()
    return pictures


def _logged_in(browser: "Browser", url: str, account: str, password: str, theme: Theme) -> "Page":
    context = browser.new_context(viewport={"width": WIDTH, "height": 1200}, color_scheme=theme)
    page = context.new_page()
    page.set_default_timeout(_LOAD_MILLISECONDS)
    page.goto(f"{url}/login/")
    page.fill("#username", account)
    page.fill("#password", password)
    page.press("#password", "Enter")
    page.wait_for_url(lambda address: "/login" not in address)
    return page


def _picture(page: "Page", url: str, dashboard: Dashboard) -> bytes:
    from playwright.sync_api import TimeoutError as PlaywrightTimeout

    refused: list[str] = []

    def note(answer: "Response") -> None:
        if answer.status >= httpx.codes.BAD_REQUEST and ("chart/data" in answer.url or "explore_json" in answer.url):
            refused.append(f"{answer.status} {answer.url.removeprefix(url)[:120]}")

    page.on("response", note)
    # charts below the fold are only drawn when they come into view, so the window is as tall as the page
    height = _AROUND + sum((max(c.height or row.height for c in row.charts) + 3) * _GRID_UNIT for row in dashboard.rows)
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.goto(f"{url}/superset/dashboard/{dashboard.slug}/")
    expected = sum(1 for _ in dashboard.charts())
    try:
        page.wait_for_function(_WAITING, arg=expected)
        page.wait_for_load_state("networkidle")
    except PlaywrightTimeout as error:
        raise DrawingError(
            f"Dashboard {dashboard.slug} did not finish drawing {expected} charts in {_LOAD_MILLISECONDS // 1000} s: "
            "publish it again and look at superset.log in the logs folder."
        ) from error
    page.wait_for_timeout(_SETTLE_MILLISECONDS)
    faults = []
    for chart in page.query_selector_all(_CHART):
        if fault := chart.query_selector(_FAULT):
            text = " ".join(fault.inner_text().split())[:200]
            faults.append(f"chart {chart.get_attribute('data-test-chart-name')!r}: {text}")
    page.remove_listener("response", note)
    if refused or faults:
        raise DrawingError(
            f"Dashboard {dashboard.slug} shows errors: {'; '.join([*refused, *faults])}. "
            "Run `customs dashboards publish` and look at superset.log in the logs folder."
        )
    return page.screenshot()


def _shrunk(picture: bytes) -> bytes:
    """Return the picture as a PNG with as many colours as fit into 300 kB."""
    with Image.open(io.BytesIO(picture)) as image:
        plain = image.convert("RGB")
    for colors in _COLORS:
        target = io.BytesIO()
        plain.quantize(colors=colors, dither=Image.Dither.NONE).save(target, "PNG", optimize=True)
        if target.tell() <= _MOST_BYTES:
            break
    return target.getvalue()
