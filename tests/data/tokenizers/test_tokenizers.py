import gzip
import json
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf

from keras_transformer.data.text.normalization import normalize
from keras_transformer.data.tokenizers.base import SubwordTokenizer
from keras_transformer.data.tokenizers.pair import Tokenizers, train_tokenizers
from keras_transformer.data.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_transformer.data.tokenizers.vocabulary import learn_sentencepiece, learn_wordpiece
from keras_transformer.data.tokenizers.wordpiece import BertTokenizer, WordPieceTokenizer
from keras_transformer.errors import InputError

PORTUGUESE = [
    "este é um problema que temos que resolver .",
    "o gato não viu a menina no jardim , mas a menina viu o gato .",
    "`` olá '' , disse ela : quanto custa ? 3,50 ou 1.000 !",
    "os livros velhos ficam na casa grande da minha avó - sempre .",
] * 5
ENGLISH = [
    "this is a problem we have to solve .",
    "the cat did n't see the girl in the garden , but she saw the cat .",
    "`` hello '' , she said : how much is it ? 3.50 or 1,000 !",
    "the old books stay in my grandmother 's big house - always .",
] * 5
CORPUS = SimpleNamespace(
    train=tf.data.Dataset.from_tensor_slices((PORTUGUESE, ENGLISH)),
    source_language="pt",
    target_language="en",
    normalization="ptb-lower",
)
BERT_VOCABULARY = [
    "[PAD]", "[UNK]", "[START]", "[END]", "'", ",", ".", "[", "]", "do", "##n", "t", "ola", "mundo",
    "start", "##s",
]  # fmt: skip

HOSTILE = [
    "",
    "   ",
    "[START] [END] [PAD] [UNK]",
    " [START]\t[PAD]",
    "<s> </s> <pad> <unk> <0x41>",
    "## ##a #",
    "😀👍🏽",
    "Привет 你好 สวัสดี שלום",
    b"ol\xe1 \xff\xfe",
    "a\x00b\n\r\nc",
    "x" * 50_000,
    "a▁b",
]


@pytest.fixture(scope="module")
def trained():
    return {
        "wordpiece": WordPieceTokenizer.train(PORTUGUESE, vocab_size=300),
        "wordpiece-none": WordPieceTokenizer.train(
            [*PORTUGUESE, "## [START] [PAD]"], vocab_size=300, normalization="none"
        ),
        "sentencepiece": SentencePieceTokenizer.train(PORTUGUESE, vocab_size=400),
        "sentencepiece-none": SentencePieceTokenizer.train(
            PORTUGUESE, vocab_size=400, normalization="none"
        ),
        "bert": BertTokenizer(BERT_VOCABULARY),
    }


KINDS = ["wordpiece", "wordpiece-none", "sentencepiece", "sentencepiece-none", "bert"]


@pytest.fixture(params=KINDS)
def tokenizer(request, trained) -> SubwordTokenizer:
    return trained[request.param]


@pytest.fixture(params=KINDS[:-1])
def reversible(request, trained) -> SubwordTokenizer:
    return trained[request.param]


def assert_same(one: tf.RaggedTensor, other: tf.RaggedTensor) -> None:
    assert one.to_list() == other.to_list()


# Laws


def test_round_trip(reversible):
    ids = reversible.tokenize(PORTUGUESE)
    assert [line.decode() for line in reversible.detokenize(ids).numpy()] == PORTUGUESE


def test_any_text_has_its_start_and_end_and_no_other_control_token(tokenizer):
    ids = tokenizer.tokenize(HOSTILE + PORTUGUESE)
    assert ids.dtype == tf.int64
    assert ids.shape.as_list() == [len(HOSTILE) + len(PORTUGUESE), None]
    for row in ids.to_list():
        assert row[0] == tokenizer.start_id == 2
        assert row[-1] == tokenizer.end_id == 3
        assert not {0, 2, 3} & set(row[1:-1])
        assert max(row) < tokenizer.vocab_size
    assert ids[0].numpy().tolist() == ids[1].numpy().tolist() == [2, 3]


def test_text_that_is_no_unicode_has_the_replacement_character(tokenizer):
    """Half of a surrogate pair and a stray byte are read alike, and not as a question mark."""
    ids = tokenizer.tokenize(["um \ufffd gato", "um \ud83d gato", b"um \xff gato"]).to_list()
    assert ids[0] == ids[1] == ids[2]
    assert tokenizer.tokenize("um \ude00 gato").to_list()[0] == ids[0]


def test_what_is_no_unicode_teaches_the_replacement_character():
    lines = ["um gato \ud83d", "um \ufffd gato"] * 20
    repaired = [line.replace("\ud83d", "\ufffd") for line in lines]
    assert learn_wordpiece(lines, 40) == learn_wordpiece(repaired, 40)
    assert learn_sentencepiece(lines, 300) == learn_sentencepiece(repaired, 300)


def test_a_line_is_tokenized_alike_in_any_batch(tokenizer):
    together = tokenizer.tokenize(HOSTILE + PORTUGUESE).to_list()
    alone = [tokenizer.tokenize([line]).to_list()[0] for line in HOSTILE + PORTUGUESE]
    assert together == alone


def test_graph_equals_eager(tokenizer):
    lines = tf.constant(HOSTILE + PORTUGUESE)
    tokenize = tf.function(tokenizer.tokenize, input_signature=[tf.TensorSpec([None], tf.string)])
    ids = tokenizer.tokenize(lines)
    assert_same(tokenize(lines), ids)
    for style in ("corpus", "human"):
        graph = tf.function(lambda ids, style=style: tokenizer.detokenize(ids, style))
        tf.debugging.assert_equal(graph(ids), tokenizer.detokenize(ids, style))
    assert_same(tf.function(tokenizer.lookup)(ids), tokenizer.lookup(ids))
    assert_same(
        tokenize(tf.constant([], tf.string)), tokenizer.tokenize(tf.constant([], tf.string))
    )


def test_saved_and_loaded_is_the_same(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "new")
    loaded = type(tokenizer).load(tmp_path / "new")
    assert type(loaded) is type(SubwordTokenizer.load(tmp_path / "new")) is type(tokenizer)
    assert loaded.normalization == tokenizer.normalization
    assert loaded.vocab_size == tokenizer.vocab_size
    lines = HOSTILE + PORTUGUESE
    ids = tokenizer.tokenize(lines)
    assert_same(loaded.tokenize(lines), ids)
    assert_same(loaded.lookup(ids), tokenizer.lookup(ids))


def test_padding_and_what_follows_the_end_do_not_show(tokenizer):
    ids = tokenizer.tokenize(["olá mundo", ""])
    dense = ids.to_tensor(shape=[None, 40])
    after_end = tf.concat([ids, tf.fill([2, 3], tf.constant(9, tf.int64))], axis=1)
    for form in (dense, tf.cast(dense, tf.int32), after_end):
        tf.debugging.assert_equal(tokenizer.detokenize(form), tokenizer.detokenize(ids))


def test_text_that_spells_control_tokens_survives(trained):
    text = "[START] [END] [PAD]"
    for kind, expected in (
        ("sentencepiece", "[ start ] [ end ] [ pad ]"),
        ("sentencepiece-none", text),
    ):
        back = trained[kind].detokenize(trained[kind].tokenize(text))
        assert back.numpy()[0].decode() == expected
    # Only words that the vocabulary can write.
    text = "[START] [PAD] ## ###"
    tokenizer = trained["wordpiece-none"]
    assert tokenizer.detokenize(tokenizer.tokenize(text)).numpy()[0].decode() == text


@pytest.mark.parametrize("kind", [WordPieceTokenizer, SentencePieceTokenizer])
def test_setting_a_seed_leaves_tokenizers_alone(kind):
    tokenizer = kind.train(PORTUGUESE, vocab_size=400)
    in_graph = tf.function(tokenizer.tokenize, input_signature=[tf.TensorSpec([None], tf.string)])
    before = [tokenizer.tokenize(PORTUGUESE), in_graph(PORTUGUESE)]
    keras.utils.set_random_seed(1)
    for tokenize, ids in zip((tokenizer.tokenize, in_graph), before, strict=True):
        assert tokenize(PORTUGUESE).to_list() == ids.to_list()


def test_training_is_deterministic(tmp_path):
    kinds = [WordPieceTokenizer, SentencePieceTokenizer]
    script = f"""
        import importlib, sys
        for number, (module, name) in enumerate({[(k.__module__, k.__name__) for k in kinds]}):
            kind = getattr(importlib.import_module(module), name)
            kind.train({PORTUGUESE!r}, vocab_size=350).save(sys.argv[1] + str(number))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "other")]
    subprocess.run(command, check=True, capture_output=True)
    for number, kind in enumerate(kinds):
        here, other = tmp_path / f"here{number}", tmp_path / f"other{number}"
        kind.train(PORTUGUESE, vocab_size=350).save(here)
        for path in here.iterdir():
            assert path.read_bytes() == (other / path.name).read_bytes()


def test_bytes_write_any_text(trained):
    text = "Привет 你好 สวัสดี 😀👍🏽"
    tokenizer = trained["sentencepiece-none"]
    ids = tokenizer.tokenize(text)
    assert 1 not in ids.flat_values
    assert tokenizer.detokenize(ids).numpy()[0].decode() == text


# The parts of the interface


def test_a_scalar_is_a_batch_of_one(tokenizer):
    assert_same(tokenizer.tokenize("olá mundo"), tokenizer.tokenize(["olá mundo"]))


def test_empty_batch(tokenizer):
    ids = tokenizer.tokenize(tf.constant([], tf.string))
    assert ids.nrows() == 0
    assert tokenizer.detokenize(ids).shape == [0]
    assert tokenizer.lookup(ids).nrows() == 0
    for width in (0, 3):
        assert tokenizer.detokenize(tf.zeros([0, width], tf.int64)).shape == [0]


def test_vocabulary_size_and_reserved_tokens(tokenizer):
    assert tokenizer.get_vocab_size().numpy() == tokenizer.vocab_size
    assert tokenizer.get_vocab_size().dtype == tf.int32
    reserved = [b"[PAD]", b"[UNK]", b"[START]", b"[END]"]
    assert tokenizer.lookup([[0, 1, 2, 3]]).to_list() == [reserved]


def test_ids_beyond_the_vocabulary_are_unknown(tokenizer):
    ids = [[tokenizer.vocab_size, -1, 3, 0]]
    assert tokenizer.lookup(ids).to_list() == [[b"[UNK]", b"[UNK]", b"[END]", b"[PAD]"]]
    assert tokenizer.detokenize(ids).numpy().tolist() == [b"[UNK] [UNK]"]


def test_long_lines(reversible):
    line = " ".join(["gato"] * 10_000)
    assert reversible.detokenize(reversible.tokenize(line)).numpy()[0].decode() == line


def test_raw_text_is_normalized(trained):
    for kind in ("wordpiece", "sentencepiece"):
        ids = trained[kind].tokenize("Este e\u0301 UM problema que temos que resolver.")
        assert trained[kind].detokenize(ids).numpy()[0].decode() == PORTUGUESE[0]
        assert trained[kind].detokenize(ids, style="human").numpy()[0].decode() == (
            "Este é um problema que temos que resolver."
        )


def test_literal_pieces():
    tokenizer = WordPieceTokenizer(
        ["[PAD]", "[UNK]", "[START]", "[END]", "ol", "##á", "mundo", "."], "ptb-lower"
    )
    ids = tokenizer.tokenize("Olá mundo. xyz")
    assert ids.to_list() == [[2, 4, 5, 6, 7, 1, 3]]
    assert tokenizer.lookup(ids).to_list()[0] == [
        piece.encode() for piece in ["[START]", "ol", "##á", "mundo", ".", "[UNK]", "[END]"]
    ]
    assert tokenizer.detokenize(ids).numpy()[0].decode() == "olá mundo . [UNK]"


def test_sampling_varies_the_pieces_and_keeps_the_text(trained, tmp_path):
    trained["sentencepiece"].save(tmp_path)
    model = (tmp_path / "tokenizer.sentencepiece.model").read_bytes()
    sampled = SentencePieceTokenizer(model, nbest_size=-1, alpha=0.1)
    line = PORTUGUESE[1]
    rows = {tuple(sampled.tokenize(line).to_list()[0]) for _ in range(10)}
    assert len(rows) > 1
    for row in rows:
        assert sampled.detokenize([row]).numpy()[0].decode() == line


def test_a_small_corpus_gives_a_small_vocabulary():
    for kind in (WordPieceTokenizer, SentencePieceTokenizer):
        assert 4 < kind.train(PORTUGUESE, vocab_size=20_000).vocab_size < 2_000


# The pair


def test_each_side_writes_its_language(trained, tmp_path):
    corpus = ["50 % ?"]
    tokenizer = WordPieceTokenizer.train(corpus, vocab_size=20)
    same = WordPieceTokenizer.train(corpus, vocab_size=20)
    Tokenizers(tokenizer, same, "fr", "en").save(tmp_path)
    loaded = Tokenizers.load(tmp_path)
    ids = tokenizer.tokenize(corpus)
    texts = [side.detokenize(ids, "human").numpy()[0] for side in (loaded.source, loaded.target)]
    assert texts == [b"50 % ?", b"50%?"]
    assert tokenizer.detokenize(ids, "human").numpy()[0] == texts[0]
    shared = Tokenizers(tokenizer, tokenizer, "fr", "de")
    assert shared.target.language == "de"
    assert not hasattr(Tokenizers(tokenizer, same, "unknown", "unknown"), "unknown")


def test_pair_is_named_by_language():
    tokenizers = train_tokenizers(CORPUS, vocab_size=300)
    assert isinstance(tokenizers.pt, WordPieceTokenizer)
    assert tokenizers.pt is tokenizers.source
    assert tokenizers.en is tokenizers.target
    assert tokenizers.pt is not tokenizers.en
    other = Tokenizers(tokenizers.source, tokenizers.target, "pt-br", "gl")
    assert other.pt_br is tokenizers.source
    assert other.gl is tokenizers.target


@pytest.mark.parametrize("kind", ["wordpiece", "sentencepiece"])
@pytest.mark.parametrize("shared", [False, True])
def test_pair_saves_and_loads(kind, shared, tmp_path):
    tokenizers = train_tokenizers(CORPUS, kind, vocab_size=400, shared=shared)
    tokenizers.save(tmp_path)
    loaded = Tokenizers.load(tmp_path)
    assert (loaded.source is loaded.target) == shared == loaded.shared
    assert len(list(tmp_path.iterdir())) == (2 if shared else 3)
    assert (loaded.source_language, loaded.target_language) == ("pt", "en")
    for side, lines in (("pt", PORTUGUESE), ("en", ENGLISH)):
        before, after = getattr(tokenizers, side), getattr(loaded, side)
        assert_same(after.tokenize(lines), before.tokenize(lines))
        assert [line.decode() for line in after.detokenize(after.tokenize(lines)).numpy()] == lines


def test_defaults_come_from_the_corpus():
    corpus = SimpleNamespace(train=CORPUS.train)
    tokenizers = train_tokenizers(corpus, vocab_size=300)
    assert tokenizers.pt.normalization == "ptb-lower"
    corpus = SimpleNamespace(
        train=CORPUS.train, source_language="gl", target_language="en", normalization="none"
    )
    assert train_tokenizers(corpus, vocab_size=300).gl.normalization == "none"
    normalized = train_tokenizers(corpus, vocab_size=300, normalization="ptb-lower")
    assert normalized.gl.normalization == "ptb-lower"


def test_a_saved_model_runs_without_the_package(tmp_path):
    class Echo(tf.Module):
        def __init__(self, tokenizers):
            super().__init__()
            self.tokenizers = tokenizers

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, lines):
            ids = self.tokenizers.pt.tokenize(lines)
            return {
                "ids": ids.to_tensor(),
                "corpus": self.tokenizers.pt.detokenize(ids),
                "human": self.tokenizers.pt.detokenize(ids, style="human"),
                "tokens": self.tokenizers.pt.lookup(ids).to_tensor(),
            }

    lines = ["Este é um problema.", "", '"Olá", disse [START].']
    expected = {}
    for kind in ("wordpiece", "sentencepiece", "bert"):
        if kind == "bert":
            side = BertTokenizer(BERT_VOCABULARY)
            tokenizers = Tokenizers(side, side)
        else:
            tokenizers = train_tokenizers(CORPUS, kind, vocab_size=400)
        echo = Echo(tokenizers)
        tf.saved_model.save(echo, str(tmp_path / kind))
        outputs = echo(tf.constant(lines))
        expected[kind] = {key: str(value.numpy().tolist()) for key, value in outputs.items()}
    script = f"""
        import json, sys
        import tensorflow as tf
        import tensorflow_text
        results = {{}}
        for kind in ("wordpiece", "sentencepiece", "bert"):
            model = tf.saved_model.load(sys.argv[1] + "/" + kind)
            outputs = model(tf.constant({lines!r}))
            results[kind] = {{key: str(value.numpy().tolist()) for key, value in outputs.items()}}
        assert not {{"keras_transformer", "sentencepiece", "tokenizers"}} & set(sys.modules)
        print(json.dumps(results))
    """
    # Moved, so that no path of the saving process is needed.
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    command = [sys.executable, "-c", textwrap.dedent(script), str(moved)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=moved)
    assert json.loads(done.stdout) == expected


# Wrong input


def test_wrong_arguments(trained):
    with pytest.raises(InputError, match=r"unknown kind.*'bpe'"):
        train_tokenizers(CORPUS, kind="bpe")
    with pytest.raises(InputError, match="unknown normalisation"):
        train_tokenizers(CORPUS, normalization="upper")
    with pytest.raises(InputError, match="'italic'"):
        trained["wordpiece"].detokenize([[2, 3]], style="italic")
    with pytest.raises(InputError, match="vector of strings"):
        trained["wordpiece"].tokenize([["a"], ["b"]])
    with pytest.raises(InputError, match="is not trained here"):
        BertTokenizer.train(["a"])
    with pytest.raises(InputError, match="language code"):
        Tokenizers(trained["bert"], trained["bert"], "save", "en")


@pytest.mark.parametrize("kind", [WordPieceTokenizer, SentencePieceTokenizer])
def test_nothing_to_learn_from(kind):
    for lines in ([], ["", "  "]):
        with pytest.raises(InputError, match="no text"):
            kind.train(lines)
    for size in (5, 0, -1, 2**31, "many", None):
        with pytest.raises(InputError, match="vocab_size"):
            kind.train(PORTUGUESE, vocab_size=size)
    with pytest.raises(InputError, match="lines"):
        kind.train("o gato")


def test_a_size_that_no_text_fills_takes_no_memory():
    found = WordPieceTokenizer.train(PORTUGUESE, vocab_size=2**31 - 1)
    assert found.vocabulary == WordPieceTokenizer.train(PORTUGUESE, vocab_size=9999).vocabulary


DIRTY = [
    "y" * 300,
    "-" * 600,
    "ha" * 200,
    "a\0b \0",
    "\1 \2",
    "\ufeff",
    "▁▁ x",
    "\ud83d",
    "é" * 250,
    "很长的句子" * 200,
]


@pytest.mark.parametrize("normalization", ["ptb-lower", "none"])
@pytest.mark.parametrize("cls", [WordPieceTokenizer, SentencePieceTokenizer])
def test_dirty_text_is_learned_from(cls, normalization):
    """What is no word, control characters and endless lines, as real corpora have them."""
    lines = ["o gato preto .", "a menina viu o gato ."] * 50
    dirty = [*lines, *(DIRTY * 20), "palavra " * 25_000, "z" * 200_000]
    tokenizer = cls.train(dirty, vocab_size=400, normalization=normalization)
    ids = tokenizer.tokenize([*lines[:2], *DIRTY])
    assert ids.shape[0] == len(DIRTY) + 2
    assert tokenizer.detokenize(ids[:2]).numpy().tolist() == [line.encode() for line in lines[:2]]


def test_what_is_no_word_teaches_no_piece():
    lines = ["o gato preto .", "a menina viu o gato ."] * 50
    clean = WordPieceTokenizer.train(lines, vocab_size=60)
    dirty = WordPieceTokenizer.train([*lines, "gatogato" * 40], vocab_size=60)
    assert dirty.vocabulary == clean.vocabulary


UNSPACED = {
    "Chinese": "我们必须解决这个问题，",
    "Japanese": "これは私たちの問題です。",
    "Thai": "นี่คือปัญหาที่เราต้องแก้ไข",
    "Chinese with English": "我们用tensorflow解决问题",
}


@pytest.mark.parametrize("sentence", UNSPACED.values(), ids=UNSPACED)
def test_long_text_without_spaces_teaches_pieces(sentence):
    """It taught nothing where it was taken for a word of more than a hundred letters."""
    line = sentence * 20
    tokenizer = WordPieceTokenizer.train([line] * 3, vocab_size=300, normalization="none")
    ids = tokenizer.tokenize(line)
    assert ids.shape[0] == 1
    assert len(ids.to_list()[0]) < len(line) / 3
    assert tokenizer.detokenize(ids).numpy()[0].decode() == line


def test_a_long_line_without_spaces_teaches_as_its_parts_do():
    line = "".join(chr(0x4E00 + (i * i + 7 * i // 3) % 400) for i in range(200_000))
    parts = [line[i : i + 100] for i in range(0, len(line), 100)]
    of_line, of_parts = (
        WordPieceTokenizer.train(lines, vocab_size=1200, normalization="none")
        for lines in ([line], parts)
    )
    assert of_line.vocabulary == of_parts.vocabulary
    assert of_line.vocab_size == 1200


@pytest.mark.parametrize("word", ["z" * 300, "-" * 600, "ha" * 200, "。" * 600])
def test_what_is_no_word_beside_text_without_spaces_teaches_no_piece(word):
    line = UNSPACED["Chinese"] * 20
    tokenizer = WordPieceTokenizer.train(
        [line + word + line] * 3, vocab_size=300, normalization="none"
    )
    learned = [
        piece
        for piece in (piece.removeprefix("##") for piece in tokenizer.vocabulary[4:])
        if len(piece) > 1
    ]
    assert learned
    assert not any(set(word) & set(piece) for piece in learned)


def test_a_word_may_have_more_bytes_than_a_piece():
    word = "😀" * 100
    tokenizer = WordPieceTokenizer.train([f"um {word}"] * 100, vocab_size=300)
    assert max(len(piece.encode()) for piece in tokenizer.vocabulary) <= 255
    text = tokenizer.detokenize(tokenizer.tokenize(f"um {word}")).numpy()[0].decode()
    assert text == f"um {word}"


def test_lines_too_long_to_learn_from_are_named():
    with pytest.raises(InputError, match="shortest of this text has 139,999: give one sentence"):
        SentencePieceTokenizer.train(["o gato " * 20_000] * 2, vocab_size=400)


def test_pieces_that_no_matcher_takes_are_named():
    for piece in ("", "a\0", "é" * 128):
        with pytest.raises(InputError, match="line 5 of the vocabulary"):
            WordPieceTokenizer([*BERT_VOCABULARY[:4], piece])


def test_wrong_vocabularies():
    with pytest.raises(InputError, match=r"starts with \[PAD\]"):
        WordPieceTokenizer(["a", "b"])
    with pytest.raises(InputError, match="repeats 'a'"):
        WordPieceTokenizer(["[PAD]", "[UNK]", "[START]", "[END]", "a", "a"])
    with pytest.raises(InputError, match="not a SentencePiece model"):
        SentencePieceTokenizer(b"nonsense")


def test_missing_and_damaged_files(trained, tmp_path):
    with pytest.raises(InputError, match=r"tokenizers\.json"):
        Tokenizers.load(tmp_path)
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        WordPieceTokenizer.load(tmp_path)
    for content in (b"{", b"[]", b"{}", b'{"source": 1, "target": {}}', b"\xff"):
        (tmp_path / "tokenizers.json").write_bytes(content)
        with pytest.raises(InputError, match="damaged"):
            Tokenizers.load(tmp_path)
    pair = Tokenizers(trained["wordpiece"], trained["sentencepiece"])
    pair.save(tmp_path)
    for name in ("source.vocab.txt", "target.sentencepiece.model"):
        whole = (tmp_path / name).read_bytes()
        odd = whole.replace(b"<0x08>", b"<\x8008>")  # a piece of one byte that is none
        for content in (b"\xff" + whole[:50], *([odd] if odd != whole else [])):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InputError, match=name):
                Tokenizers.load(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match=name):
            Tokenizers.load(tmp_path)
        (tmp_path / name).write_bytes(whole)
    Tokenizers.load(tmp_path)
    trained["bert"].save(tmp_path)
    with pytest.raises(InputError, match=r"BertTokenizer\.load"):
        WordPieceTokenizer.load(tmp_path)


# Lossless on text of the reference corpus


@pytest.mark.slow
@pytest.mark.parametrize("kind", [WordPieceTokenizer, SentencePieceTokenizer])
def test_validation_split_survives(kind, shared_data, official_validation):
    for language, lines in official_validation.items():
        path = shared_data / "pt_en_mixed" / f"train.{language}.gz"
        if not path.exists():
            pytest.skip("no pt_en_mixed")
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            tokenizer = kind.train(file.read().split("\n")[::5], vocab_size=8000)
        ids = tokenizer.tokenize(lines)
        unknown = tf.reduce_any(ids == 1, axis=1)
        assert tf.math.count_nonzero(unknown) <= (0 if kind is SentencePieceTokenizer else 6)
        known = tf.boolean_mask(lines, ~unknown)
        tf.debugging.assert_equal(tokenizer.detokenize(tokenizer.tokenize(known)), known)
        tf.debugging.assert_equal(normalize(known), known)


@pytest.mark.parametrize("kind", ["wordpiece", "sentencepiece"])
def test_a_vocabulary_for_noise_has_words_without_accents(kind):
    words = ["função", "página", "avó", "memória"]
    sources = [f"{word} {number}" for word in words for number in range(50)]
    corpus = SimpleNamespace(
        train=tf.data.Dataset.from_tensor_slices((sources, sources)),
        source_language="pt",
        target_language="en",
        normalization="none",
    )
    plain = ["funcao", "pagina", "avo", "memoria"]
    lengths = {
        noise: train_tokenizers(corpus, kind, vocab_size=500, noise=noise, seed=3)
        .source.tokenize(plain)
        .row_lengths()
        .numpy()
        for noise in (0.0, 0.6)
    }
    assert lengths[0.0].sum() > lengths[0.6].sum()
    if kind == "wordpiece":
        assert (lengths[0.6] == 3).all()  # start, the word, end
