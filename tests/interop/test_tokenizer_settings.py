"""Every setting of a checkpoint's tokenizer counts as in `transformers`, and is kept both ways.

`EXAMPLES` hold what `transformers` 5.24 splits texts into; where it is installed, it is asked for
many more.
"""

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import sentencepiece_model_pb2
from tokenizers import pre_tokenizers

from keras_transformer.errors import InputError
from keras_transformer.interop.huggingface import save_huggingface
from keras_transformer.interop.sentences import sentence_embeddings
from keras_transformer.interop.tokenizer_files import (
    load_huggingface_tokenizer,
    save_huggingface_tokenizer,
)
from keras_transformer.models.bert import Bert

TEXTS = [
    "The Été, the ŒUVRE",
    "",
    " ",
    "  the  the\tthe\n",
    "東京the 東",
    "a [MASK] the[MASK]the [mask]",
    "[CLS] the<unk> [PAD]<pad><s>",
    "<new>the <New> <NEW>the",
    " <left> the<left>the",
    "the<right> the <right>  the",
    "word words sword word Word",
    "<|endoftext|>the <img>",
    "``the''",
    "😀 the👨‍👩‍👧",
    "t\x00h\x01e\x7f\u200bt\u00ad\ufeff",
    "e\u0301te\u0301 İ ß ﬁ １",
    "\u3000the\u00a0the\u2003",
    "t" * 120,
]
LETTERS = "abcdehlnorstuwÉTWéœŒ東京"
SETTINGS, SPECIAL, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
CLASSES = {"bert": "BertTokenizer", "albert": "AlbertTokenizer", "gpt2": "GPT2Tokenizer"}
SIZES = {"bert": 55, "albert": 33, "gpt2": 260}


def write_wordpiece(folder):
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "##the", "word", "<", ">", ","]
    names += [*LETTERS, *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(names) + "\n", encoding="utf-8")


def write_unigram(folder):
    proto = sentencepiece_model_pb2.ModelProto()
    control, unknown, ordinary, defined = 3, 2, 1, 4
    names = [("<pad>", control), ("<unk>", unknown), ("[CLS]", control), ("[SEP]", control)]
    names += [("[MASK]", defined)]
    names += [(name, ordinary) for name in ("▁", "▁the", "the", "▁word", ",", '"', *LETTERS)]
    for i, (name, kind) in enumerate(names):
        proto.pieces.add(piece=name, score=-float(i), type=kind)
    proto.trainer_spec.unk_id = 1
    (folder / "spiece.model").write_bytes(proto.SerializeToString())


def write_byte_level(folder):
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the")]
    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges), "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    lines = ["#version: 0.2", *map(" ".join, merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


WRITERS = {"bert": write_wordpiece, "albert": write_unigram, "gpt2": write_byte_level}


def flags(content, **changes):
    """A token as the files describe it."""
    names = ("lstrip", "normalized", "rstrip", "single_word", "special")
    return {"content": content, **dict.fromkeys(names, False), **changes}


def decoder(kind, *tokens):
    return {"added_tokens_decoder": {str(SIZES[kind] + i): token for i, token in enumerate(tokens)}}


@dataclass(frozen=True)
class Case:
    """A folder's files.

    Args:
        kind: of the checkpoint.
        files: the content of JSON files beside the vocabulary.
        then: where given, the tokenizer is loaded and saved once, with a ``tokenizer.json``, and
            these files take the place of those written; ``None`` deletes one.
    """

    kind: str
    files: dict[str, Any] = field(default_factory=dict)
    then: dict[str, Any] | None = None

    def write(self, folder: Path) -> Path:
        WRITERS[self.kind](folder)
        files = {"config.json": {"model_type": self.kind}, **self.files}
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))
        if self.then is None:
            return folder
        again = folder / "again"
        save_huggingface_tokenizer(load_huggingface_tokenizer(folder), again)
        for name, content in {"config.json": {"model_type": self.kind}, **self.then}.items():
            (again / name).unlink(missing_ok=True)
            if content is not None:
                (again / name).write_text(json.dumps(content))
        return again


def configured(kind, then=None, **settings):
    return Case(kind, {SETTINGS: settings}, then)


EVERY_FLAG = (
    flags("<new>", normalized=True),
    flags("<left>", lstrip=True),
    flags("<right>", rstrip=True, special=True),
    flags("word", single_word=True),
)
AS_IT_IS = {SETTINGS: {"tokenizer_class": "PreTrainedTokenizerFast"}}
CASES = {
    "cased": configured("bert", do_lower_case=False),
    "accents": configured("bert", strip_accents=False),
    "cased without accents": configured("bert", do_lower_case=False, strip_accents=True),
    "Chinese in words": configured("bert", tokenize_chinese_chars=False),
    "ignored by all": configured("bert", never_split=["Été"], do_basic_tokenize=False),
    "keep_accents": configured("albert", keep_accents=True),
    "cased unigrams": configured("albert", do_lower_case=False, keep_accents=True),
    "no prefix": configured("albert", add_prefix_space=False),
    "no space removed": configured("albert", remove_space=False),
    "add_prefix_space": configured("gpt2", add_prefix_space=True),
    "add_bos_token": configured("gpt2", add_bos_token=True),
    "add_eos_token": configured("gpt2", add_eos_token=True),
    "own ends": configured("gpt2", bos_token="<s>", eos_token="</s>", add_bos_token=True),
    "own padding": configured("gpt2", pad_token="<pad>"),
    "bos without ends": configured("albert", add_bos_token=False),
}
for kind in WRITERS:
    CASES |= {
        f"{kind}, silent": Case(kind),
        f"{kind}, Fast": configured(kind, tokenizer_class=f"{CLASSES[kind]}Fast"),
        f"{kind}, split_special_tokens": configured(kind, split_special_tokens=True),
        f"{kind}, added_tokens_decoder": configured(kind, **decoder(kind, *EVERY_FLAG)),
        f"{kind}, added_tokens.json": Case(
            kind, {ADDED: {"<new>": SIZES[kind], "word": SIZES[kind] + 1}}
        ),
        f"{kind}, special in added_tokens.json": Case(
            kind,
            {
                ADDED: {"<new>": SIZES[kind]},
                SETTINGS: {"additional_special_tokens": ["<new>"]},
            },
        ),
        f"{kind}, special_tokens_map.json": Case(
            kind,
            {
                SPECIAL: {
                    "mask_token": flags("[MASK]", lstrip=True, rstrip=True),
                    "additional_special_tokens": ["<img>"],
                }
            },
        ),
        f"{kind}, the decoder wins over other files": Case(
            kind,
            {
                SETTINGS: decoder(kind, flags("<left>", lstrip=True)),
                ADDED: {"<new>": SIZES[kind]},
                SPECIAL: {"mask_token": "<img>"},
            },
        ),
        f"{kind}, ids with a hole": configured(
            kind, added_tokens_decoder={str(SIZES[kind] + 5): flags("<new>")}
        ),
        f"{kind}, flags among the settings": configured(
            kind, mask_token={"__type": "AddedToken", **flags("[MASK]", lstrip=True)}
        ),
        f"{kind}, extra tokens": configured(kind, extra_special_tokens=["<img>", "word"]),
        f"{kind}, extra tokens with names": configured(
            kind, extra_special_tokens={"image": "<img>"}, word_token="word"
        ),
        f"{kind}, no mask": configured(kind, mask_token=None),
        f"{kind}, new mask": configured(kind, mask_token="<new>"),
        f"{kind}, tokenizer.json alone": configured(
            kind, {SETTINGS: None}, **decoder(kind, *EVERY_FLAG)
        ),
        f"{kind}, as it is": configured(kind, AS_IT_IS, **decoder(kind, *EVERY_FLAG)),
    }
for key, value in itertools.product(("do_lower_case", "strip_accents"), (True, False)):
    name = f"bert, {key} is {value} in one file"
    CASES[name] = configured("bert", {SETTINGS: {key: value}}, **{key: not value})
    CASES[f"{name}, as it is"] = configured("bert", AS_IT_IS, **{key: not value})
for kind, key in (("albert", "keep_accents"), ("gpt2", "add_prefix_space")):
    for value in (True, False):
        name = f"{kind}, {key} is {value} in one file"
        CASES[name] = configured(kind, {SETTINGS: {key: value}}, **{key: not value})
        CASES[f"{name}, as it is"] = configured(kind, AS_IT_IS, **{key: not value})


EXAMPLES = [
    ("bert, silent", "The Été", "[CLS] the e ##t ##e [SEP]"),
    ("cased", "The Été", "[CLS] T ##h ##e É ##t ##é [SEP]"),
    ("accents", "The Été", "[CLS] the é ##t ##é [SEP]"),
    ("Chinese in words", "東京the 東", "[CLS] 東 ##京 ##the 東 [SEP]"),
    ("bert, do_lower_case is True in one file", "The Été", "[CLS] the e ##t ##e [SEP]"),
    ("bert, do_lower_case is False in one file", "The", "[CLS] T ##h ##e [SEP]"),
    ("bert, do_lower_case is True in one file, as it is", "The", "[CLS] T ##h ##e [SEP]"),
    ("albert, silent", "The Été", "[CLS] ▁the ▁ e t e [SEP]"),
    ("keep_accents", "The Été", "[CLS] ▁the ▁ é t é [SEP]"),
    ("cased unigrams", "The Été", "[CLS] ▁ T h e ▁ É t é [SEP]"),
    ("no prefix", "the the", "[CLS] the the [SEP]"),
    ("bos without ends", "the", "▁the"),
    ("albert, keep_accents is True in one file", "Été", "[CLS] ▁ é t é [SEP]"),
    ("albert, keep_accents is False in one file", "Été", "[CLS] ▁ e t e [SEP]"),
    ("gpt2, silent", "the the", "the Ġthe <|endoftext|>"),
    ("add_prefix_space", "the the", "Ġthe Ġthe <|endoftext|>"),
    ("gpt2, add_prefix_space is True in one file", "the", "Ġthe <|endoftext|>"),
    ("gpt2, add_prefix_space is False in one file", "the", "the <|endoftext|>"),
    ("add_bos_token", "the", "<|endoftext|> the <|endoftext|>"),
    ("add_eos_token", "the", "the <|endoftext|>"),
    ("own ends", "the", "<s> the </s>"),
    ("own padding", "the<pad>", "the <pad> <|endoftext|>"),
    ("bert, split_special_tokens", "<[CLS]", "[CLS] < [UNK] c ##l ##s [UNK] [SEP]"),
    ("bert, added_tokens_decoder", "<New>the<right> ", "[CLS] <new> the <right> [SEP]"),
    ("bert, added_tokens_decoder", "word swords", "[CLS] word s ##w ##o ##r ##d ##s [SEP]"),
    ("bert, added_tokens.json", "<New>the", "[CLS] <new> the [SEP]"),
    ("bert, special in added_tokens.json", "<new><New>", "[CLS] <new> < n ##e ##w > [SEP]"),
    ("bert, the decoder wins over other files", "<new>", "[CLS] < n ##e ##w > [SEP]"),
    ("bert, tokenizer.json alone", "<New>the<right> ", "[CLS] <new> the <right> [SEP]"),
    ("bert, as it is", "<New>the<right> ", "[CLS] <new> the <right> [SEP]"),
    ("albert, special_tokens_map.json", "a [MASK] the", "[CLS] ▁ a [MASK] ▁the [SEP]"),
    ("gpt2, extra tokens", "the<img>words", "the <img> word s <|endoftext|>"),
]
"""Names of cases, texts, and what `transformers` splits them into; in GPT-2, with our end."""


def in_pieces(tokenizer, text) -> str:
    (row,) = tokenizer.lookup(tokenizer.tokenize([text])).to_list()
    return " ".join(piece.decode() for piece in row)


def saved(tokenizer, folder) -> Path:
    save_huggingface_tokenizer(tokenizer, folder)
    (folder / "config.json").write_text(json.dumps({"model_type": tokenizer.kind}))
    return folder


@pytest.mark.parametrize("name", dict.fromkeys(name for name, *_ in EXAMPLES))
def test_settings_and_added_tokens_count(name, tmp_path):
    ours = load_huggingface_tokenizer(CASES[name].write(tmp_path))
    again = load_huggingface_tokenizer(saved(ours, tmp_path / "saved"))
    assert again.settings == ours.settings
    for case, text, pieces in EXAMPLES:
        if case == name:
            assert in_pieces(ours, text) == pieces
            assert in_pieces(again, text) == pieces


@pytest.mark.parametrize("name", CASES)
def test_ids_are_those_of_the_peer_before_and_after_saving(name, peers, tmp_path):
    case = CASES[name]
    folder = case.write(tmp_path)
    ours = load_huggingface_tokenizer(folder)
    again = saved(ours, tmp_path / "saved")
    theirs = [peers.AutoTokenizer.from_pretrained(path) for path in (folder, again)]
    if not name.endswith("as it is"):
        theirs.append(getattr(peers, CLASSES[case.kind]).from_pretrained(again))
    for peer in theirs:
        assert ours.vocab_size - ours.offset == len(peer)
        for text, row in zip(TEXTS, ours.tokenize(TEXTS).to_list(), strict=True):
            expected = peer(text)["input_ids"]
            if case.kind == "gpt2":
                end = [] if name == "add_eos_token" else [ours.end_id]
                expected = [*(token + 1 for token in expected), *end]
            assert row == expected, text


@pytest.mark.parametrize("kind", WRITERS)
def test_what_the_peer_saves(kind, peers, tmp_path):
    folder = configured(kind, **decoder(kind, *EVERY_FLAG)).write(tmp_path)
    theirs = peers.AutoTokenizer.from_pretrained(folder, image_token="<img>", keep_accents=True)
    theirs.add_tokens(["t"])
    theirs.save_pretrained(tmp_path / "saved")
    ours = load_huggingface_tokenizer(tmp_path / "saved")
    for text, row in zip(TEXTS, ours.tokenize(TEXTS).to_list(), strict=True):
        expected = theirs(text)["input_ids"]
        if kind == "gpt2":
            expected = [token + 1 for token in (*expected, theirs.eos_token_id)]
        assert row == expected, text


@pytest.mark.parametrize("tidies", [True, False])
def test_texts_are_tidied_where_the_settings_say_so(tidies, tmp_path):
    write_wordpiece(tmp_path)
    with (tmp_path / "vocab.txt").open("a") as file:
        file.write("'\n")
    settings = {"tokenizer_class": "BertTokenizer", "clean_up_tokenization_spaces": tidies}
    (tmp_path / SETTINGS).write_text(json.dumps(settings))
    ours = load_huggingface_tokenizer(tmp_path)
    (text,) = ours.detokenize(ours.tokenize(["the 't word, the"])).numpy()
    assert text == (b"the't word, the" if tidies else b"the ' t word, the")


@pytest.mark.parametrize("kind", WRITERS)
def test_half_a_surrogate_pair_is_the_replacement_character(kind, tmp_path):
    ours = load_huggingface_tokenizer(Case(kind).write(tmp_path))
    halves, replaced = ["t\ud83d h", "\udc00"], ["t\ufffd h", "\ufffd"]
    assert ours.tokenize(halves).to_list() == ours.tokenize(replaced).to_list()
    if kind != "gpt2":
        ids, _ = ours.tokenize_pairs(halves, halves)
        assert ids.to_list() == ours.tokenize_pairs(replaced, replaced)[0].to_list()


def test_other_settings_are_kept(tmp_path):
    settings = {"model_max_length": 77, "padding_side": "left", "remove_space": False}
    folder = configured("albert", **settings, name_or_path="/elsewhere").write(tmp_path)
    save_huggingface_tokenizer(load_huggingface_tokenizer(folder), tmp_path / "saved")
    written = json.loads((tmp_path / "saved" / SETTINGS).read_text())
    assert written.items() >= settings.items()
    assert "name_or_path" not in written


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (configured("bert", tokenizer_class="BertJapaneseTokenizer"), "BertJapaneseTokenizer"),
        (configured("bert", auto_map={"AutoTokenizer": ["a.B", None]}), "auto_map"),
        (configured("gpt2", init_inputs=["a"]), "init_inputs"),
        (configured("bert", fast_tokenizer_files=["tokenizer.4.0.json"]), "fast_tokenizer_files"),
        (configured("bert", unk_token="<unk>"), "no id for what it does not know"),
        (configured("bert", pad_token="<new>"), "<new> at id 55, the pad_token"),
        (configured("albert", unk_token="[CLS]"), r"\[CLS\] at id 1"),
        (configured("bert", mask_token=5), "a token is a string"),
        (configured("bert", added_tokens_decoder={"a": 5}), "added tokens cannot be read"),
        (Case("gpt2", {ADDED: ["<new>"]}), "added_tokens.json: is damaged"),
        (Case("gpt2", {SETTINGS: ["a"]}), "tokenizer_config.json: is damaged"),
        (configured("bert", do_lower_case="no"), "cannot be read"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(case, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        load_huggingface_tokenizer(case.write(tmp_path))
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "processor", "message"),
    [
        ("gpt2", {"sep": ["a", 5], "cls": ["b", 6]}, "ends with its eos_token"),
        ("albert", {"sep": ["a", 5], "cls": ["b", 6]}, None),
    ],
)
def test_what_tokenizer_json_puts_around_a_text(kind, processor, message, tmp_path):
    folder = Case(kind, then={}).write(tmp_path)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["post_processor"] = {"type": "BertProcessing", **processor}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    if message:
        with pytest.raises(InputError, match=message):
            load_huggingface_tokenizer(folder)
        return
    ours = load_huggingface_tokenizer(folder)
    assert ours.tokenize([""]).to_list() == [[6, 5]]
    ids, segments = ours.tokenize_pairs([""], [""])
    assert (ids.to_list(), segments.to_list()) == ([[6, 5, 5]], [[0, 0, 1]])


def test_pairs_need_an_end_each(tmp_path):
    ours = load_huggingface_tokenizer(CASES["bos without ends"].write(tmp_path))
    assert (ours.start_id, ours.end_id) == (None, None)
    with pytest.raises(InputError, match="no pairs"):
        ours.tokenize_pairs(["a"], ["b"])


def sized(case, vocab_size, folder):
    """A folder whose model has vectors for so many ids."""
    folder = case.write(folder)
    config = {"model_type": case.kind, "vocab_size": vocab_size}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("kind", WRITERS)
def test_a_tokenizer_with_more_ids_than_the_model_is_refused(kind, tmp_path):
    stray = configured(kind, mask_token="<new>")
    with pytest.raises(InputError, match=r"none for '<new>'.*mask_token") as error:
        load_huggingface_tokenizer(sized(stray, SIZES[kind], tmp_path))
    message = str(error.value)
    assert f"{SIZES[kind] + 1} ids" in message
    assert f"vectors for {SIZES[kind]} " in message
    ours = load_huggingface_tokenizer(sized(stray, SIZES[kind] + 1, tmp_path))
    assert ours.mask_id == SIZES[kind] + ours.offset


def test_a_tokenizer_is_saved_and_used_with_its_model_alone(tmp_path):
    sizes = {"num_layers": 1, "d_model": 8, "num_heads": 2, "dff": 12, "max_length": 6}
    small, right = (Bert(vocab_size=n, **sizes) for n in (30, 55))
    ours = load_huggingface_tokenizer(Case("bert").write(tmp_path))
    with pytest.raises(InputError, match="vectors for 30 "):
        save_huggingface(small, tmp_path / "small", tokenizer=ours)
    with pytest.raises(InputError, match="vectors for 30:"):
        sentence_embeddings(small, ours, ["京"])
    assert not (tmp_path / "small").exists()
    other = tmp_path / "gpt2"
    other.mkdir()
    with pytest.raises(InputError, match="that of a gpt2 checkpoint"):
        save_huggingface(
            right, tmp_path, tokenizer=load_huggingface_tokenizer(Case("gpt2").write(other))
        )
    with pytest.raises(InputError, match="str has no form"):
        save_huggingface_tokenizer("vocab.txt", tmp_path)
