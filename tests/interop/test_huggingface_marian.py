"""Marian's checkpoints: other ids, the same logits and the same translations of text."""

import json

import keras
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from learned_models import sentencepiece_model

from keras_transformer.config import DecodingConfig
from keras_transformer.data.corpora.sample import read_sample
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.decoding.search import Search
from keras_transformer.errors import InputError
from keras_transformer.interop.checkpoints import Checkpoint
from keras_transformer.interop.huggingface import load_huggingface, save_huggingface
from keras_transformer.interop.marian import our_ids, their_ids
from keras_transformer.interop.tokenizer_files import load_huggingface_tokenizer
from keras_transformer.models.transformer import Transformer
from keras_transformer.special_tokens import END, PAD, RESERVED_TOKENS, START, UNK
from keras_transformer.translating.segmentation import tokenize_in_pieces
from keras_transformer.translating.translator import Translator

NEW_TOKENS = 12
SEARCHES = {
    "greedy": ({}, {"num_beams": 1}),
    "beam": ({"beam_size": 4}, {"num_beams": 4, "early_stopping": True}),
    "beam, patient": (
        {"beam_size": 4, "early_stopping": False, "length_penalty": 0.6},
        {"num_beams": 4, "early_stopping": "never", "length_penalty": 0.6},
    ),
}


@pytest.fixture(scope="module")
def folder(peers, random_peer, tmp_path_factory):
    """A checkpoint of random weights, with tokenizers learned from a few sentences."""
    folder = tmp_path_factory.mktemp("marian")
    pairs = read_sample()["train"][:300]
    names = {"</s>": 0, "<unk>": 1, ">>pt<<": 2}
    for side, lines in zip(("source", "target"), zip(*pairs, strict=True), strict=True):
        lines = [line.decode() if isinstance(line, bytes) else line for line in lines]
        model = sentencepiece_model(lines, 90)
        (folder / f"{side}.spm").write_bytes(model)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        for i in range(3, processor.get_piece_size()):
            names.setdefault(processor.id_to_piece(i), len(names))
    del names["▁the" if "▁the" in names else processor.id_to_piece(9)]  # one unknown piece
    names = {name: i for i, name in enumerate([*names, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(names))
    settings = {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "pt"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    random_peer("MarianMTModel", configuration(peers, len(names))).save_pretrained(folder)
    return folder


def configuration(peers, size, **changes):
    values = {
        "vocab_size": size,
        "d_model": 32,
        "encoder_layers": 3,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 64,
        "activation_function": "swish",
        "scale_embedding": True,
        "pad_token_id": size - 1,
        "decoder_start_token_id": size - 1,
        "eos_token_id": 0,
        "forced_eos_token_id": None,
        **changes,
    }
    return peers.MarianConfig(**values)


@pytest.fixture(scope="module")
def theirs(peers, folder):
    return peers.MarianMTModel.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def ours(folder):
    return load_huggingface(folder)


@pytest.fixture(scope="module")
def tokenizers(folder):
    return load_huggingface_tokenizer(folder)


@pytest.fixture(scope="module")
def their_tokenizer(peers, folder):
    return peers.MarianTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def sources(theirs):
    """Source ids of a checkpoint in rows of unequal lengths, each with its end; and the mask."""
    size, generator = theirs.config.vocab_size, np.random.default_rng(7)
    lengths = np.array([[8], [3], [6], [2]])
    ids = generator.integers(2, size - 1, (4, 8))
    ids = np.where(np.arange(8) == lengths - 1, 0, ids)
    real = np.arange(8) < lengths
    return np.where(real, ids, size - 1), real


def test_ids_there_and_back():
    assert their_ids(6).tolist() == [5, 1, 5, 0, 2, 3, 4]
    assert our_ids(6).tolist() == [END, UNK, 4, 5, 6, PAD]
    np.testing.assert_array_equal(their_ids(50)[our_ids(50)], np.arange(50))


def test_the_same_logits(theirs, ours, sources):
    import torch

    ids, real = sources
    size = theirs.config.vocab_size
    target = np.random.default_rng(8).integers(2, size - 1, (4, 5))
    starts = np.full((4, 1), size - 1)
    with torch.no_grad():
        expected = theirs(
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor(real.astype(int)),
            decoder_input_ids=torch.tensor(np.hstack([starts, target])),
        ).logits.numpy()
    to_ours = our_ids(size)
    target = np.hstack([np.full((4, 1), START), to_ours[target]])
    found = ours((to_ours[ids], target)).numpy()
    np.testing.assert_allclose(found[..., to_ours], expected, atol=1e-4, rtol=0)
    assert tf.reduce_max(tf.nn.softmax(found)[..., START]) == 0


@pytest.mark.parametrize(
    "search", ["greedy", "beam", pytest.param("beam, patient", marks=pytest.mark.slow)]
)
def test_the_same_translations(theirs, ours, sources, search):
    import torch

    ids, real = sources
    size = theirs.config.vocab_size
    our_options, their_options = SEARCHES[search]
    expected = theirs.generate(
        torch.tensor(ids),
        attention_mask=torch.tensor(real.astype(int)),
        max_new_tokens=NEW_TOKENS,
        bad_words_ids=[[size - 1]],
        renormalize_logits=True,
        output_scores=True,
        return_dict_in_generate=True,
        **their_options,
    )
    found = Search(
        ours,
        start_id=START,
        end_id=END,
        config=DecodingConfig(**our_options),
        jit_compile=False,
    )(our_ids(size)[ids], [NEW_TOKENS] * len(ids))
    for row, tokens in zip(found.tokens[:, 0].numpy(), expected.sequences.numpy(), strict=True):
        tokens = tokens[1:]
        length = np.argmax(tokens == 0) + 1 if 0 in tokens else len(tokens)
        assert their_ids(size)[row[row != PAD]].tolist() == tokens[:length].tolist()
    if "beam" in search:
        np.testing.assert_allclose(found.ranks[:, 0], expected.sequences_scores, atol=1e-4)


TEXTS = [
    "the old man reads a book .",
    "  two   spaces",
    "Ünknown çharacters 漢字",
    ">>pt<< good morning",
    "spelt </s> [START] tokens",
]


def test_texts_have_the_same_ids(tokenizers, their_tokenizer):
    size = len(their_tokenizer)
    for text in TEXTS[:4]:
        for side, given in (("source", {"text": text}), ("target", {"text_target": text})):
            expected = their_tokenizer(**given)["input_ids"]
            found = getattr(tokenizers, side).tokenize([text])[0].numpy()
            if side == "target":
                assert found[0] == START
                found = found[1:]
            assert their_ids(size)[found].tolist() == expected


def test_no_text_yields_control_tokens(tokenizers):
    found = tokenizers.source.tokenize(TEXTS).to_list()
    for row in found:
        assert START not in row
        assert END not in row[:-1]
        assert row[-1] == END


def test_ids_have_the_same_texts(tokenizers, their_tokenizer):
    for text in TEXTS[:2]:
        ids = tokenizers.target.tokenize([text])
        expected = their_tokenizer.decode(
            their_ids(len(their_tokenizer))[ids[0].numpy()], skip_special_tokens=True
        )
        found = tokenizers.target.detokenize(ids)[0].numpy().decode()
        assert [word for word in found.split() if word != "[UNK]"] == expected.split()


def test_a_translator_of_a_checkpoint(theirs, ours, tokenizers, their_tokenizer):
    size = theirs.config.vocab_size
    lines = ["the old man reads a book .", "she sings well ."]
    translator = Translator(tokenizers, ours, jit_compile=False)
    found = translator.translate(lines, max_length=10, length_offset=30, forbid_unknown=True)
    given = their_tokenizer(lines, return_tensors="pt", padding=True)
    expected = theirs.generate(
        **given,
        max_new_tokens=10,
        bad_words_ids=[[size - 1], [1]],
        renormalize_logits=True,
    )
    expected = their_tokenizer.batch_decode(expected, skip_special_tokens=True)
    assert [translation.text for translation in found] == expected


def test_sources_without_a_start_are_told_from_empty_ones(ours, tokenizers):
    word = next(piece[1:] for piece in tokenizers.source.pieces if len(piece) > 1 and "▁" in piece)
    assert tokenizers.source.tokenize([word]).row_lengths() == [2]
    translator = Translator(tokenizers, ours, jit_compile=False)
    one, none = translator.translate([word, ""], max_length=4)
    assert one.score < 0
    assert (none.text, none.score) == ("", 0)


def test_long_sources_are_cut_into_pieces_with_an_end(ours, tokenizers):
    text = "the old man reads a book . " * 3
    (whole,) = tokenizers.source.tokenize([text]).to_list()
    pieces, _ = tokenize_in_pieces(tokenizers.source, tf.constant([text]), 12)
    pieces = pieces.to_list()
    assert len(pieces) > 1
    assert [token for piece in pieces for token in piece[:-1]] == whole[:-1]
    assert {piece[-1] for piece in pieces} == {END}
    assert max(map(len, pieces)) <= 12


def test_a_round_trip_changes_no_bit(peers, folder, ours, tokenizers, their_tokenizer, tmp_path):
    from safetensors.numpy import load_file

    save_huggingface(ours, tmp_path, tokenizer=tokenizers)
    before, after = (load_file(path / "model.safetensors") for path in (folder, tmp_path))
    assert after.keys() == before.keys()
    for name, tensor in before.items():
        np.testing.assert_array_equal(after[name], tensor, err_msg=name)
    _, report = peers.MarianMTModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert json.loads((tmp_path / "vocab.json").read_text()) == their_tokenizer.get_vocab()
    again = peers.MarianTokenizer.from_pretrained(tmp_path)
    assert again(TEXTS)["input_ids"] == their_tokenizer(TEXTS)["input_ids"]


def test_copies_of_older_versions(folder, ours, tmp_path):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    vectors = tensors["model.shared.weight"]
    for name in ("model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head"):
        tensors[f"{name}.weight"] = vectors
    tensors["model.encoder.embed_positions.weight"] = np.zeros((64, 32), np.float32)
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    inputs = np.array([[9, 8, END]]), np.array([[START, 12]])
    np.testing.assert_array_equal(load_huggingface(tmp_path)(inputs), ours(inputs))


def test_tokenizers_are_saved_with_a_run(tokenizers, tmp_path):
    tokenizers.save(tmp_path)
    again = Tokenizers.load(tmp_path)
    assert (again.source_language, again.target_language) == ("en", "pt")
    for side in ("source", "target"):
        before, after = getattr(tokenizers, side), getattr(again, side)
        assert after.tokenize(TEXTS).to_list() == before.tokenize(TEXTS).to_list()


def test_a_model_made_here_is_one_there(peers, tmp_path):
    import torch

    keras.utils.set_random_seed(9)
    sizes = {"num_layers": 1, "d_model": 16, "num_heads": 2, "dff": 24, "max_length": 32}
    ours = Transformer(
        **sizes,
        input_vocab_size=21,
        target_vocab_size=21,
        share_embeddings=True,
        tie_output=True,
        output_bias=True,
        layer_norm_epsilon=1e-5,
    )
    save_huggingface(ours, tmp_path)
    assert "model.shared.weight" in Checkpoint(tmp_path)
    theirs, report = peers.MarianMTModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    source, target = np.array([[5, 9, 7, END]]), np.array([[START, 12, 8]])
    with torch.no_grad():
        expected = theirs.eval()(
            input_ids=torch.tensor(their_ids(20)[source]),
            decoder_input_ids=torch.tensor(their_ids(20)[target]),
        ).logits.numpy()
    assert theirs.generation_config.bad_words_ids == [[19]]
    found = ours((source, target)).numpy()
    shared = [UNK, END, *range(len(RESERVED_TOKENS), 21)]
    expected = expected[..., their_ids(20)][..., shared]
    np.testing.assert_allclose(found[..., shared], expected, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"scale_embedding": False},
        {"decoder_attention_heads": 2},
        {"normalize_embedding": True},
        {"pad_token_id": 3},
        {"activation_function": "softplus"},
    ],
)
def test_what_is_not_supported_is_refused_by_name(folder, tmp_path, change):
    values = json.loads((folder / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(values))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (name,) = change
    with pytest.raises(InputError, match=name):
        load_huggingface(tmp_path)


def test_other_transformers_have_no_such_form(tmp_path):
    sizes = {"num_layers": 1, "d_model": 16, "num_heads": 2, "dff": 24}
    other = Transformer(**sizes, input_vocab_size=20, target_vocab_size=20)
    with pytest.raises(InputError, match="output_bias"):
        save_huggingface(other, tmp_path)


def test_a_wrong_vocabulary_is_refused(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    names = json.loads((folder / "vocab.json").read_text())
    del names["<pad>"]
    (tmp_path / "vocab.json").write_text(json.dumps(names))
    with pytest.raises(InputError, match="<pad> last"):
        load_huggingface_tokenizer(tmp_path)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(InputError, match=r"vocab.json: cannot be read"):
        load_huggingface_tokenizer(tmp_path)
