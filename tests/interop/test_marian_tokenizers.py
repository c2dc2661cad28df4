"""Settings of Marian's tokenizers count as in `transformers`, and are kept both ways."""

import json

import pytest
import sentencepiece
from learned_models import sentencepiece_model

from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.interop.marian import their_ids
from keras_transformer.interop.tokenizer_files import (
    load_huggingface_tokenizer,
    save_huggingface_tokenizer,
)

LINES = ["the old man reads a book .", "she sings a song, été, to the man ."] * 20
TEXTS = [
    "the old  man\treads .",
    "",
    "  a  ",
    ">>pt<< the man",
    ">>pt<<the man",
    " >>pt<< the man",
    ">>a\nb<<the man",
    "a >>pt<< b",
    "a\x00b\x01c\x7fd\x85e\u200b\xad\ufeff",
    "Été e\u0301te\u0301 １ ﬁ 漢字 😀",
    "\u3000a\u00a0b\u2003",
]
SETTINGS = "tokenizer_config.json"


@pytest.fixture(scope="module", params=["nmt_nfkc", "identity"])
def files(request):
    """The files of a checkpoint by their names; the normalisation is the model's."""
    model = sentencepiece_model(
        LINES,
        60,
        hard_vocab_limit=False,
        normalization_rule_name=request.param,
        remove_extra_whitespaces=request.param != "identity",
        num_threads=1,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    learned = [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    names = ["</s>", "<unk>", ">>pt<<", *learned, "<pad>"]
    vocabulary = {name: i for i, name in enumerate(names)}
    sides = dict.fromkeys(("source.spm", "target.spm"), model)
    return {**sides, "vocab.json": json.dumps(vocabulary).encode()}


@pytest.fixture
def folder(files, tmp_path):
    """Writes a checkpoint's files, with JSON files beside them."""

    def write(**others):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        size = len(json.loads(files["vocab.json"]))
        contents = {"config": {"model_type": "marian", "vocab_size": size}, **others}
        for name, content in contents.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return tmp_path

    return write


def test_languages_that_nobody_names_are_unknown_and_not_written(folder, tmp_path):
    tokenizers = load_huggingface_tokenizer(folder())
    assert (tokenizers.source_language, tokenizers.target_language) == ("unknown", "unknown")
    save_huggingface_tokenizer(tokenizers, tmp_path / "saved")
    assert (
        not {"source_lang", "target_lang"}
        & json.loads((tmp_path / "saved" / SETTINGS).read_text()).keys()
    )


def test_settings_are_kept(folder, tmp_path):
    settings = {
        "source_lang": "en",
        "target_lang": "pt",
        "model_max_length": 77,
        "sp_model_kwargs": {"enable_sampling": False, "alpha": 0.1},
    }
    tokenizers = load_huggingface_tokenizer(folder(tokenizer_config=settings))
    assert (tokenizers.source_language, tokenizers.target_language) == ("en", "pt")
    save_huggingface_tokenizer(tokenizers, tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / SETTINGS).read_text()).items() >= settings.items()
    again = load_huggingface_tokenizer(tmp_path / "saved")
    assert again.target.tokenize(TEXTS).to_list() == tokenizers.target.tokenize(TEXTS).to_list()


def test_tokenizers_of_a_run_have_a_form_there(folder, tmp_path):
    load_huggingface_tokenizer(folder()).save(tmp_path / "run")
    save_huggingface_tokenizer(Tokenizers.load(tmp_path / "run"), tmp_path / "saved")
    again = load_huggingface_tokenizer(tmp_path / "saved")
    assert again.source.pieces == load_huggingface_tokenizer(tmp_path).source.pieces


def test_the_same_ids_for_every_text(folder, peers, tmp_path):
    special = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    where = folder(special_tokens_map=special)
    tokenizers = load_huggingface_tokenizer(where)
    save_huggingface_tokenizer(tokenizers, tmp_path / "saved")
    (tmp_path / "saved" / "config.json").write_bytes((where / "config.json").read_bytes())
    for theirs in (
        peers.MarianTokenizer.from_pretrained(where),
        peers.AutoTokenizer.from_pretrained(tmp_path / "saved"),
    ):
        size = len(theirs)
        assert size == len(tokenizers.source.pieces) - 1
        for text in TEXTS:
            (source,), (target,) = (
                side.tokenize([text]).numpy() for side in (tokenizers.source, tokenizers.target)
            )
            assert their_ids(size)[source].tolist() == theirs(text)["input_ids"], text
            expected = theirs(text_target=text)["input_ids"]
            assert their_ids(size)[target[1:]].tolist() == expected, text


def test_half_a_surrogate_pair_is_the_replacement_character(folder):
    source = load_huggingface_tokenizer(folder()).source
    halves = source.tokenize(["a\ud83d b", "\udc00", ">>pt<<\ud83d"]).to_list()
    assert halves == source.tokenize(["a\ufffd b", "\ufffd", ">>pt<<\ufffd"]).to_list()


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"tokenizer_config": {"mask_token": "<mask>"}}, "'<mask>', mask_token"),
        ({"tokenizer_config": {"eos_token": ">>pt<<"}}, "eos_token '>>pt<<'"),
        ({"tokenizer_config": {"separate_vocabs": True}}, "separate_vocabs"),
        ({"tokenizer_config": {"sp_model_kwargs": {"enable_sampling": True}}}, "enable_sampling"),
        ({"special_tokens_map": {"additional_special_tokens": [">>pt<<"]}}, "an added token"),
        ({"tokenizer_config": {"tokenizer_class": "PreTrainedTokenizerFast"}}, "only MarianT"),
        ({"added_tokens": {"<new>": 70}}, "'<new>', an added token"),
        ({"config": {"model_type": "marian", "vocab_size": 20}}, "vectors for 20 "),
    ],
)
def test_what_would_give_other_ids_is_refused_by_name(folder, others, message):
    where = folder(**others)
    with pytest.raises(InputError, match=message) as error:
        load_huggingface_tokenizer(where)
    assert str(where) in str(error.value)
