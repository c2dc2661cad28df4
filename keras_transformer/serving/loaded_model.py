"""One version of an exported model in memory."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  its operations are in the graphs

from keras_transformer.errors import InputError
from keras_transformer.exporting.format import DEFAULT_SIGNATURE, read_about, xla_name
from keras_transformer.exporting.functions import ExportedFunctions
from keras_transformer.files import check_checksums, reason_of
from keras_transformer.serving.failures import Failure, Kind, invalid
from keras_transformer.serving.programs import Programs, Size
from keras_transformer.serving.signatures import Outputs, Scalar, Signature, read_signatures

_TOKENIZE, _IDS = "tokenize", "ids"  # the signature and output of an export's own tokenizer
_PIECES, _LONGEST = "pieces", "longest"  # outputs of it, which exports of version 0.1 have not
_NO_SIZES = ("length_penalty", "max_length")  # scalars that no program of an export depends on
_PLACES = ("Graph execution error", "Detected at node", "<stack traces", "[[{{", "(0)", "(1)")


class LoadedModel:
    """One version of an exported model in memory. Several threads may run it at a time.

    Args:
        folder: of the version.
        compile: run the twins of the signatures that XLA compiles, where there are any.
        workers: threads that will run batches.
        warn: called with a line where a program of XLA fails; see `Programs`.

    Attributes:
        version: its number.
        declared: the signatures as the SavedModel declares them.
        signatures: the same, by name.
        compiled: names of the signatures for which a twin is run.
        programs: the programs that XLA has compiled for them.
        about: what the export says of itself; see `read_about`.
        users: how many requests it is kept in memory for.

    Raises:
        InputError: when it cannot be loaded, or a file in it is damaged.
    """

    def __init__(
        self,
        folder: Path,
        *,
        compile: bool = True,
        workers: int = 1,
        warn: Callable[[str], object] = lambda message: None,
    ):
        self.version = int(folder.name)
        check_checksums(folder)
        self._folder = folder
        self.declared, self.signatures = read_signatures(folder)
        try:
            functions = ExportedFunctions(folder)
        except Exception as error:  # whatever a damaged folder brings about
            raise InputError(f"{folder}: cannot be loaded ({reason_of(error)}).") from error
        twins = {name: functions.get(xla_name(name)) for name in functions} if compile else {}
        self.compiled = frozenset(name for name, twin in twins.items() if twin is not None)
        self._functions = functions
        self._twins = {name: twins[name] for name in self.compiled}
        self.programs = Programs(workers=workers, warn=warn)
        self.about = read_about(folder)
        self.users = 0
        self._warm: set[str] = set()  # signatures whose plain graph has run

    def row_buckets(self, signature: Signature) -> tuple[int, ...]:
        """Numbers of rows that a batch is padded to inside the model, if it is.

        XLA needs a program for each.
        """
        return self.about["compiled_rows"] if signature.name in self.compiled else ()

    @property
    def longest_source(self) -> int | None:
        """Most tokens of a text that is translated as one piece, where the export says it."""
        longest = self.about.get("max_source_length")
        return longest if type(longest) is int and longest > 0 else None

    @property
    def default_signatures(self) -> list[Signature]:
        """Signatures that answer requests, those asked for without a name first, without twins."""
        twins = {xla_name(name) for name in self._functions}
        names = sorted(self._functions.keys() - twins, key=lambda name: name != DEFAULT_SIGNATURE)
        return [
            signature
            for name in names
            if (signature := self.signatures.get(name)) is not None and signature.text is not None
        ]

    def signature(self, name: str) -> Signature:
        """The signature of that name, or the default one for no name.

        Raises:
            Failure: when there is none or it does not take just texts and scalars.
        """
        name = name or DEFAULT_SIGNATURE
        signature = self.signatures.get(name)
        if signature is None or name not in self._functions:
            names = ", ".join(sorted(self._functions))
            raise invalid(f'signature_name "{name}" is not one of this model\'s: {names}.')
        if signature.text is None:
            raise Failure(
                Kind.NOT_OFFERED,
                f'signature "{name}" takes other tensors than one vector of strings and scalars.',
            )
        return signature

    def run(
        self, signature: Signature, texts: Sequence[bytes], scalars: Mapping[str, Scalar]
    ) -> Outputs:
        """Runs a signature on a batch, compiled where there is a program for its size.

        Raises:
            Failure: when the model refuses the inputs or breaks.
        """
        plain = functools.partial(self._call, self._functions, signature, texts, scalars)
        if signature.name not in self.compiled:
            return plain()
        compiled = functools.partial(self._call, self._twins, signature, texts, scalars)
        return self.programs.run(self._size(signature, texts, scalars), compiled, plain)

    def warm(
        self,
        signature: Signature,
        texts: Sequence[bytes],
        scalars: Mapping[str, Scalar],
        *,
        aside: bool = False,
    ) -> None:
        """Runs a signature on a batch before there are clients, and compiles its program.

        Args:
            signature, texts, scalars: as for `run`.
            aside: compile without waiting for the program; until it is there the plain graph
                answers.

        Raises:
            Failure: as `run`.
        """
        plain = functools.partial(self._call, self._functions, signature, texts, scalars)
        if signature.name not in self.compiled:
            plain()
            return
        if signature.name not in self._warm:  # for sizes without a program
            plain()
            self._warm.add(signature.name)
        compiled = functools.partial(self._call, self._twins, signature, texts, scalars)
        size = self._size(signature, texts, scalars)
        if aside:
            self.programs.prepare(size, compiled)
        else:
            self.programs.warm(size, compiled, plain)

    def close(self) -> None:
        """Compiles nothing more."""
        self.programs.close()

    def _size(self, signature: Signature, texts, scalars) -> Size:
        """What decides on the program for a batch, as far as it is known before it is run."""
        rows, longest = len(texts), max(map(len, texts), default=0)
        tokenize = self.signatures.get(_TOKENIZE)
        if tokenize is not None and _IDS in tokenize.outputs and not tokenize.scalars:
            outputs = self._call(self._functions, tokenize, texts, {})
            ids = outputs[_IDS]
            longest = ids.shape[1]
            if {_PIECES, _LONGEST} <= outputs.keys():
                # The model takes pieces in batches of at most the largest size.
                rows = min(int(outputs[_PIECES].sum()), self.about["compiled_rows"][-1])
                longest = int(outputs[_LONGEST].max(initial=0))
            elif self.longest_source is not None and longest > self.longest_source:
                # Such texts are translated in pieces, each a row; how many is a guess.
                pieces = -(-np.count_nonzero(ids, axis=1) // self.longest_source)
                rows, longest = int(np.maximum(pieces, 1).sum()), self.longest_source
        buckets = self.row_buckets(signature)
        rows = next(
            (size for size in buckets if size >= rows), -(-rows // buckets[-1]) * buckets[-1]
        )
        length = self.about["compiled_length"]
        while length < longest:
            length *= 2
        parameters = (
            (name, value.item())
            for name, value in sorted(scalars.items())
            if name not in _NO_SIZES and not isinstance(value, bytes)
        )
        return Size(signature.name, tuple(parameters), rows, length)

    def _call(self, functions, signature: Signature, texts, scalars) -> Outputs:
        inputs = {name: tf.constant(value) for name, value in scalars.items()}
        inputs[signature.text] = tf.constant(list(texts), tf.string, shape=[len(texts)])
        try:
            outputs = functions[signature.name](**inputs)
            return {name: tensor.numpy() for name, tensor in outputs.items()}
        except tf.errors.InvalidArgumentError as error:
            raise invalid(f"the model refuses the inputs: {self._told(error)}") from error
        except tf.errors.ResourceExhaustedError as error:
            raise Failure(Kind.OVERLOADED, "the model ran out of memory.", retry_after=1) from error
        except Exception as error:
            raise Failure(Kind.INTERNAL, f"the model failed: {self._told(error)}") from error

    def _told(self, error: Exception) -> str:
        """What clients are told of an error, which names no paths of this machine."""
        line = _first_line(error)
        for folder in (self._folder.absolute(), self._folder):
            line = line.replace(str(folder), f"version {self.version}")
        return line


def _first_line(error: Exception) -> str:
    """What went wrong, without the places in the graph that TensorFlow names before and after."""
    message = str(getattr(error, "message", None) or error)
    lines = [line.strip() for line in message.splitlines()]
    telling = [line for line in lines if line and not line.startswith(_PLACES)]
    return telling[0] if telling else type(error).__name__
