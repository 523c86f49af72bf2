"""Opens a page in Chromium and checks it, over the WebDriver protocol with the standard library alone.

    python browser.py PAGE X Y TEXT…

- the text of the page has each TEXT
- the console is empty, and nothing but the page is requested
- pictures of it, wide and narrow, light and dark, are not of one colour, and do not scroll sideways
- the tab key reaches every element that reacts to a key, and no other
- the arrow keys move through the values of the first chart, which has a line Y over an axis X with a 2
"""

import base64
import json
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib

REACTS = "a[href], summary, input, svg[tabindex], [tabindex='0']"
TAB, RIGHT = "\ue004", "\ue014"


class Browser:
    """A session of a driver of its own."""

    def __init__(self, folder, dark):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.driver = subprocess.Popen(
            ["chromedriver", f"--port={self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.session = ""
        arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder}",
        ] + (["--blink-settings=preferredColorScheme=0"] if dark else [])
        capabilities = {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = self.post("/session", {"capabilities": {"alwaysMatch": capabilities}})
                break
            except (ConnectionError, urllib.error.URLError) as error:
                if isinstance(error, urllib.error.HTTPError) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.session = f"/session/{answer['sessionId']}"

    def request(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{self.session}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def post(self, path, body):
        return self.request("POST", path, body)

    def run(self, script, *arguments):
        return self.post("/execute/sync", {"script": script, "args": arguments})

    def press(self, key):
        actions = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self.post("/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def log(self, kind):
        return self.post("/se/log", {"type": kind})

    def close(self):
        try:
            self.request("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()


def colours(png):
    """How many different colours a PNG of bytes without interlacing has."""
    place, data, header = 8, b"", None
    while place < len(png):
        (length,), kind = struct.unpack(">I", png[place : place + 4]), png[place + 4 : place + 8]
        body = png[place + 8 : place + 8 + length]
        header = body if kind == b"IHDR" else header
        data += body if kind == b"IDAT" else b""
        place += 12 + length
    width, height, depth, kind = struct.unpack(">IIBB", header[:10])
    channels = {0: 1, 2: 3, 6: 4}[kind]
    assert depth == 8
    raw, row, found, before = zlib.decompress(data), width * channels, set(), None
    before = bytearray(row)
    for y in range(height):
        filter_, line = raw[y * (row + 1)], bytearray(raw[y * (row + 1) + 1 : (y + 1) * (row + 1)])
        for x in range(row):
            left = line[x - channels] if x >= channels else 0
            corner = before[x - channels] if x >= channels else 0
            up = before[x]
            if filter_ == 4:
                guess = left + up - corner
                distances = [(abs(guess - each), rank) for rank, each in enumerate((left, up, corner))]
                predicted = (left, up, corner)[min(distances)[1]]
            else:
                predicted = (0, left, up, (left + up) // 2)[filter_]
            line[x] = (line[x] + predicted) & 255
        found.update(bytes(line[x : x + channels]) for x in range(0, row, channels))
        before = line
    return len(found)


def look(browser, page, texts, is_narrow):
    browser.post("/window/rect", {"width": 420 if is_narrow else 1280, "height": 900})
    browser.post("/url", {"url": page.as_uri()})
    text = browser.run("return document.documentElement.textContent")
    for each in texts:
        assert each in text, f"'{each}' is not in the page"
    clip = {"x": 0, "y": 0, "width": 420 if is_narrow else 1280, "height": 900, "scale": 0.25}
    command = {"cmd": "Page.captureScreenshot", "params": {"clip": clip}}
    picture = base64.b64decode(browser.post("/goog/cdp/execute", command)["data"])
    assert colours(picture) > 8, "the picture is empty"
    wide = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], f"the page is {wide[0]} wide in a window of {wide[1]}"


def tab_through(browser):
    """Presses the tab key until it has been everywhere."""
    # Closed details hide what is inside them, which cannot be reached before they are opened.
    count = browser.run(
        f"""document.querySelectorAll('details').forEach((each) => {{ each.open = true; }});
        window.waiting = new Set([...document.querySelectorAll("{REACTS}")].filter((each) => each.checkVisibility()));
        document.activeElement.blur();
        return window.waiting.size;"""
    )
    assert count > 10, f"only {count} elements react to keys"
    for _ in range(count + 5):
        browser.press(TAB)
        browser.run("window.waiting.delete(document.activeElement)")
    left = browser.run("return [...window.waiting].map((each) => each.outerHTML.slice(0, 200))")
    assert not left, f"the tab key does not reach {left}"


def move_through_chart(browser, x, y):
    browser.run("document.querySelector('svg[data-chart]').focus()")
    browser.press(RIGHT)
    browser.press(RIGHT)
    said = browser.run("return document.querySelector('.chart output').textContent")
    assert said.startswith(f"{x} 2: ") and f"{y} " in said, said
    shown = browser.run("return document.querySelector('.chart .legend b').textContent")
    assert shown and shown in said, f"'{shown}' is not in '{said}'"
    assert browser.run("return document.querySelectorAll('.cursor circle').length") > 0


def check(page, x, y, texts):
    title = None
    for dark in (False, True):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            browser = Browser(folder, dark)
            try:
                is_dark = browser.run("return matchMedia('(prefers-color-scheme: dark)').matches")
                assert is_dark == dark, "the colour scheme is not that of the test"
                look(browser, page, texts, is_narrow=True)
                look(browser, page, texts, is_narrow=False)
                title = title or browser.run("return document.title")
                assert browser.run("return document.title") == title and title.endswith("isograd"), title
                if not dark:
                    tab_through(browser)
                    move_through_chart(browser, x, y)
                console = browser.log("browser")
                assert not console, f"the console has {console}"
                events = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
                requests = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
                # Not those of the browser's own first page.
                urls = {each["request"]["url"] for each in requests if each["documentURL"] == page.as_uri()}
                others = {url for url in urls if url != page.as_uri() and not url.startswith("data:")}
                assert page.as_uri() in urls and not others, f"requested: {others}"
            finally:
                browser.close()


check(pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3], sys.argv[4:])
