"""Small models of tokenizers, learned from lines, as checkpoints of others hold them."""

import io

import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers


def sentencepiece_model(lines, vocab_size, **options) -> bytes:
    """A SentencePiece model; `options` are the trainer's."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=vocab_size,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def albert_model(lines, vocab_size, **options) -> bytes:
    """A SentencePiece model with the special pieces of an ALBERT, where it has them."""
    return sentencepiece_model(
        lines,
        vocab_size,
        hard_vocab_limit=False,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        pad_piece="<pad>",
        user_defined_symbols=["[CLS]", "[SEP]", "[MASK]"],
        **options,
    )


def write_byte_level(folder, lines) -> None:
    """Writes the ``vocab.json`` and ``merges.txt`` of a GPT-2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.model.save(str(folder))
