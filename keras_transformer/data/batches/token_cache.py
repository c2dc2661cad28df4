"""Token ids of a corpus kept on disk, so that a corpus is tokenised once."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from keras_transformer.data.batches.pairs import TokenizedPairs, tokenize_pairs
from keras_transformer.files import write_atomically


def corpus_key(dataset, tokenizer_folder, max_tokens) -> str:
    """Tells apart whatever makes token ids differ.

    Args:
        dataset: `tf.data.Dataset` of ``(source, target)`` scalar strings.
        tokenizer_folder: where the tokenizers are saved.
        max_tokens: as for `tokenize_pairs`.

    Returns:
        a hexadecimal hash of the strings, the tokenizers' files and the limit.
    """
    digest = hashlib.sha256(f"{max_tokens}\n".encode())
    for path in sorted(Path(tokenizer_folder).rglob("*")):
        if path.is_file() and not path.name.startswith("."):  # not what a killed run left
            digest.update(path.read_bytes())
    for sides in dataset.batch(4096).as_numpy_iterator():
        for strings in sides:
            digest.update(b"\0".join(strings) + b"\n\n")
    return digest.hexdigest()


def cached_pairs(path, key, dataset, tokenizers, max_tokens, write=True) -> TokenizedPairs:
    """Reads the token ids of a corpus from a file, or tokenises it and writes the file.

    Args:
        path: the file, ``.npz``.
        key: from `corpus_key`; a file with another one is written anew, as is a damaged one.
        dataset, tokenizers, max_tokens: as for `tokenize_pairs`.
        write: whether to write the file.

    Returns:
        the token ids.
    """
    path = Path(path)
    pairs = _read(path, key)
    if pairs is None:
        pairs = tokenize_pairs(dataset, tokenizers, max_tokens)
        if write:
            arrays = {**pairs.arrays(), "key": np.asarray(key)}
            write_atomically(path, lambda file: np.savez(file, **arrays))
    return pairs


def _read(path: Path, key: str) -> TokenizedPairs | None:
    try:
        with np.load(path) as arrays:
            return TokenizedPairs.from_arrays(arrays) if str(arrays["key"]) == key else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
