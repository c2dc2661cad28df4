"""The server's page in a real browser: what it shows is what the API said, whatever the text.

The page talks to a small server of this file that keeps the API's contract, translates by reversing
words and misbehaves on request. Tests that take only `page` hold for any server of the contract:
give them another one by overriding the fixture `address`. Tests that take `toy` need its whims.
"""

import json
import re
import shutil
import threading
import time
import urllib.request
import zlib
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

import keras_transformer

pytest.importorskip("selenium")

from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import Select, WebDriverWait

STATIC = Path(keras_transformer.__file__).parent / "serving" / "static"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/static/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/static/style.css": ("style.css", "text/css; charset=utf-8"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"
)
CONFIG = {
    "model": "toy",
    "source_language": "pt",
    "target_language": "en",
    "max_characters": 2000,
    "signatures": ["serving_default", "attention", "sentences", "translate_beam"],
    "examples": ["um gato preto dorme.", "quem são <b>eles</b> ? & nós"],
}
WITH_WORDS = [*CONFIG["signatures"], "alignment", "glossary"]
SENTENCE = "os vizinhos ouviram falar desta ideia."
MARKUP = "<hr> <script>document.title='owned'</script> <img src=x onerror=alert(1)> <a href=//x>"
SHAPED = "  - Um gato preto dorme.  A menina viu o gato!\n\n1. O homem lê.\n"
PARTS = ["Um gato preto dorme.", "A menina viu o gato!", "O homem lê."]
DISPLAYED = 0.0051  # numbers are shown with two decimals


def pieces(words, kind):
    """Words of more than five letters make two pieces."""
    begin, inside = ("▁", "") if kind == "sentencepiece" else ("", "##")
    cut = [
        [begin + word] if len(word) <= 5 else [begin + word[:4], inside + word[4:]]
        for word in words
    ]
    return ["[START]", *chain.from_iterable(cut), "[END]"]


def attention_outputs(text, kind):
    """A translation with three heads, padded on both sides as a batch or XLA would."""
    source = pieces(text.split(), kind)
    target = pieces(text.split()[::-1], kind)
    random = np.random.default_rng(zlib.crc32(text.encode()))
    weights = random.random((3, len(target) - 1, len(source))) ** 4
    weights /= weights.sum(-1, keepdims=True)
    return {
        "translation": [" ".join(text.split()[::-1])],
        "score": [-0.5 * len(target)],
        "source_tokens": [[*source, "", ""]],
        "target_tokens": [[*target, ""]],
        "attention": [np.pad(weights, [(0, 0), (0, 1), (0, 2)]).tolist()],
    }


def sentences_outputs(text):
    """Each sentence backwards, between what stands between them, padded as a batch would."""
    found = list(re.finditer(r"[^\W\d_].*?(?:[.!?](?=\s|$)|(?=\n)|$)", text))
    source = [match[0] for match in found]
    target = [" ".join(sentence.split()[::-1]) for sentence in source]
    ends = [0, *(match.end() for match in found)]
    gaps = [text[end : match.start()] for end, match in zip(ends, found, strict=False)]
    tail = text[ends[-1] :]
    return {
        "translation": ["".join(chain.from_iterable(zip(gaps, target, strict=True))) + tail],
        "score": [-0.5 * len(text.split())],
        "source_sentences": [[*source, "", ""]],
        "target_sentences": [[*target, "", ""]],
        "gaps": [[*gaps, "", ""]],
        "tail": [tail],
    }


def words_answer(text, glossary):
    """Each sentence backwards, word by word, with the parts that belong together."""
    terms = dict(map(str.strip, line.split("\t")) for line in glossary.splitlines())
    outputs = {name: rows[0] for name, rows in sentences_outputs(text).items()}
    sentences = []
    for gap, source in zip(outputs["gaps"], outputs["source_sentences"], strict=True):
        if not source:
            continue
        words = source.split()
        parts = list(chain.from_iterable((word, " ") for word in words))[:-1]
        target = [terms.get(part, part) for part in parts[::-1]]
        links = [[2 * i, 2 * (len(words) - 1 - i)] for i in range(len(words))]
        sentences.append({"gap": gap, "source": parts, "target": target, "links": links})
    whole = "".join(one["gap"] + "".join(one["target"]) for one in sentences)
    return {
        "translation": whole + outputs["tail"],
        "score": outputs["score"],
        "sentences": sentences,
        "tail": outputs["tail"],
    }


def other_outputs(text, prefix, count):
    """What the words of a text backwards have after `prefix`, and twice with another word first."""
    backwards = " ".join(text.split()[::-1])
    assert backwards.startswith(prefix)
    assert count >= 3
    rest = backwards[len(prefix) :]
    found = [prefix + rest, f"{prefix}novo {rest.lower()}", f"{prefix}最後。"]
    missing = count - len(found)
    return {
        "translations": [found + [""] * missing],
        "scores": [[-2.25, -3.5, -4.75] + [-1e9] * missing],
    }


def beam_outputs(text, beam_size, length_penalty):
    """As many hypotheses as the text has words, at most; the rest is padding."""
    words = text.split()
    found = min(beam_size, len(words))
    missing = beam_size - found
    scores = [-1.5 - index for index in range(found)]
    return {
        "translations": [[" ".join(words[k:] + words[:k]) for k in range(found)] + [""] * missing],
        "scores": [scores + [-1e9] * missing],
        "normalized_scores": [
            [score / len(words) ** length_penalty for score in scores] + [-1e9] * missing
        ],
    }


class ToyServer(ThreadingHTTPServer):
    """Keeps the contract, except where a text has a delay or failures waiting.

    Attributes:
        delays: seconds to wait before the answer, by text.
        failures: (status, headers, body) to answer with first, by text, or by signature and text;
            status 0 hangs up.
        requests: (signature, text) in order of arrival; "words" for a request of the words.
        glossaries: that came with those.
        markup: of rich text, in order of arrival.
        rich_answer: what rich text becomes; its own with the animals in English unless given.
        answered: texts in order of their answers.
        kind: how the tokens mark words, "wordpiece" or "sentencepiece".
        key: that requests must have, if any.
        config: what the page is told.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.behave()

    def behave(self):
        self.delays, self.failures = {}, defaultdict(list)
        self.requests, self.answered, self.glossaries = [], [], []
        self.markup, self.rich_answer = [], None
        self.kind = "wordpiece"
        self.key = None
        self.config = dict(CONFIG)

    def handle_error(self, request, client_address):
        """An aborted fetch closes its connection: expected here."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/page/config.json":
            self.send(200, json.dumps(self.server.config).encode())
        elif self.path in FILES:
            name, kind = FILES[self.path]
            self.send(200, (STATIC / name).read_bytes(), {"Content-Type": kind})
        else:
            self.send(404, b'{"error": "no such path"}')

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/translate":
            self.translate_markup(body)
            return
        if self.path == "/page/words":
            signature, text = "words", body["text"]
            self.server.glossaries.append(body["glossary"])
        else:
            assert self.path == "/v1/models/toy:predict"
            signature, inputs = body["signature_name"], body["inputs"]
            (text,) = inputs["text"]
        if self.server.key and self.headers["Authorization"] != f"Bearer {self.server.key}":
            self.send(401, b'{"error": "a key is needed"}')
            return
        self.server.requests.append((signature, text))
        time.sleep(self.server.delays.get(text, 0))
        failures = self.server.failures[text] or self.server.failures[signature, text]
        if failures:
            status, headers, message = failures.pop(0)
            if status:
                self.send(status, message.encode(), headers)
            return
        if signature == "words":
            self.server.answered.append(text)
            self.send(200, json.dumps(words_answer(text, body["glossary"])).encode())
            return
        if signature == "attention":
            outputs = attention_outputs(text, self.server.kind)
        elif signature == "sentences":
            outputs = sentences_outputs(text)
        elif signature == "alternatives":
            outputs = other_outputs(text, inputs["prefix"], inputs["count"])
        else:
            assert inputs["max_length"] == 0
            outputs = beam_outputs(text, inputs["beam_size"], inputs["length_penalty"])
        self.server.answered.append(text)
        self.send(200, json.dumps({"outputs": outputs}).encode())

    def translate_markup(self, body):
        assert {**body, "q": "", "glossary": ""} == {
            **{"q": "", "source": "pt", "target": "en", "format": "html", "glossary": ""}
        }
        if self.server.key and self.headers["Authorization"] != f"Bearer {self.server.key}":
            self.send(400, b'{"error": "An API key is needed: ask."}')
            return
        self.server.markup.append(body["q"])
        self.server.glossaries.append(body.get("glossary", ""))
        answer = body["q"].replace("gato", "cat")
        answer = answer if self.server.rich_answer is None else self.server.rich_answer
        self.send(200, json.dumps({"translatedText": answer}).encode())

    def send(self, status, body, headers=None):
        self.send_response(status)
        headers = {"Content-Type": "application/json"} | (headers or {})
        headers["Content-Length"] = len(body)
        headers["Content-Security-Policy"] = POLICY
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Silent."""


class Page:
    """The page in the browser, and the API behind it."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        self.failing = ()  # beginnings of console messages that the test provokes
        self.open()

    def open(self):
        with urllib.request.urlopen(self.address + "/page/config.json") as response:
            self.config = json.load(response)
        self.browser.get(self.address + "/")
        self.until(lambda: self["model"].text)

    def __getitem__(self, identifier):
        return self.browser.find_element(By.ID, identifier)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def texts(self, selector):
        """The text of every matching node, seen or not."""
        script = "return [...document.querySelectorAll(arguments[0])].map(n => n.textContent)"
        return self.run(script, selector)

    def numbers(self, selector):
        return [float(text.replace("−", "-")) for text in self.texts(selector)]

    def until(self, condition):
        return WebDriverWait(self.browser, 10, poll_frequency=0.02).until(lambda _: condition())

    def state(self):
        return self["translator"].get_attribute("data-state")

    def press(self, *keys):
        for key in keys:
            ActionChains(self.browser, duration=0).send_keys(key).perform()

    def hover(self, node):
        ActionChains(self.browser, duration=0).move_to_element(node).perform()

    def translate(self, text):
        """Types the text and waits for its translation; returns the API's own answer."""
        self["text"].send_keys(text)
        self.until(lambda: self.state() != "translating")
        self.until_words()
        return self.answer("attention", {"text": [text]})

    def until_words(self):
        """Waits for the words of what is shown, if they are asked for."""
        self.until(lambda: self["mirror"].get_attribute("aria-busy") != "true")

    def translate_sentences(self, text):
        """The same for a text of several sentences, once the attention of one is there."""
        self["text"].send_keys(text)
        self.until(lambda: self.state() == "ready" and self["attention-sentence"].is_displayed())
        self.until_attention_of(self.answer("sentences", {"text": [text]})["source_sentences"][0])
        self.until_words()
        return self.answer("sentences", {"text": [text]})

    def until_attention_of(self, sentence):
        """Waits for the attention of a sentence; returns the API's own answer."""
        answer = self.answer("attention", {"text": [sentence]})
        tokens = without_padding(answer)[0]
        self.until(lambda: self["attention"].get_attribute("aria-busy") == "false")
        self.until(lambda: self.texts("#source-tokens .token-text") == tokens)
        return answer

    def pointed(self):
        """The texts of the sentences that are marked as pointed at."""
        return self.texts(".sentence.pointed")

    def answer(self, signature, inputs):
        """What the API says when asked without the page."""
        request = urllib.request.Request(
            f"{self.address}/v1/models/{self.config['model']}:predict",
            json.dumps({"signature_name": signature, "inputs": inputs}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            return {name: rows[0] for name, rows in json.load(response)["outputs"].items()}

    def map(self):
        """The heat map's numbers, (target, source)."""
        columns = len(self.texts("#map thead th"))
        return np.reshape(self.numbers("#map tbody td"), (-1, columns))


def without_padding(answer):
    """Source tokens, target tokens without the start token, weights `(heads, target, source)`."""
    source = [token for token in answer["source_tokens"] if token]
    target = [token for token in answer["target_tokens"] if token][1:]
    return source, target, np.array(answer["attention"])[:, : len(target), : len(source)]


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-proxy-server",
        "--window-size=1280,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def toy_server():
    with ToyServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def toy(toy_server):
    toy_server.behave()
    return toy_server


@pytest.fixture
def address(toy):
    """Where the page is served: override it to put another server behind these tests."""
    return toy.url


@pytest.fixture
def page(browser, address):
    """The page, opened; two laws hold in every test: no console errors, no request elsewhere."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    page = Page(browser, address)
    yield page
    errors = [entry["message"] for entry in browser.get_log("browser")]
    unexpected = [error for error in errors if not any(word in error for word in page.failing)]
    assert not unexpected
    assert all(url.startswith((address + "/", "data:")) for url in requested(browser))
    for command in ("clearDeviceMetricsOverride", "setEmulatedMedia"):
        browser.execute_cdp_cmd(f"Emulation.{command}", {})
    browser.get("about:blank")  # a search still to come would reach the next test


def requested(browser):
    """Addresses of all requests since the log was last read."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert sent
    return [parameters["request"]["url"] for parameters in sent]


def emulate(browser, **features):
    values = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": values})


def resize(browser, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def focus(page, selector):
    page.run("document.querySelector(arguments[0]).focus()", selector)


def test_the_page_shows_the_answer_of_the_api(page):
    answer = page.translate(SENTENCE)
    source, target, heads = without_padding(answer)
    assert page["translation"].text == answer["translation"]
    assert page["score"].text.endswith(f"{answer['score']:.3f}".replace("-", "−"))
    assert page.texts("#source-tokens .token-text") == source
    assert page.texts("#target-tokens .token-text") == target
    assert page.texts("#map thead th") == source
    assert page.texts("#map tbody th") == target
    assert len(page.all("input[name=head]")) == 1 + len(heads)


def test_the_page_is_named_after_model_and_languages(page):
    assert page.config["model"] in page.browser.title
    assert page["model"].text.split() == ["Portuguese", "→", "English", page.config["model"]]
    assert page["text"].get_attribute("lang") == "pt"
    assert page["translation"].get_attribute("lang") == "en"
    assert page["translation"].get_attribute("aria-live") == "polite"
    assert [node.aria_role for node in page.all("header, main")] == ["banner", "main"]


def test_the_last_text_is_shown_though_earlier_answers_come_later(page, toy):
    toy.delays["um"] = 1.0
    page["text"].send_keys("um")
    page.until(lambda: ("attention", "um") in toy.requests)
    assert page.state() == "translating"
    page["text"].send_keys(" dois")
    page.until(lambda: page["translation"].text == "dois um")
    page.until(lambda: "um" in toy.answered)
    time.sleep(0.1)
    assert page["translation"].text == "dois um"
    assert page.state() == "ready"


def test_sentences_are_shown_side_by_side_in_their_own_shape(page):
    answer = page.translate_sentences(SHAPED)
    target = [text for text in answer["target_sentences"] if text]
    assert page.texts("#source-sentences") == [SHAPED]
    assert page.texts("#source-sentences .sentence") == PARTS
    assert page.texts("#translation") == [answer["translation"]]
    assert page.texts("#translation .sentence") == target
    assert page["translation"].text.splitlines()[1:] == ["", f"1. {target[2]}"]
    assert page["score"].text.endswith(f"{answer['score']:.3f}".replace("-", "−"))
    for name in ("source-sentences", "translation"):
        assert page[name].value_of_css_property("white-space-collapse") == "preserve"


@pytest.mark.parametrize("text", [SENTENCE, " 1. - O gato, preto.\n", "- -\n42. 7!", "."])
def test_one_sentence_is_shown_as_a_text(page, toy, text):
    page["text"].send_keys(text)
    page.until(lambda: page.state() == "ready")
    assert not page.all(".sentence")
    assert not page["mirror"].is_displayed()
    assert not page["attention-sentence"].is_displayed()


def test_what_may_have_several_sentences_alone_is_asked_for_them(page, toy):
    page.translate(SENTENCE)
    assert "sentences" not in dict(toy.requests)
    page["text"].send_keys(" Fim")
    page.until(lambda: page.all(".sentence"))
    assert ("sentences", f"{SENTENCE} Fim") in toy.requests
    assert ("attention", f"{SENTENCE} Fim") not in toy.requests


def test_a_model_that_tells_no_sentences_translates_a_text_as_it_is(page, toy):
    toy.config["signatures"] = ["serving_default", "attention", "translate_beam"]
    page.open()
    answer = page.translate(SHAPED)
    assert page["translation"].text == answer["translation"]
    assert page.texts("#source-tokens .token-text") == without_padding(answer)[0]
    assert not page["mirror"].is_displayed()
    assert "sentences" not in dict(toy.requests)


@pytest.mark.parametrize("side", ["source", "target"])
def test_pointing_at_a_sentence_marks_its_partner(page, side):
    target = page.translate_sentences(SHAPED)["target_sentences"]
    lists = {"source": "#source-sentences", "target": "#translation"}
    for index, node in enumerate(page.all(f"{lists[side]} .sentence")):
        page.hover(node)
        assert page.pointed() == [PARTS[index], target[index]]
    assert len(page.all(f"{lists[side]} .sentence")) == 3
    marked = page.all(".sentence.pointed")
    lines = [node.value_of_css_property("text-decoration-line") for node in marked]
    styles = [node.value_of_css_property("text-decoration-style") for node in marked]
    assert (lines, styles) == (["underline"] * 2, ["solid"] * 2)  # seen without colours
    page.hover(page["hint"])
    assert page.pointed() == []


@pytest.mark.parametrize("side", ["source", "target"])
def test_keys_move_among_sentences_and_choose_one(page, toy, side):
    target = page.translate_sentences(SHAPED)["target_sentences"]
    lists = {"source": "#source-sentences", "target": "#translation"}
    focus(page, f"{lists[side]} [tabindex='0']")
    assert page.pointed() == [PARTS[0], target[0]]
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_LEFT)
    assert page.pointed() == [PARTS[1], target[1]]
    active = page.browser.switch_to.active_element
    assert active.aria_role == "option"
    assert active.accessible_name == {"source": PARTS, "target": target}[side][1]
    partner = page[active.get_attribute("aria-describedby")].text
    assert partner == {"source": target, "target": PARTS}[side][1]
    page.press(Keys.ENTER)
    page.until_attention_of(PARTS[1])
    page.press(Keys.END, Keys.SPACE)
    page.until_attention_of(PARTS[2])
    assert page.texts(".sentence[aria-selected=true]") == [PARTS[2], target[2]]
    page.press(Keys.TAB)
    assert page.pointed() == []


def test_a_touch_chooses_a_sentence_and_marks_both(page):
    target = page.translate_sentences(SHAPED)["target_sentences"]
    node = page.all("#translation .sentence")[1]
    place = page.run(
        """
        const lines = arguments[0].getClientRects();
        return {x: lines[0].left + 3, y: lines[0].top + 5}""",
        node,
    )
    for kind, points in (("touchStart", [place]), ("touchEnd", [])):
        touch = {"type": kind, "touchPoints": points}
        page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", touch)
    page.until_attention_of(PARTS[1])
    assert page.pointed() == [PARTS[1], target[1]]


def test_the_map_is_that_of_the_chosen_sentence_the_first_at_the_start(page, toy):
    page.translate_sentences(SHAPED)
    assert page["attention-sentence"].text == "Sentence 1 of 3."
    page.all("#source-sentences .sentence")[2].click()
    source, target, heads = without_padding(page.until_attention_of(PARTS[2]))
    assert page["attention-sentence"].text == "Sentence 3 of 3."
    assert page.texts("#map thead th") == source
    assert page.texts("#map tbody th") == target
    np.testing.assert_allclose(page.map(), heads.mean(0), atol=DISPLAYED)
    selected = [node.get_attribute("aria-selected") for node in page.all(".sentence")]
    assert selected == ["false", "false", "true"] * 2


def test_the_chosen_sentence_stays_while_another_is_written(page):
    page.translate_sentences(SHAPED)
    page.all("#source-sentences .sentence")[1].click()
    page.until_attention_of(PARTS[1])
    page["text"].send_keys("Uma casa")
    page.until(lambda: len(page.all("#translation .sentence")) == 4)
    assert page["attention-sentence"].text == "Sentence 2 of 4."
    page.until_attention_of(PARTS[1])


def test_the_last_chosen_sentence_counts_though_an_earlier_answer_comes_later(page, toy):
    page.translate_sentences(SHAPED)
    toy.delays[PARTS[1]] = 0.5
    page.all("#source-sentences .sentence")[1].click()
    page.until(lambda: ("attention", PARTS[1]) in toy.requests)
    page.all("#source-sentences .sentence")[2].click()
    page.until_attention_of(PARTS[2])
    page.until(lambda: PARTS[1] in toy.answered)
    time.sleep(0.1)
    page.until_attention_of(PARTS[2])


def test_the_attention_of_an_older_text_is_not_shown(page, toy):
    toy.delays[PARTS[0]] = 0.7
    page["text"].send_keys(SHAPED)
    page.until(lambda: ("attention", PARTS[0]) in toy.requests)
    page.press(Keys.ESCAPE)
    answer = page.translate("o fim")
    page.until(lambda: PARTS[0] in toy.answered)
    time.sleep(0.1)
    assert page.texts("#source-tokens .token-text") == without_padding(answer)[0]


def test_a_failure_of_the_attention_leaves_the_sentences(page, toy):
    page.failing = ("400",)
    toy.failures[PARTS[0]] = [(400, {}, '{"error": "no attention today"}')]
    page["text"].send_keys(SHAPED)
    page.until(lambda: page.state() == "failed")
    assert page["state"].text == "no attention today"
    assert len(page.all("#translation .sentence")) == 3
    assert not page["attention"].is_displayed()
    page["retry"].click()
    page.until(lambda: page.state() == "ready" and page["attention"].is_displayed())
    page.until_attention_of(PARTS[0])


def test_sentences_go_when_one_is_left_and_when_the_text_is_cleared(page, toy):
    page.translate_sentences(SHAPED)
    for text in ("o fim", ""):
        page.press(Keys.ESCAPE)
        assert not page["mirror"].is_displayed()
        assert not page.all(".sentence")
        page["text"].send_keys(text)
        page.until(lambda: page.state() != "translating")
        assert not page.all(".sentence")
        page["text"].send_keys(SHAPED)
        page.until(lambda: page.all(".sentence"))


def test_what_is_copied_of_sentences_is_the_whole_translation(page):
    answer = page.translate_sentences(SHAPED)
    page.run("""
        window.copied = null;
        document.addEventListener("copy", () => { window.copied = getSelection().toString(); });
        Object.defineProperty(navigator, "clipboard", {value: {
          writeText: async (text) => { window.copied = text; }}});""")
    page["copy"].click()
    page.until(lambda: page["state"].text == "Copied.")
    assert page.run("return window.copied") == answer["translation"]


def test_a_partner_out_of_sight_in_a_long_text_is_scrolled_to(page, toy):
    page.run("document.getElementById('text').value = 'Um gato preto viu a menina. '.repeat(60)")
    page["text"].send_keys("Fim")
    page.until(lambda: len(page.all("#translation .sentence")) == 61)
    page.run("document.querySelector('#target-sentence-60').focus()")
    seen = """
        const box = document.getElementById("source-sentences").getBoundingClientRect();
        const node = document.getElementById("source-sentence-60").getBoundingClientRect();
        return node.top >= box.top - 1 && node.bottom <= box.bottom + 1 && box.height < 400;"""
    assert page.run(seen)
    assert page.pointed() == ["Fim"] * 2


# Words.


@pytest.fixture
def words_page(page, toy):
    """The page of a model that tells words, as newer exports do; see `toy.config`."""
    toy.config["signatures"] = WITH_WORDS
    page.open()
    return page


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("text", ["o gato preto dorme", SHAPED])
def test_pointing_at_a_word_lights_up_its_counterpart(words_page, side, text):
    page, box = words_page, {"source": "#source-sentences", "target": "#translation"}
    page["text"].send_keys(text)
    page.until(lambda: page.all("#translation .word"))
    shown = page.texts("#translation"), page.texts("#source-sentences")
    assert shown[1] == [text]
    words = page.all(f"{box[side]} .word")
    assert len(words) == len(re.findall(r"[^\W\d_]+\S*", text))
    for word in words[:3]:
        page.hover(word)
        assert page.texts(".word.pointed") == [word.text] * 2
        partners = page.all(".word.pointed")
        assert {node.value_of_css_property("background-color") for node in partners} != {
            "rgba(0, 0, 0, 0)"
        }
        [partner] = [node for node in partners if node != word]
        assert word.get_attribute("aria-describedby") == partner.get_attribute("id")
    page.hover(page["hint"])
    assert page.texts(".word.pointed") == []
    assert (page.texts("#translation"), page.texts("#source-sentences")) == shown


def test_words_of_the_real_server_and_of_the_toy_light_up(page):
    if "alignment" not in page.config["signatures"]:
        return
    page.translate("o gato preto dorme")
    page.until(lambda: page.texts("#translation .word") == ["dorme", "preto", "gato", "o"])
    assert page.texts("#source-sentences .word") == ["o", "gato", "preto", "dorme"]
    page.hover(page.all("#translation .word")[1])
    assert page.texts(".word.pointed") == ["preto"] * 2


def test_words_move_nothing_when_they_come(words_page, toy):
    page = words_page
    shape = """
        return [...document.querySelectorAll('#mirror, #translation, #attention, #examples')]
          .map((node) => JSON.stringify(node.getBoundingClientRect()))"""
    for text in ("o gato preto dorme", "O gato dorme. A menina lê muito."):
        toy.failures[text] = []
        page.press(Keys.ESCAPE)
        page["text"].send_keys(text)
        page.until(lambda: page.state() == "ready" and page["attention"].is_displayed())
        page.run("window.before = (() => {" + shape + "})()")
        page.until(lambda: page.all("#translation .word"))
        assert page.run(shape) == page.run("return window.before")


def test_keys_move_among_words_and_sentences(words_page):
    page = words_page
    target = page.translate_sentences(SHAPED)["target_sentences"]
    page.until(lambda: page.all("#translation .word"))
    focus(page, "#translation [tabindex='0']")
    first = target[0].split()
    assert page.texts(".word.pointed") == [first[0]] * 2
    active = page.browser.switch_to.active_element
    assert (active.aria_role, active.accessible_name) == ("option", first[0])
    page.press(Keys.ARROW_RIGHT)
    assert page.texts(".word.pointed") == [first[1]] * 2
    page.press(Keys.ARROW_DOWN)
    assert page.texts(".word.pointed") == [target[1].split()[0]] * 2
    assert page.pointed() == [PARTS[1], target[1]]
    page.press(Keys.ENTER)
    page.until_attention_of(PARTS[1])
    assert page.texts(".sentence[aria-current=true]") == [PARTS[1], target[1]]
    page.press(Keys.ARROW_UP, Keys.HOME)
    assert page.texts(".word.pointed") == [first[0]] * 2
    page.press(Keys.END, Keys.TAB)
    assert page.texts(".word.pointed") == []


def test_a_touch_of_a_word_lights_up_its_counterpart(words_page):
    page = words_page
    page.translate("o gato preto dorme")
    page.until(lambda: page.all("#translation .word"))
    box = page.all("#source-sentences .word")[1].rect
    place = {"x": box["x"] + 3, "y": box["y"] + 5}
    for kind, points in (("touchStart", [place]), ("touchEnd", [])):
        touch = {"type": kind, "touchPoints": points}
        page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", touch)
    page.until(lambda: page.texts(".word.pointed") == ["gato"] * 2)


def test_words_that_do_not_come_leave_the_translation(words_page, toy):
    page = words_page
    page.failing = ("400",)
    toy.failures["words", "o gato"] = [(400, {}, '{"error": "no words today"}')]
    page["text"].send_keys("o gato")
    page.until(lambda: ("words", "o gato") in toy.requests)
    page.until(lambda: page["mirror"].get_attribute("aria-busy") == "false")
    assert page.state() == "ready"
    assert page["translation"].text == "gato o"
    assert not page.all(".word")


def test_the_words_of_an_older_text_are_not_shown(words_page, toy):
    page = words_page
    page["text"].send_keys("um")
    page.until(lambda: ("attention", "um") in toy.requests)
    toy.delays["um"] = 0.8
    page.until(lambda: ("words", "um") in toy.requests)
    page["text"].send_keys(" dois")
    page.until(lambda: page.texts("#translation .word") == ["dois", "um"])
    page.until(lambda: toy.answered.count("um") == 2)
    time.sleep(0.1)
    assert page.texts("#translation .word") == ["dois", "um"]


# Other words.


@pytest.fixture
def menus_page(page, toy):
    """The page of a model that has other words, too."""
    toy.config["signatures"] = [*WITH_WORDS, "alternatives"]
    page.open()
    return page


MENU = "#other-words [role=option]"


def open_menu(page, number):
    """Opens the menu of a word of the translation; gives the word."""
    word = page.all("#translation .word")[number]
    word.click()
    page.until(lambda: page.all(MENU))
    return word


def test_a_word_of_the_translation_has_a_menu_of_others_to_go_on_with(menus_page):
    page = menus_page
    page.translate("o gato preto dorme")
    score = page["score"].text
    open_menu(page, 1)
    assert page.texts(MENU) == ["preto gato o", "novo preto gato o", "最後。"]
    assert page.texts("#other-words b") == ["preto", "novo", "最後"]
    assert page.texts("#other-words [aria-selected=true]") == ["preto gato o"]
    page.all(MENU)[1].click()
    assert page["translation"].text == "dorme novo preto gato o"
    assert page.texts("#translation .word") == ["dorme", "novo", "preto", "gato", "o"]
    assert page["score"].text == "log-probability −3.500"
    assert not page["attention"].is_displayed()
    assert not page["other-words"].is_displayed()
    # What stays is still linked; what is new is not known to belong to anything.
    page.hover(page.all("#translation .word")[0])
    assert page.texts(".word.pointed") == ["dorme"] * 2
    page.hover(page.all("#translation .word")[1])
    assert page.texts(".word.pointed") == ["novo"]
    # The way back is the same menu.
    open_menu(page, 1)
    page.all(MENU)[0].click()
    assert page["translation"].text == "dorme preto gato o"
    assert page["score"].text == score
    assert page["attention"].is_displayed()
    page.hover(page.all("#translation .word")[1])
    assert page.texts(".word.pointed") == ["preto"] * 2


def test_keys_open_and_close_the_menu_and_choose_from_it(menus_page, toy):
    page = menus_page
    page.translate("o gato preto dorme")
    focus(page, "#translation [tabindex='0']")
    page.press(Keys.ARROW_RIGHT, Keys.ENTER)
    page.until(lambda: page.all(MENU))
    active = page.browser.switch_to.active_element
    assert (active.aria_role, active.text) == ("option", "preto gato o")
    page.press(Keys.ESCAPE)
    page.until(lambda: not page["other-words"].is_displayed())
    assert page["text"].get_attribute("value") == "o gato preto dorme"
    assert page.browser.switch_to.active_element.text == "preto"
    page.press(Keys.ENTER)
    page.until(lambda: page.all(MENU))
    page.press(Keys.ARROW_DOWN, Keys.ENTER)
    assert page["translation"].text == "dorme novo preto gato o"
    assert page.browser.switch_to.active_element.text == "novo"
    page.press(Keys.ESCAPE)  # clears, now that nothing is open
    assert page["text"].get_attribute("value") == ""


def test_one_of_several_sentences_is_changed_alone(menus_page):
    page = menus_page
    answer = page.translate_sentences(SHAPED)
    score = page["score"].text
    first, second, third = answer["target_sentences"][:3]
    place = len(first.split()) + 1
    open_menu(page, place)
    page.until_attention_of(PARTS[1])
    page.all(MENU)[2].click()
    changed = f"{second.split()[0]} 最後。"
    assert page.texts("#translation") == [answer["translation"].replace(second, changed)]
    assert page.texts("#translation .word")[place:][:3] == ["最", "後", third.split()[0]]
    assert page["score"].text == ""
    assert not page["attention"].is_displayed()
    page.all("#source-sentences .sentence")[2].click()
    page.until_attention_of(PARTS[2])
    page.all("#source-sentences .sentence")[1].click()
    assert not page["attention"].is_displayed()
    # Before the change there is nothing else to return to than the sentence as it was.
    open_menu(page, place - 1)
    page.all(MENU)[0].click()
    assert page.texts("#translation") == [answer["translation"]]
    assert page["score"].text == score
    page.until_attention_of(PARTS[1])


def test_a_menu_says_what_is_wrong(menus_page, toy):
    page = menus_page
    page.failing = ("400",)
    page.translate("o gato")
    toy.failures["alternatives", "o gato"] = [
        (400, {}, '{"error": "no other words today"}'),
        (200, {}, json.dumps({"outputs": {"translations": [[""]], "scores": [[-1e9]]}})),
    ]
    for message in ("no other words today", "Nothing else was found."):
        page.all("#translation .word")[0].click()
        page.until(lambda message=message: page["other-words"].text == message)
        page.press(Keys.ESCAPE)
        page.until(lambda: not page["other-words"].is_displayed())
    assert page.state() == "ready"


def test_a_menu_closes_when_the_text_changes(menus_page, toy):
    page = menus_page
    page.translate("o gato")
    toy.delays["o gato"] = 0.5
    page.all("#translation .word")[0].click()
    assert page["other-words"].text == "Searching…"
    page["text"].send_keys(" dorme")
    page.until(lambda: page.texts("#translation .word") == ["dorme", "gato", "o"])
    assert not page["other-words"].is_displayed()
    page.until(lambda: toy.answered.count("o gato") > 1)
    assert not page["other-words"].is_displayed()


def test_words_have_no_menus_with_a_glossary_nor_where_the_model_has_no_others(menus_page, toy):
    page = menus_page
    page.translate("o gato preto")
    assert len(page.all("#translation [aria-haspopup]")) == 3
    assert page.all(".of-menus")[0].is_displayed()
    page["glossary"].find_element(By.TAG_NAME, "summary").click()
    page["terms"].send_keys("gato = cat")
    page.until(lambda: page["translation"].text == "preto cat o")
    page.all("#translation .word")[1].click()
    assert not page["other-words"].is_displayed()
    assert not page.all("#translation [aria-haspopup]")
    assert not page.all(".of-menus")[0].is_displayed()
    toy.config["signatures"] = WITH_WORDS
    page.open()
    page.translate("o gato preto")
    assert page.all("#translation .word")
    assert not page.all("#translation [aria-haspopup]")


def test_menus_of_the_real_server_go_on_from_a_word(page):
    if "alternatives" not in page.config["signatures"]:
        return
    page.translate("o gato preto dorme")
    page.until(lambda: page.all("#translation .word"))
    open_menu(page, 1)
    assert page.texts("#other-words b")[:3] == ["preto", "1", "2"]
    page.all(MENU)[1].click()
    assert page["translation"].text == "dorme 1 preto gato o"


# Glossaries.


def test_a_glossary_is_sent_and_followed(words_page, toy):
    page = words_page
    page.translate("o gato preto dorme")
    assert not page["terms"].is_displayed()
    page["glossary"].find_element(By.TAG_NAME, "summary").click()
    page["terms"].send_keys("gato = tomcat\n\npreto=black")
    page.until(lambda: page["translation"].text == "dorme black tomcat o")
    assert toy.glossaries[-1] == "gato \t tomcat\npreto\tblack"
    assert page["glossary-count"].text == "2 lines"
    page.hover(page.all("#translation .word")[2])
    assert page.texts(".word.pointed") == ["gato", "tomcat"]
    assert not page["attention"].is_displayed()
    assert not page["alternatives"].is_displayed()
    page.run("document.getElementById('terms').value = ''")
    page["text"].send_keys(" hoje")
    page.until(lambda: page["translation"].text == "hoje dorme preto gato o")
    page.until(lambda: page["attention"].is_displayed())


def test_an_error_of_the_glossary_stands_beside_it(words_page, toy):
    page = words_page
    page.failing = ("400",)
    page["text"].send_keys("o gato")
    page["glossary"].find_element(By.TAG_NAME, "summary").click()
    message = "glossary, line 1: has 1 columns"
    toy.failures["o gato"] = [(400, {}, json.dumps({"error": message}))] * 2
    page["terms"].send_keys("g")
    page.until(lambda: page["glossary-state"].text == "Glossary, line 1: has 1 columns")
    assert page["terms"].get_attribute("aria-invalid") == "true"
    assert page["state"].text == "The glossary has a mistake."
    toy.failures["o gato"] = []
    page["terms"].send_keys("ato=cat")
    page.until(lambda: page["glossary-state"].text == "")


def test_escape_in_the_glossary_keeps_the_text(words_page):
    words_page.translate("o gato")
    words_page["glossary"].find_element(By.TAG_NAME, "summary").click()
    words_page["terms"].send_keys("gato", Keys.ESCAPE)
    assert words_page["text"].get_attribute("value") == "o gato"


def test_a_model_without_the_signatures_has_neither_words_nor_a_glossary(page, toy):
    page.translate("o gato")
    time.sleep(0.3)
    assert not page["glossary"].is_displayed()
    assert not page["mirror"].is_displayed()
    assert not page.all(".word")
    assert "words" not in dict(toy.requests)


# Rich text.

RICH = '<h2>Um gato</h2><p>O <b>gato</b> <a href="https://a.org/?b&amp;c">dorme</a>.</p>'
LISTS = "<ul><li>um <i>gato</i></li><li>dois</li></ul><blockquote><p>x</p></blockquote>"


def paste(page, markup, text="", box="#text", event="paste"):
    """Pastes into a box as a browser does; returns whether the page took it."""
    return page.run(
        """
        const [markup, text, box, kind] = arguments;
        const data = new DataTransfer();
        if (markup) data.setData("text/html", markup);
        data.setData("text/plain", text);
        const options = {bubbles: true, cancelable: true};
        const event = kind === "paste" ? new ClipboardEvent(kind, {...options, clipboardData: data})
          : new DragEvent(kind, {...options, dataTransfer: data});
        document.querySelector(box).dispatchEvent(event);
        return event.defaultPrevented;""",
        *(markup, text, box, event),
    )


def inner(page, identifier):
    return page.run("return document.getElementById(arguments[0]).innerHTML", identifier)


def shown_links(markup):
    """The markup of a translation as it is shown: links open beside the page."""
    return (
        markup.replace("<a href=", "<a X=")
        .replace('">dorme', '" target="_blank" rel="noopener noreferrer">dorme')
        .replace("<a X=", "<a href=")
    )


@pytest.mark.parametrize("event", ["paste", "drop"])
@pytest.mark.parametrize("markup", [RICH, LISTS])
def test_rich_text_is_translated_as_rich_text(page, toy, markup, event):
    assert paste(page, f"<html><body><!--StartFragment-->{markup}<!--EndFragment-->", event=event)
    page.until(lambda: page.state() == "ready")
    assert toy.markup == [markup]
    assert inner(page, "rich") == markup
    assert inner(page, "translation") == shown_links(markup.replace("gato", "cat"))
    assert not page["text"].is_displayed()
    assert page["rich"].aria_role == "textbox"
    assert page["rich"].accessible_name == "Portuguese"
    assert page["count"].text == f"{len(markup)} / 2,000"
    assert not page["mirror"].is_displayed()
    assert not page["attention"].is_displayed()
    assert not toy.requests


def test_rich_text_of_any_server_keeps_its_elements(page):
    assert paste(page, "<p>Um <b>gato</b> preto</p><ul><li>um <i>dois</i></li></ul>")
    page.until(lambda: page.state() == "ready")
    request = urllib.request.Request(
        f"{page.address}/translate",
        json.dumps(
            {"q": inner(page, "rich"), "source": "pt", "target": "en", "format": "html"}
        ).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        assert inner(page, "translation") == json.load(response)["translatedText"]
    names = "return [...document.querySelectorAll('#translation *')].map(n => n.localName)"
    assert sorted(page.run(names)) == ["b", "i", "li", "p", "ul"]


@pytest.mark.parametrize(
    "markup",
    ["", "um gato", "<p>um</p><p>gato</p>", "<div style='color: red'>um <span>gato</span></div>"],
)
def test_text_without_formatting_is_pasted_as_plain_text(page, markup):
    assert not paste(page, markup, "um gato")
    assert page["text"].is_displayed()


def test_where_languages_are_not_known_text_is_pasted_as_plain_text(page, toy):
    toy.config["source_language"] = None
    page.open()
    assert not paste(page, RICH)


def test_what_stood_in_the_box_stays_around_what_is_pasted(page, toy):
    page.translate("um & dois")
    page.run("document.getElementById('text').setSelectionRange(3, 5)")
    assert paste(page, "<b>gato</b>")
    page.until(lambda: toy.markup)
    assert toy.markup == ["um <b>gato</b>dois"]


def test_what_is_written_and_pasted_into_rich_text_is_translated(page, toy):
    paste(page, "<p>um <b>gato</b></p>")
    page.until(lambda: page.state() == "ready")
    page.press(" ", "d")
    page.until(lambda: toy.markup[-1].replace("&nbsp;", " ") == "<p>um <b>gato d</b></p>")
    paste(page, "", "a\nb & c", box="#rich")
    page.until(lambda: "a<br>b &amp; c" in toy.markup[-1])
    paste(page, "<i>fim</i><script>document.title = 'owned'</script>", box="#rich")
    page.until(lambda: "<i>fim</i>" in toy.markup[-1])
    assert "owned" not in page.browser.title


def test_formatting_can_be_removed_and_rich_text_cleared(page, toy):
    assert not page["plain"].is_displayed()
    paste(page, "<p>um <b>gato</b></p>")
    page.until(lambda: page.state() == "ready")
    page["plain"].click()
    assert page["text"].get_attribute("value") == "um gato"
    page.until(lambda: page["translation"].text == "gato um")
    assert not page["rich"].is_displayed()
    for clear in (lambda: page["clear"].click(), lambda: page.press(Keys.ESCAPE)):
        paste(page, "<b>gato</b>")
        page.until(lambda: page.texts("#translation b") == ["cat"])
        clear()
        assert page["text"].is_displayed()
        assert page["text"].get_attribute("value") == ""
        assert page["translation"].text == ""
    paste(page, "<b>gato</b>")
    page.press(*[Keys.BACKSPACE] * 4)
    page.until(lambda: page["text"].is_displayed())


def test_rich_text_is_copied_as_rich_text(page, toy):
    paste(page, RICH)
    page.until(lambda: page.state() == "ready")
    page.run("""
        window.copied = null;
        Object.defineProperty(navigator, "clipboard", {configurable: true, value: {
          write: async ([item]) => {
            const read = async (type) => (await item.getType(type)).text();
            window.copied = [await read("text/html"), await read("text/plain")]; }}});""")
    page["copy"].click()
    page.until(lambda: page["state"].text == "Copied.")
    assert page.run("return window.copied")[0] == RICH.replace("gato", "cat")
    assert page.run("return window.copied")[1].split() == ["Um", "cat", "O", "cat", "dorme."]
    page.run("""
        Object.defineProperty(navigator, "clipboard", {value: undefined});
        document.addEventListener("copy", (event) => {
          window.copied = event.clipboardData.getData("text/html"); });""")
    page["copy"].click()
    page.until(lambda: page.run("return window.copied") == RICH.replace("gato", "cat"))


def test_a_glossary_counts_for_rich_text(words_page, toy):
    paste(words_page, "<b>gato</b>")
    words_page["glossary"].find_element(By.TAG_NAME, "summary").click()
    words_page["terms"].send_keys("gato=tomcat")
    words_page.until(lambda: toy.glossaries[-1:] == ["gato\ttomcat"])


def test_rich_text_that_is_too_long_is_pasted_as_plain_text(page, toy):
    assert not paste(page, f"<b>{'gato ' * 500}</b>")
    paste(page, "<b>gato</b>")
    page.until(lambda: page.state() == "ready")
    paste(page, "", "gato " * 500, box="#rich")
    assert page["state"].text == "What was pasted is too long."
    paste(page, "", "gato " * 399, box="#rich")
    page.until(lambda: page.state() == "too-long")
    assert page["state"].text.startswith("The text with its markup is too long by")
    assert len(toy.markup) == 1


def test_a_key_is_asked_for_by_rich_text_too(page, toy):
    page.failing = ("400",)
    toy.key = "a-key"
    page.run("sessionStorage.clear(); setTimeout(() => {}, 0)")
    paste(page, "<b>gato</b>")
    asked = prompt(page)
    asked.send_keys("a-key")
    asked.accept()
    page.until(lambda: page.texts("#translation b") == ["cat"])
    page.run("sessionStorage.clear()")


def test_formatting_of_word_processors_is_understood(page, toy):
    markup = (
        '<b style="font-weight:normal" id="docs-internal"><p dir="ltr"><span style="font-weight:'
        '700;color:red">um</span> <span style="font-style:italic">gato</span></p></b>'
        "<table><tr><td>a</td><td>b</td></tr></table><div>x<strike>y</strike></div>"
    )
    assert paste(page, markup)
    page.until(lambda: toy.markup)
    assert toy.markup == ["<p><b>um</b> <i>gato</i></p><p> a b</p><p>x<s>y</s></p>"]


OWN = "document.title = &quot;owned&quot;"
HOSTILE = {
    "a script": "<script>document.title = 'owned'</script>",
    "a handler": f'<img src="x" onerror="{OWN}"><p onclick="{OWN}" onfocus="{OWN}">x</p>',
    "an image": f'<img src="https://a.org/x.png"><svg onload="{OWN}"><text>no</text></svg>',
    "links": f'<a href="javascript:{OWN}">a</a><a href="JAVA\tscript:{OWN}">b</a>'
    f'<a href=" &#1;javascript:{OWN}">c</a><a href="data:text/html,<script>1</script>">d</a>'
    '<a href="//a.org">e</a><a href="vbscript:1">f</a>',
    "styles": '<style>body { display: none }</style><p style="position: fixed; inset: 0">x</p>'
    '<link rel="stylesheet" href="https://a.org/x.css"><p class="translation" id="text">y</p>',
    "frames": f'<iframe srcdoc="<script>parent.{OWN}</script>"></iframe><object data="x"></object>'
    '<embed src="x"><form action="https://a.org"><input name="q"><button>z</button></form>',
    "a base": '<base href="https://a.org"><meta http-equiv="refresh" content="0; url=https://a.org">',
    "confusing tags": "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img "
    f"src=1 onerror={OWN}&gt;'>",
    "a template": f"<template><img src=x onerror={OWN}></template><noscript><p>n</p></noscript>",
    "nested tags": "<b>" * 10_000 + "fim",
    "nested boxes": "<div><blockquote>" * 5_000 + "fim",
    "a megabyte": "<script>" + "x" * 2**20 + "</script>",
    "a megabyte of tags": "<i></i>" * 150_000,
    "many megabytes": "<p>x</p>" * 500_000,
}
ALLOWED = {
    *("b", "strong", "i", "em", "u", "s", "code", "a", "p", "br", "ul", "ol", "li", "blockquote"),
    *("h1", "h2", "h3", "h4", "h5", "h6"),
}
INSIDE = """
return [...document.querySelectorAll(`#${arguments[0]} *`)].map((node) => [
  node.localName, ...[...node.attributes].map(({name, value}) => `${name}=${value}`)])"""


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_of_hostile_markup_runs(page, toy, kind):
    page.failing = ("Content Security Policy",)  # what it stops besides
    taken = paste(page, f"<p><b>um</b></p>{HOSTILE[kind]}", "um")
    if len(HOSTILE[kind]) < 2**18:  # a server sends no more than it was sent
        toy.rich_answer = f"<p><b>um</b></p>{HOSTILE[kind]}"
    if not taken:
        assert kind in ("a megabyte of tags", "many megabytes")
        paste(page, "<b>um</b>")
    page.until(lambda: page.state() == "ready")
    for box in ("rich", "translation"):
        for name, *attributes in page.run(INSIDE, box):
            assert name in ALLOWED
            safe = ("href=https://", "target=_blank", "rel=noopener noreferrer")
            assert all(attribute.startswith(safe) for attribute in attributes), attributes
        assert "um" in page[box].text
        assert "no" not in page[box].text
    page.run("document.querySelectorAll('#translation *').forEach((node) => node.click?.())")
    time.sleep(0.1)
    assert "owned" not in page.browser.title
    assert page["translator"].is_displayed()


def test_examples_are_those_of_the_model(page):
    assert page.config["examples"]
    assert page.texts("#example-list button") == page.config["examples"]
    page.all("#example-list button")[0].click()
    example = page.config["examples"][0]
    assert page["text"].get_attribute("value") == example
    page.until(lambda: page.state() == "ready")
    answer = page.answer("attention", {"text": [example]})
    assert page["translation"].text == answer["translation"]


@pytest.mark.parametrize("examples", [[], None])
def test_without_examples_there_is_no_list(page, toy, examples):
    assert page["examples"].is_displayed()
    toy.config["examples"] = examples
    page.open()
    assert not page["examples"].is_displayed()


def test_a_new_try_asks_what_is_served_now(page, toy):
    page.failing = ("400",)
    toy.failures[SHAPED] = [(400, {}, '{"error": "no such signature"}')]
    page["text"].send_keys(SHAPED)
    page.until(lambda: page.state() == "failed")
    toy.config |= {"signatures": ["attention", "translate_beam"], "examples": ["outro exemplo"]}
    page["retry"].click()
    page.until(lambda: page.state() == "ready")
    assert page["translation"].text == page.answer("attention", {"text": [SHAPED]})["translation"]
    assert page.texts("#example-list button") == ["outro exemplo"]


def test_only_a_pause_in_typing_sends_the_text(page, toy):
    page.translate("uma frase")
    asked = [text for signature, text in toy.requests if signature == "attention"]
    assert set(asked) == {"uma frase"}


def test_the_map_of_every_head_and_their_average_equals_the_weights(page):
    _, _, heads = without_padding(page.translate(SENTENCE))
    for index, expected in enumerate([heads.mean(0), *heads]):
        page.run("document.querySelectorAll('input[name=head]')[arguments[0]].click()", index)
        np.testing.assert_allclose(page.map(), expected, atol=DISPLAYED)


def test_a_target_token_highlights_its_row_and_weighs_the_source(page):
    source, target, heads = without_padding(page.translate(SENTENCE))
    page.hover(page.all("#target-tokens .token")[1])
    expected = heads.mean(0)[1]
    weights = page.numbers("#source-tokens .token-weight")
    np.testing.assert_allclose(weights, expected, atol=DISPLAYED)
    np.testing.assert_allclose(page.numbers("#map .in-row td"), expected, atol=DISPLAYED)
    assert page.texts("#map .in-row th") == [target[1]]
    best = int(expected.argmax())
    assert page["readout"].text.startswith(
        f"{target[1]} looks at {source[best]} {expected[best]:.3f} ·"
    )
    shades = [
        node.value_of_css_property("background-color") for node in page.all("#source-tokens .token")
    ]
    full = page.run("return getComputedStyle(document.body).getPropertyValue('--map-high')")
    assert shades[best] == "rgba({}, {}, {}, 1)".format(*bytes.fromhex(full.strip(" #")))


def test_a_source_token_highlights_its_column_and_weighs_the_target(page):
    source, _, heads = without_padding(page.translate(SENTENCE))
    page.hover(page.all("#source-tokens .token")[2])
    expected = heads.mean(0)[:, 2]
    weights = page.numbers("#target-tokens .token-weight")
    np.testing.assert_allclose(weights, expected, atol=DISPLAYED)
    np.testing.assert_allclose(page.numbers("#map td.in-column"), expected, atol=DISPLAYED)
    assert page.texts("#map th.in-column") == [source[2]]


def test_a_cell_tells_its_weight(page):
    source, target, heads = without_padding(page.translate(SENTENCE))
    page.hover(page.all("#map tbody tr:nth-child(3) td")[4])
    weight = f"{heads.mean(0)[2, 4]:.3f}"
    assert page["readout"].text == f"{target[2]} looks at {source[4]} with weight {weight}"


@pytest.mark.parametrize("kind", ["wordpiece", "sentencepiece"])
def test_words_sum_over_source_pieces_and_average_over_target_pieces(page, toy, kind):
    toy.kind = kind
    _, _, heads = without_padding(page.translate("uma palavra comprida"))
    page.run("document.querySelector('input[value=words]').click()")
    assert page.texts("#map thead th") == ["[START]", "uma", "palavra", "comprida", "[END]"]
    assert page.texts("#map tbody th") == ["comprida", "palavra", "uma", "[END]"]
    columns = np.add.reduceat(heads.mean(0), [0, 1, 2, 4, 6], axis=1)
    expected = np.add.reduceat(columns, [0, 2, 4, 5], axis=0) / [[2], [2], [1], [1]]
    np.testing.assert_allclose(page.map(), expected, atol=DISPLAYED)
    np.testing.assert_allclose(expected.sum(1), 1)


@pytest.mark.parametrize("beam_size", [1, 4, 8])
def test_alternatives_come_with_both_scores(page, beam_size):
    page.translate(SENTENCE)
    Select(page["beam-size"]).select_by_visible_text(str(beam_size))
    inputs = {
        "text": [SENTENCE],
        "beam_size": beam_size,
        "length_penalty": 1.0,
        "max_length": 0,
    }
    answer = page.answer("translate_beam", inputs)
    found = [index for index, score in enumerate(answer["scores"]) if score > -1e8]
    page.until(lambda: len(page.all("#beams tbody tr")) == len(found))
    page.until(lambda: not page["beam-state"].text)
    assert page.texts("#beams td:nth-child(2)") == [answer["translations"][k] for k in found]
    for column, name in ((3, "normalized_scores"), (4, "scores")):
        shown = page.numbers(f"#beams td:nth-child({column})")
        np.testing.assert_allclose(shown, [answer[name][k] for k in found], atol=0.00051)


def test_the_length_penalty_reaches_the_search(page):
    page.translate("um dois")
    page.until(lambda: page.all("#beams tbody tr"))
    page["length-penalty"].clear()
    page["length-penalty"].send_keys("2")
    inputs = {"text": ["um dois"], "beam_size": 4, "length_penalty": 2.0, "max_length": 0}
    best = page.answer("translate_beam", inputs)["normalized_scores"][0]
    page.until(lambda: abs(page.numbers("#beams td:nth-child(3)")[0] - best) < 0.00051)
    page["length-penalty"].send_keys("5")
    assert "0 to 5" in page["beam-state"].text


def test_markup_is_shown_as_text(page, toy):
    page.translate(MARKUP)
    assert page["translation"].text == " ".join(MARKUP.split()[::-1])
    page.until(lambda: page.all("#beams tbody tr"))
    page.run("document.querySelector('#source-tokens .token:nth-child(2)').focus()")
    assert page["readout"].text.startswith("<hr> is looked at by ")
    assert not page.all("main hr, main script, main img, main a")
    toy.failures["mau"] = [(400, {}, json.dumps({"error": MARKUP}))]
    page.failing = ("400",)
    page.press(Keys.ESCAPE)
    page["text"].send_keys("mau")
    page.until(lambda: page["state"].text == MARKUP)
    assert "owned" not in page.browser.title
    assert not page.all("main hr, main script, main img, main a")


def test_markup_in_sentences_and_examples_is_shown_as_text(page, toy):
    toy.config["examples"] = [MARKUP]
    page.open()
    assert page.texts("#example-list button") == [MARKUP]
    text = f"Um {MARKUP}.\n<i>Dois</i> {MARKUP} fim."
    answer = page.translate_sentences(text)
    assert page.texts("#translation") == [answer["translation"]]
    assert page.texts("#source-sentences") == [text]
    assert "owned" not in page.browser.title
    assert not page.all("main hr, main script, main img, main a, main i, main b")


def prompt(page):
    return WebDriverWait(page.browser, 10, poll_frequency=0.02).until(
        expected_conditions.alert_is_present()
    )


def test_a_key_is_asked_for_once_and_used_from_then_on(page, toy):
    page.failing = ("401",)
    toy.key = "a-key"
    page["text"].send_keys("um gato")
    for given in ("wrong", " a-key "):
        asked = prompt(page)
        asked.send_keys(given)
        asked.accept()
    page.until(lambda: page.state() == "ready")
    assert page["translation"].text == "gato um"
    page["text"].send_keys(" preto")
    page.until(lambda: page["translation"].text == "preto gato um")
    page.run("sessionStorage.clear()")


def test_who_has_no_key_is_told_and_not_asked_again(page, toy):
    page.failing = ("401",)
    toy.key = "a-key"
    page["text"].send_keys("um gato")
    prompt(page).dismiss()
    page.until(lambda: "a key is needed" in page["state"].text)
    page["text"].send_keys(" preto")
    time.sleep(1)
    assert expected_conditions.alert_is_present()(page.browser) is False
    assert "a key is needed" in page["state"].text


def test_a_busy_server_is_asked_again_after_the_time_it_names(page, toy):
    page.failing = ("503",)
    busy = (503, {"Retry-After": "1"}, '{"error": "queue is full"}')
    toy.failures["olá"] = [busy]
    page["text"].send_keys("olá")
    page.until(lambda: page.state() == "busy")
    began = time.monotonic()
    assert "busy" in page["state"].text
    page.until(lambda: page["translation"].text == "olá")
    assert time.monotonic() - began > 0.8
    assert toy.requests.count(("attention", "olá")) == 2


def test_a_failure_shows_the_message_and_can_be_tried_again(page, toy):
    page.failing = ("400",)
    toy.failures["olá"] = [(400, {}, '{"error": "the tokenizer does not know this"}')]
    page["text"].send_keys("olá")
    page.until(lambda: page.state() == "failed")
    assert page["state"].text == "the tokenizer does not know this"
    assert not page["attention"].is_displayed()
    page["retry"].click()
    page.until(lambda: page["translation"].text == "olá")
    assert not page["retry"].is_displayed()


def test_a_server_that_is_gone_is_reported(page, toy):
    page.failing = ("ERR_EMPTY_RESPONSE",)
    toy.failures["olá"] = [(0, {}, "")] * 4
    page["text"].send_keys("olá")
    page.until(lambda: page.state() == "failed")
    assert "cannot be reached" in page["state"].text


def test_an_answer_that_breaks_the_contract_is_reported(page, toy):
    toy.failures["olá"] = [(200, {}, '{"outputs": {"translation": ["x"]}}')]
    page["text"].send_keys("olá")
    page.until(lambda: page.state() == "failed")
    assert "“score”" in page["state"].text


@pytest.mark.parametrize("how", ["escape", "emptied", "button"])
def test_clearing_clears_everything(page, how):
    page.translate("um dois")
    if how == "escape":
        page.press(Keys.ESCAPE)
    elif how == "button":
        page["clear"].click()
    else:
        page["text"].send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.BACKSPACE)
    assert page["text"].get_attribute("value") == ""
    for name in ("translation", "score", "state", "count"):
        assert page[name].text == ""
    assert not page["attention"].is_displayed()
    assert not page["alternatives"].is_displayed()
    assert page.browser.switch_to.active_element == page["text"]


def test_a_very_long_text_limits_the_map_and_says_so(page, toy):
    page.run("document.getElementById('text').value = 'ab '.repeat(600)")
    page["text"].send_keys("c")
    page.until(lambda: page["limit"].is_displayed())
    assert "first 80 of 603 source and 602 target" in page["limit"].text
    assert len(page["translation"].text.split()) == 601
    assert page.map().shape == (80, 80)


def test_a_token_brings_its_place_in_the_map_into_view(page):
    resize(page.browser, 360)
    page.translate(SENTENCE)
    inside = """
        const box = document.getElementById("map-box").getBoundingClientRect();
        const weights = [...document.querySelectorAll("#map .in-row td")];
        const best = weights.sort((a, b) => b.textContent - a.textContent)[0];
        const {left, right} = best.getBoundingClientRect();
        return left >= box.left && right <= box.right + 1;"""
    for option in page.all("#target-tokens .token"):
        page.run("arguments[0].focus()", option)
        assert page.run(inside)


def test_a_text_over_the_limit_is_not_sent(page, toy):
    page.run("document.getElementById('text').value = 'á'.repeat(2000)")
    page["text"].send_keys("xyz")
    assert page.state() == "too-long"
    assert page["state"].text == "The text is too long by 3 characters."
    time.sleep(0.4)
    assert not toy.requests


@pytest.mark.parametrize("text", [SENTENCE, "anticonstitucional" * 20, f"{SENTENCE}\n" * 2])
def test_a_phone_scrolls_the_map_but_never_the_page_sideways(page, text):
    resize(page.browser, 360)
    page.translate(text)
    page.until(lambda: page.all("#beams tbody tr"))
    page.run("document.querySelector('#target-tokens .token').focus()")
    script = "const n = {}; return [n.scrollWidth, n.clientWidth]"
    width, room = page.run(script.format("document.documentElement"))
    assert width <= room == 360
    width, room = page.run(script.format("document.getElementById('map-box')"))
    assert room < 360
    assert width > room or text != SENTENCE


@pytest.mark.parametrize("text", [SENTENCE, SHAPED])
def test_every_control_has_a_name(page, text):
    page.translate(text)
    page.until(lambda: page.all("#beams tbody tr"))
    controls = page.all("button, input, select, textarea, summary, [role], [tabindex]")
    shown = [node for node in controls if node.is_displayed() and node.aria_role != "status"]
    assert len(shown) > 20
    assert all(node.accessible_name for node in shown)
    identifiers = page.run("return [...document.querySelectorAll('[id]')].map(n => n.id)")
    assert len(identifiers) == len(set(identifiers))


# A control shows its focus itself, or the visible part beside or around it does.
RINGED = """
const node = arguments[0];
return [node, node.nextElementSibling ?? node, node.parentNode]
  .some((shown) => getComputedStyle(shown).outlineStyle !== "none");
"""


@pytest.mark.parametrize("text", [SENTENCE, SHAPED])
def test_the_keyboard_reaches_every_control(page, text):
    page.translate(text)
    page.until(lambda: page["attention"].is_displayed())
    page.until(lambda: page.all("#beams tbody tr"))
    focusable = page.run("""
        const controls = "button, input, select, textarea, summary, [tabindex]";
        return [...document.querySelectorAll(controls)]
          .filter(n => n.checkVisibility({visibilityProperty: true}) && !n.disabled)
          .filter(n => n.type !== "radio" || n.checked)
          .filter(n => n.getAttribute("role") !== "option" || n.tabIndex === 0)""")
    reached = set()
    for _ in range(len(focusable) + 2):  # after the last control comes the browser's own turn
        active = page.browser.switch_to.active_element
        if active.tag_name != "body":
            reached.add(active.id)
            assert page.run(RINGED, active), active.get_attribute("outerHTML")
        page.press(Keys.TAB)
    assert reached == {node.id for node in focusable}


def test_the_keyboard_works_every_control(page):
    _, target, heads = without_padding(page.translate(SENTENCE))
    page.until(lambda: page.all("#beams tbody tr"))

    focus(page, "#target-tokens [tabindex='0']")
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert page.texts("#map .in-row th") == [target[1]]
    option = page.browser.switch_to.active_element
    assert option.accessible_name == page["readout"].text
    assert option.get_attribute("aria-selected") == "true"
    page.press(Keys.END)
    assert page.texts("#map .in-row th") == [target[-1]]

    focus(page, "input[name=head]:checked")
    page.press(Keys.ARROW_RIGHT)
    np.testing.assert_allclose(page.map(), heads[0], atol=DISPLAYED)
    focus(page, "input[name=units]:checked")
    page.press(Keys.ARROW_RIGHT)
    assert "vizinhos" in page.texts("#map thead th")
    focus(page, "#numbers")
    page.press(Keys.SPACE)
    assert page.all("#map tbody td span")[0].value_of_css_property("opacity") == "1"
    focus(page, "#beam-size")
    page.press("2")
    page.until(lambda: len(page.all("#beams tbody tr")) == 2)
    focus(page, "#alternatives summary")
    page.press(Keys.ENTER)
    assert not page["beams"].is_displayed()
    focus(page, "#copy")
    page.press(Keys.ENTER)
    page.until(lambda: page["state"].text == "Copied.")
    focus(page, "#example-list button")
    example = page.browser.switch_to.active_element.text
    page.press(Keys.ENTER)
    page.until(lambda: page["count"].text.startswith(str(len(example))))
    assert page["text"].get_attribute("value") == example
    page.press(Keys.ESCAPE)
    assert page["text"].get_attribute("value") == ""


CONTRASTS = """
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const luminance = (colour) => {
  const [r, g, b] = numbers(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (node) => {
  for (; node; node = node.parentElement) {
    const colour = getComputedStyle(node).backgroundColor;
    if (numbers(colour)[3] !== 0) return colour;
  }
};
const worst = {};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  const shown = node.checkVisibility({opacityProperty: true, visibilityProperty: true});
  if (!walker.currentNode.data.trim() || !shown) continue;
  const [a, b] = [getComputedStyle(node).color, behind(node)].map(luminance);
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) worst[node.outerHTML] = contrast;
}
return worst;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_background(page, scheme):
    emulate(page.browser, prefers_color_scheme=scheme)
    page.translate(SENTENCE)
    page.until(lambda: page.all("#beams tbody tr"))
    page["numbers"].click()
    page.hover(page.all("#target-tokens .token")[1])
    assert page.run(CONTRASTS) == {}
    page.press(Keys.ESCAPE)
    page.translate_sentences(SHAPED)
    page.hover(page.all("#source-sentences .sentence")[1])
    assert page.pointed()
    assert page.run(CONTRASTS) == {}


def test_a_change_of_scheme_repaints_the_map(page):
    page.translate(SENTENCE)
    script = """
        return [document.querySelector('.head canvas').toDataURL(),
                document.querySelector('#map tbody td').style.backgroundColor]"""
    light = page.run(script)
    emulate(page.browser, prefers_color_scheme="dark")
    page.until(lambda: not set(light) & set(page.run(script)))


def test_reduced_motion_moves_nothing(page, toy):
    toy.delays["um"] = 1.0
    moving = "return document.getAnimations({subtree: true}).length"
    page["text"].send_keys("um")
    page.until(lambda: page.state() == "translating" and page.run(moving))
    emulate(page.browser, prefers_reduced_motion="reduce")
    page.until(lambda: page.state() != "translating" or not page.run(moving))
    assert page.state() == "translating"
