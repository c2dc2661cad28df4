"""Texts of any script are drawn in a font that has them, and matplotlib has nothing to say."""

import logging
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_transformer.plotting import fonts
from keras_transformer.plotting.attention import attention_figure
from keras_transformer.plotting.fonts import LAST_RESORT, drawable, text_style
from keras_transformer.plotting.gradients import plot_gradients_through_time
from keras_transformer.plotting.lengths import plot_scores_by_length
from keras_transformer.plotting.lines import plot_attention_lines
from keras_transformer.plotting.rollout import plot_attention_rollout
from keras_transformer.plotting.style import new_figure
from keras_transformer.plotting.teaching import plot_masks
from keras_transformer.plotting.training import plot_learning_rate, plot_training_curves

TEXTS = {
    "Latin": "problema ç ß",
    "Chinese": "我们必须解决这个问题。",
    "Japanese": "これは問題です、ｶﾅ",
    "Korean": "문제입니다",
    "Arabic": "مشكلة",
    "Hebrew": "בעיה",
    "Devanagari": "समस्या क्\u200dष",
    "Thai": "ปัญหา",
    "Lao": "ບັນຫາ",
    "Tibetan": "གནད་དོན",
    "Burmese": "ပြဿနာ",
    "Khmer": "បញ្ហា",
    "Ethiopic": "ችግር",
    "emoji": "👍🏽 👩\u200d👧 😀 ❤\ufe0f",
    "rare": "𠀀 𓀀 ⠀ ㅤ",
    "private": "\ue000 \U0010fffd",
    "unassigned": "\u0378 \uffff",
    "spaces": "\u00a0 \u3000 \u2028 \u200b \ufeff \u202e",
    "control": "\0 \x7f \x85 \t",
    "no Unicode": "\ud83d",
    "dollars": "a $ b $ c $x^$",
}


SCORES = {"words": "1+", "unit": "words", "sentences": 1, "bleu": 1.0}


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch):
    monkeypatch.setattr(fonts, "_told", set())
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    fonts._fonts_for.cache_clear()
    yield
    fonts._fonts_for.cache_clear()


@pytest.fixture
def bare(monkeypatch):
    """A machine with the fonts of matplotlib and no others; gives the list of files to install."""
    own = Path(matplotlib.get_data_path())
    manager = font_manager.fontManager
    kept = [entry for entry in manager.ttflist if own in Path(entry.fname).parents]
    monkeypatch.setattr(manager, "ttflist", kept)
    installed: list[str] = []
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(installed))
    return installed


def make_font(path, family, characters, *, outlines=True, weight=400):
    """A font whose characters are filled squares, or empty."""
    characters = sorted(set(characters))
    pen = TTGlyphPen(None)
    if outlines:
        pen.moveTo((100, 0))
        for corner in ((100, 700), (800, 700), (800, 0)):
            pen.lineTo(corner)
        pen.closePath()
    glyph, empty = pen.glyph(), TTGlyphPen(None).glyph()
    names = [".notdef", *(f"u{ord(character):X}" for character in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(map(ord, characters), names[1:], strict=True)))
    builder.setupGlyf({name: empty if name == ".notdef" else glyph for name in names})
    builder.setupHorizontalMetrics({name: (900, 100) for name in names})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    name = "Bold" if weight > 500 else "Regular"
    builder.setupNameTable({"familyName": family, "styleName": name})
    builder.setupOS2(usWeightClass=weight)
    builder.setupPost()
    builder.save(path)
    return str(path)


def draw(figure):
    FigureCanvasAgg(figure).draw()


def messages(caplog):
    return [record.getMessage() for record in caplog.records]


def draw_everything(texts):
    """Every picture that has texts of someone else's."""
    tokens = [f"▁{text}" for text in texts]
    weights = np.random.default_rng(0).random((1, 1, len(tokens), len(tokens)))
    draw(attention_figure(tokens, ["[START]", *tokens], weights[0]))
    draw(plot_attention_lines(weights, tokens, word=1))
    names = [" ".join(texts[part::2]) for part in range(2)]
    for figure in (
        plot_masks({name: np.eye(2) for name in names}, ["a", tokens[0]]),
        plot_learning_rate(dict.fromkeys(names, lambda step: step), steps=5),
        plot_gradients_through_time(dict.fromkeys(names, np.ones((2, 3)))),
        plot_scores_by_length({name: [SCORES] for name in names}),
        plot_training_curves({name: [1.0] for name in names}),
        plot_attention_rollout(np.zeros((4, 4)), np.eye(4), patch_size=2, title=names[0]),
    ):
        figure.set_layout_engine("none")  # the names have more room than there is
        draw(figure)


# Laws


@pytest.mark.parametrize("machine", ["as it is", "bare"])
def test_matplotlib_has_nothing_to_say_and_its_settings_stay(machine, request, caplog):
    if machine == "bare":
        request.getfixturevalue("bare")
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")  # as of a glyph that is missing
        draw_everything(list(TEXTS.values()))
    assert dict(matplotlib.rcParams) == before
    assert {record.name for record in caplog.records} <= {fonts.__name__}


def test_what_the_usual_font_has_needs_no_other():
    style = text_style([TEXTS["Latin"], TEXTS["spaces"], TEXTS["Hebrew"]], weight="bold", size=7)
    families = matplotlib.rcParams["font.family"]
    assert style == {"parse_math": False, "family": families, "weight": "bold", "size": 7}


@pytest.mark.parametrize("script", TEXTS)
def test_a_script_is_reported_once(script, bare, caplog):
    for _ in range(2):
        text_style([TEXTS[script], "a"])
        text_style([drawable(TEXTS[script])])
    told = messages(caplog)
    assert len(told) == len(set(told))
    assert not any("/" in line or "\n" in line for line in told)


# Examples


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("我们", ["U+4EEC (Chinese)", "Noto Sans CJK SC (apt-get install fonts-noto-cjk"]),
        ("これは", ["U+3053 (Japanese)", "Noto Sans CJK JP (apt-get install fonts-noto-cjk"]),
        ("문제", ["U+BB38 (Korean)", "Noto Sans CJK KR (apt-get install fonts-noto-cjk"]),
        ("समस्या", ["U+092E (Devanagari)", "Noto Sans (apt-get install fonts-noto-core"]),
        ("ปัญหา", ["U+0E0D (Thai)", "Noto Sans (apt-get install fonts-noto-core"]),
        ("👍", ["U+1F44D (symbol)", "Symbola (apt-get install fonts-symbola"]),
        ("\ue000", ["U+E000 (private use), which no installed font has."]),
        ("\u0378", ["U+0378 (unassigned), which no installed font has."]),
    ],
)
def test_what_to_install(text, says, bare, caplog):
    style = text_style([text])
    assert style["family"][-1] == LAST_RESORT
    (told,) = messages(caplog)
    assert all(part in told for part in says), told


def test_a_font_that_has_the_characters_joins_in(bare, tmp_path, caplog):
    """One that was installed after matplotlib made its list, too."""
    assert text_style(["समस्या"])["family"][-1] == LAST_RESORT
    bare.append(make_font(tmp_path / "a.ttf", "Example Sans", "समस्या"))
    style = text_style(["समस्या a"], weight="bold", style="italic")
    assert style["family"] == [*matplotlib.rcParams["font.family"], "Example Sans"]
    assert (style["weight"], style["style"]) == ("normal", "normal")  # it has no others
    assert len(messages(caplog)) == 1
    figure = new_figure(2, 1)
    figure.text(0.1, 0.5, "समस्या a", **style)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(figure)


def test_a_font_of_matplotlib_joins_in(bare):
    assert text_style(["a \N{WATCH}"])["family"][-1].startswith("STIX")


def test_fonts_for_several_scripts_and_none_for_one(bare, tmp_path):
    bare.append(make_font(tmp_path / "a.ttf", "Example Serif", "我们"))
    bare.append(make_font(tmp_path / "b.ttf", "Example Sans", "我"))
    bare.append(make_font(tmp_path / "c.ttf", "Example Thai", "ปัญหา"))
    family = text_style(["我们", "ปัญหา", "ችግር"])["family"]
    assert family[1:] == ["Example Thai", "Example Sans", "Example Serif", LAST_RESORT]


def test_chinese_and_japanese_have_fonts_of_their_own(bare, tmp_path):
    for country in ("HK", "JP", "KR", "SC", "TC"):
        font = make_font(tmp_path / f"{country}.ttf", f"Noto Sans CJK {country}", "问題これ문")
        bare.append(font)
    assert text_style(["问題"])["family"][-1] == "Noto Sans CJK SC"
    assert text_style(["これ"])["family"][-1] == "Noto Sans CJK JP"
    assert text_style(["문"])["family"][-1] == "Noto Sans CJK KR"


def test_fonts_that_matplotlib_cannot_draw_are_not_chosen(bare, tmp_path, caplog):
    (tmp_path / "broken.ttf").write_bytes(b"\0\1\0\0" + bytes(100))
    bare.append(str(tmp_path / "broken.ttf"))
    bare.append(str(tmp_path / "missing.ttf"))
    bare.append(make_font(tmp_path / "a.ttf", "Colour Emoji", "👍", outlines=False))
    assert text_style(["👍"])["family"][-1] == LAST_RESORT
    bare.append(make_font(tmp_path / "b.ttf", "Emoji", "👍"))
    assert text_style(["👍"])["family"][-1] == "Emoji"


def test_characters_of_private_use_are_no_font_s(bare, tmp_path):
    bare.append(make_font(tmp_path / "a.ttf", "Logos", "\ue000"))
    assert "Logos" not in text_style(["\ue000"])["family"]


def test_a_font_that_is_bold_alone_is_drawn_without_a_warning(bare, tmp_path, caplog):
    bare.append(make_font(tmp_path / "a.ttf", "Heavy", "ችግር", weight=700))
    figure = new_figure(2, 1)
    figure.text(0.1, 0.5, "ችግር", **text_style(["ችግር"]))
    draw(figure)
    assert text_style(["ችግር"])["family"][-1] == "Heavy"
    assert messages(caplog) == []


def test_what_is_installed_already_is_no_remedy(bare, tmp_path, caplog):
    bare.append(make_font(tmp_path / "a.ttf", "Noto Sans CJK SC", "我"))
    text_style(["𠀀"])
    assert messages(caplog)[0].endswith("which no installed font has.")


def test_settings_of_the_user_come_first(bare, tmp_path):
    bare.append(make_font(tmp_path / "a.ttf", "Example Sans", "ችግር"))
    with matplotlib.rc_context({"font.family": ["serif", "monospace"]}):
        assert text_style(["ችግር"])["family"] == ["serif", "monospace", "Example Sans"]
    with matplotlib.rc_context({"font.family": ["No such font"]}):
        assert text_style(["ችግር"])["family"] == ["No such font", "Example Sans"]


def test_names_are_drawn_as_they_are():
    figure = plot_learning_rate({"a $b$ \x01": lambda step: step}, steps=5)
    (name,) = figure.axes[0].get_legend().get_texts()
    assert name.get_text() == "a $b$ \\x01"
    assert not name.get_parse_math()


def test_text_that_can_be_drawn():
    assert drawable("a\nb\tc\0\x85") == "a\nb\\tc\\x00\\x85"
    assert drawable("\ud83d\ude00 \ud83d") == "😀 \ufffd"
    assert drawable(3) == "3"
