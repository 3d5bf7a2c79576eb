"""The report of a run in a real browser, where one is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.report.results import refresh_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-headless-shell", "google-chrome"))), None)
MEASURE = """<script>
const pictures = [...document.querySelectorAll("svg")].map(picture => picture.getBoundingClientRect());
const empty = pictures.filter(box => box.width < 50 || box.height < 20).length;
const parts = [...document.querySelectorAll("svg path, svg text")].map(part => part.getBoundingClientRect());
const drawn = parts.filter(box => box.width + box.height > 0).length;
const wider = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.body.innerHTML = `measured ${pictures.length} ${empty} ${drawn} ${wider} ${innerWidth}`;
</script></body>"""


def browse(page: Path, *options: str, width: int = 1200) -> subprocess.CompletedProcess[str]:
    """Open a page in Chromium without a window; its console goes to stderr."""
    assert BROWSER
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={page.parent / 'home'}"]
    seen = ["--enable-logging=stderr", "--v=0", f"--window-size={width},2000", *options, page.as_uri()]
    return subprocess.run([BROWSER, *quiet, *seen], capture_output=True, text=True, check=True, timeout=120)


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


@needs_browser
def test_a_browser_has_nothing_to_complain_of(run: Path, tmp_path: Path) -> None:
    report = refresh_report(run)
    assert "CONSOLE" not in browse(report, f"--screenshot={tmp_path / 'page.png'}").stderr
    broken = tmp_path / "broken.html"
    broken.write_text(report.read_text().replace("</body>", "<img src='http://127.0.0.1:9/x.png'></body>"))
    assert "CONSOLE" in browse(broken, f"--screenshot={tmp_path / 'page.png'}").stderr  # a complaint would be seen


@needs_browser
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_draws_every_picture_and_nothing_is_wider_than_its_window(run: Path, width: int) -> None:
    text = refresh_report(run).read_text(encoding="utf-8")
    text = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", MEASURE)  # the page itself runs no script
    measured = run / "measured.html"
    measured.write_text(text, encoding="utf-8")
    found = re.search(r"measured (\d+) (\d+) (\d+) (-?\d+) (\d+)", browse(measured, "--dump-dom", width=width).stdout)
    assert found
    pictures, empty, drawn, wider, window = map(int, found.groups())
    assert (pictures, empty, window) == (8, 0, width)
    assert drawn > 100
    assert wider <= 0


@needs_browser
@pytest.mark.parametrize(("scheme", "paper"), [("1", (253, 253, 251)), ("0", (23, 25, 28))])
def test_the_page_is_light_or_dark_as_the_reader_wishes(
    run: Path, tmp_path: Path, scheme: str, paper: tuple[int, int, int]
) -> None:
    from PIL import Image

    picture = tmp_path / "page.png"
    browse(refresh_report(run), f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}")
    assert Image.open(picture).convert("RGB").getpixel((5, 5)) == paper
