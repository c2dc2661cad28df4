"""Tokenizers from elsewhere take the places of this package's, first of all the tutorial's."""

from types import SimpleNamespace

import pytest
import tensorflow as tf
import tensorflow_text as tf_text

from keras_transformer.data.tokenizers.adapter import TokenizerAdapter, as_tokenizer
from keras_transformer.data.tokenizers.pair import (
    Tokenizers,
    as_tokenizers,
    tutorial_tokenizers,
)
from keras_transformer.data.tokenizers.wordpiece import BertTokenizer, WordPieceTokenizer
from keras_transformer.errors import InputError

BERT_VOCABULARY = [
    "[PAD]", "[UNK]", "[START]", "[END]", "'", ",", ".", "[", "]", "do", "##n", "t", "ola", "mundo",
    "start", "##s",
]  # fmt: skip


def assert_same(one: tf.RaggedTensor, other: tf.RaggedTensor) -> None:
    assert one.to_list() == other.to_list()


@pytest.fixture(scope="module")
def trained():
    lines = ["este é um problema que temos que resolver ."]
    return {
        "wordpiece": WordPieceTokenizer.train(lines, vocab_size=100),
        "bert": BertTokenizer(BERT_VOCABULARY),
    }


class TutorialTokenizer(tf.Module):
    """One side of the tutorial's converter, as its notebook on subword tokenizers builds it."""

    def __init__(self, vocab_path):
        super().__init__()
        self.tokenizer = tf_text.BertTokenizer(str(vocab_path), lower_case=True)
        self.vocab = tf.Variable(vocab_path.read_text().splitlines())

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def tokenize(self, strings):
        ids = self.tokenizer.tokenize(strings).merge_dims(-2, -1)
        column = tf.ones([ids.bounding_shape()[0], 1], tf.int64)
        return tf.concat([2 * column, ids, 3 * column], axis=1)

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int64)])
    def detokenize(self, ids):
        words = self.tokenizer.detokenize(ids)
        bad = tf.strings.regex_full_match(words, r"\[PAD\]|\[START\]|\[END\]")
        return tf.strings.reduce_join(tf.ragged.boolean_mask(words, ~bad), separator=" ", axis=-1)

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int64)])
    def lookup(self, ids):
        return tf.gather(self.vocab, ids)

    @tf.function(input_signature=[])
    def get_vocab_size(self):
        return tf.shape(self.vocab)[0]


def tutorial_converter(pt_path, en_path, folder):
    converter = tf.Module()
    converter.pt, converter.en = TutorialTokenizer(pt_path), TutorialTokenizer(en_path)
    tf.saved_model.save(converter, str(folder))
    return tf.saved_model.load(str(folder))


def test_the_tutorials_converter_takes_the_same_place(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(BERT_VOCABULARY) + "\n")
    converter = as_tokenizers(tutorial_converter(path, path, tmp_path / "converter"))
    assert (converter.source_language, converter.target_language) == ("pt", "en")
    ours = tutorial_tokenizers(path, path)
    lines = ["Olá mundos, don't.", "", "[START]"]
    ids = ours.source.tokenize(lines)
    assert_same(converter.source.tokenize(lines), ids)
    assert_same(converter.pt.lookup(ids), ours.pt.lookup(ids))
    assert converter.target.get_vocab_size().numpy() == ours.target.vocab_size
    corpus = [b"ola mundos , don ' t .", b"", b"[ start ]"]
    human = [b"Ola mundos, don't.", b"", b"[Start]"]
    padded = tf.concat([ids, tf.fill([3, 2], tf.constant(9, tf.int64))], axis=1).to_tensor()
    for tokenizer in (converter.target, ours.target):
        for form in (ids, padded, tf.cast(padded, tf.int32)):
            assert tokenizer.detokenize(form).numpy().tolist() == corpus
            assert tokenizer.detokenize(form, style="human").numpy().tolist() == human
    assert (converter.en.start_id, converter.en.end_id, converter.en.unknown_id) == (2, 3, 1)
    with pytest.raises(InputError, match=r"tutorial_tokenizers"):
        converter.save(tmp_path)


def test_the_tutorials_converter_lies_in_a_saved_model(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(BERT_VOCABULARY) + "\n")
    loaded = tutorial_converter(path, path, tmp_path / "converter")
    module = tf.Module()
    module.tokenizers = as_tokenizers(loaded)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def round_trip(lines):
        ids = module.tokenizers.pt.tokenize(lines)
        return module.tokenizers.en.detokenize(ids, style="human")

    module.round_trip = round_trip
    tf.saved_model.save(module, str(tmp_path / "saved"))
    path.unlink()
    (tmp_path / "converter").rename(tmp_path / "elsewhere")
    lines = tf.constant(["Olá mundos, don't.", ""])
    found = tf.saved_model.load(str(tmp_path / "saved")).round_trip(lines)
    assert found.numpy().tolist() == [b"Ola mundos, don't.", b""]


def test_what_else_a_converter_has_is_found(trained):
    class Extended(tf.Module):
        def __init__(self, tokenizer):
            super().__init__()
            self.tokenizer = tokenizer
            for name in ("tokenize", "detokenize", "lookup", "get_vocab_size"):
                setattr(self, name, getattr(tokenizer, name))

        def get_reserved_tokens(self):
            return "reserved"

    converter = SimpleNamespace(pt=Extended(trained["bert"]), en=trained["bert"])
    tokenizers = as_tokenizers(converter)
    assert isinstance(tokenizers.pt, TokenizerAdapter)
    assert tokenizers.pt.get_reserved_tokens() == "reserved"
    assert tokenizers.en is trained["bert"]
    assert not hasattr(tokenizers.pt, "vocab")
    assert Tokenizers(converter.pt, converter.pt).shared


class Letters:
    """A tokenizer with ids of its own: a to h are 1 to 8, and 9 ends a text."""

    end_id = 9

    def __init__(self, before, after):
        self.before, self.after = before, after

    def tokenize(self, strings):
        texts = [[ord(letter) - 96 for letter in text.decode()] for text in strings.numpy()]
        rows = [[*self.before, *text, *self.after] for text in texts]
        return tf.ragged.constant(rows, tf.int64, row_splits_dtype=tf.int64)

    def detokenize(self, ids, style):
        rows = ids.to_list()
        return tf.constant([style + "".join(chr(96 + i) for i in row) for row in rows])

    def lookup(self, ids):
        rows = [[chr(96 + i) for i in row] for row in ids.to_list()]
        return tf.ragged.constant(rows, tf.string)


@pytest.mark.parametrize(
    ("before", "after", "start_id"), [([], [], None), ([], [9], None), ([8], [], 8), ([9], [9], 9)]
)
def test_a_converter_may_have_ids_of_its_own(before, after, start_id):
    tokenizer = as_tokenizer(Letters(before, after))
    assert (tokenizer.start_id, tokenizer.end_id, tokenizer.unknown_id) == (start_id, 9, None)
    ids = tokenizer.tokenize(["bad", "c"])
    assert ids.to_list() == [[*before, 2, 1, 4, *after], [*before, 3, *after]]
    assert tokenizer.lookup([[2, 1], [4, 3]]).to_list() == [[b"b", b"a"], [b"d", b"c"]]
    texts = tokenizer.detokenize([[2, 9, 4]], style="human").numpy().tolist()
    assert texts == [b"humanbid"]  # as the converter gives it
    with pytest.raises(InputError, match="unknown style of text 'italic'"):
        tokenizer.detokenize(ids, style="italic")


def test_tutorial_vocabularies(shared_data, official_validation, tmp_path):
    paths = {
        language: shared_data / "tutorial_vocabularies" / f"{language}_vocab.txt"
        for language in ("pt", "en")
    }
    if not paths["pt"].exists():
        pytest.skip("no tutorial vocabularies")
    ours = tutorial_tokenizers(paths["pt"], paths["en"])
    theirs = tutorial_converter(paths["pt"], paths["en"], tmp_path)
    assert ours.pt.get_vocab_size() == 7765
    assert ours.en.get_vocab_size() == 7010
    for language, lines in official_validation.items():
        ids = getattr(theirs, language).tokenize(lines)
        assert_same(getattr(ours, language).tokenize(lines), ids)
        tf.debugging.assert_equal(
            getattr(ours, language).detokenize(ids), getattr(theirs, language).detokenize(ids)
        )


def test_tokenizers_pass_through_as_they_are(trained):
    tokenizers = Tokenizers(trained["wordpiece"], trained["bert"])
    assert as_tokenizers(tokenizers) is tokenizers


def test_other_languages_of_a_converter(trained):
    converter = SimpleNamespace(gl=trained["wordpiece"], en=trained["bert"])
    tokenizers = as_tokenizers(converter, source_language="gl")
    assert tokenizers.source is converter.gl
    assert tokenizers.target is converter.en


def test_what_a_converter_lacks_is_named(trained):
    with pytest.raises(InputError, match=r"have no \.pt"):
        as_tokenizers(object())
    half = SimpleNamespace(pt=trained["wordpiece"], en=SimpleNamespace(tokenize=print))
    with pytest.raises(InputError, match=r"have no \.en\.detokenize"):
        as_tokenizers(half)
