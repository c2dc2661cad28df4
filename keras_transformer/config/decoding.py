"""How translations and continuations are searched for."""

import dataclasses
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from keras_transformer.config.model import STRICT, Count, Positive, Whole
from keras_transformer.errors import InputError

LENGTH_PENALTIES = (-1, 10)
"""Exponents of the length whose powers, and the scores divided by them, float32 holds."""

Beams = Annotated[int, Field(gt=0, le=1024)]

LengthPenalty = Annotated[float, Field(ge=LENGTH_PENALTIES[0], le=LENGTH_PENALTIES[1])]


@dataclass(frozen=True, config=STRICT)
class DecodingConfig:
    """How translations are searched: greedily, with a beam, or by drawing samples."""

    sentences: bool = Field(
        True, description="divide texts into sentences, and translate each for itself"
    )
    to: str | None = Field(
        None,
        description="code of the language to translate to, of a model that was trained to several; "
        "a text may have its own, as a tag: <2es>",
    )
    keep: tuple[str, ...] = Field(
        (),
        description="regular expressions, in the syntax of RE2, of what comes back as it is, "
        "besides addresses, placeholders, long numbers, code and emoji; training learns to copy it",
    )
    glossary_mode: Literal["annotate", "constrain", "both"] | None = Field(
        None,
        description="how a glossary is followed: its translations stand beside the terms of the "
        "source, or take the place of words of what lacks them, or both; null: "
        "constrain, which brought most terms and the best BLEU",
    )
    length_ratio: Positive = Field(
        2.0, description="most target tokens for each source token, length_offset on top"
    )
    length_offset: Whole = Field(
        16, description="target tokens allowed on top of length_ratio times the source's"
    )
    max_length: Count | None = Field(
        None, description="most target tokens, the end included, whatever the source"
    )
    min_length: Whole = Field(0, description="fewest target tokens, the end not included")
    beam_size: Beams = Field(
        1, description="hypotheses that are followed side by side; 1 is greedy"
    )
    n_best: Beams = Field(1, description="translations of each text")
    length_penalty: LengthPenalty = Field(
        1.0, description="exponent of the length that divides scores; 0 ranks by probability alone"
    )
    length_penalty_kind: Literal["plain", "gnmt"] = Field(
        "plain", description="scores are divided by a power of the length, or of (5 + length) / 6"
    )
    early_stopping: bool = Field(
        True, description="stop once beam_size * patience hypotheses have ended"
    )
    patience: Positive = Field(
        1.0, description="factor on the hypotheses that end a search, see early_stopping"
    )
    no_repeat_ngram: Whole = Field(0, description="give no n-gram of this size twice; 0 allows all")
    forbid_unknown: bool = Field(False, description="never give [UNK]")
    shortlist: Count | None = Field(
        None,
        description="look only at this many target tokens for each token of the source, up to 128, "
        "and at the most frequent ones, which is faster; null: at all; so does sampling",
    )
    sampling: bool = Field(False, description="draw each token by its probability")
    temperature: Annotated[float, Field(ge=1e-6, le=1e6)] = Field(
        1.0, description="of sampling: logits are divided by it"
    )
    top_k: Count | None = Field(None, description="draw from this many of the most probable tokens")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="draw from the most probable tokens that have this much probability in sum",
    )
    seed: Annotated[int, Field(ge=-(2**31), lt=2**31)] = Field(1, description="seed of sampling")
    mbr: Beams | None = Field(
        None,
        description="draw this many samples, and give the one that is most like all of them "
        "(minimum Bayes risk); null: give the sample itself",
    )
    mbr_metric: Literal["chrf", "bleu"] = Field(
        "chrf", description="how alike two samples are: chrF2, or BLEU, which takes longer"
    )

    def without_sampling(self, **changes) -> "DecodingConfig":
        """This configuration for a search that draws no samples, with other fields changed."""
        no_samples = {"sampling": False, "temperature": 1.0, "top_k": None, "top_p": None}
        return dataclasses.replace(self, **no_samples, mbr=None, **changes)

    def __post_init__(self):
        if self.max_length is not None and self.min_length >= self.max_length:
            raise InputError(
                f"decoding.min_length ({self.min_length}) leaves no room for an end below "
                f"decoding.max_length ({self.max_length}): lower it."
            )
        if self.sampling and self.beam_size > 1:
            raise InputError("decoding.sampling has no beams: leave decoding.beam_size at 1.")
        if self.mbr is not None and not self.sampling:
            raise InputError("decoding.mbr chooses among samples: set decoding.sampling.")
        if self.mbr is not None and self.n_best > self.mbr:
            raise InputError(
                f"decoding.n_best ({self.n_best}) is more than the samples: raise decoding.mbr "
                f"({self.mbr})."
            )
        if not self.sampling and self.n_best > self.beam_size:
            raise InputError(
                f"decoding.n_best ({self.n_best}) is more than decoding.beam_size "
                f"({self.beam_size}): raise the latter, or set decoding.sampling."
            )
        if not self.sampling and (self.top_k or self.top_p or self.temperature != 1):
            raise InputError(
                "decoding.temperature, top_k and top_p are of sampling: set decoding.sampling."
            )
