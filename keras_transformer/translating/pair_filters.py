"""Which synthetic pairs are fit to train on.

What does not come back when it is translated back is often wrong (Morishita et al. 2018, WMT,
W18-6421).
"""

from dataclasses import dataclass

from keras_transformer.data.corpora.pair_filters import PairFilters, check_number

ROUND_TRIP = "round trip"


@dataclass(frozen=True)
class Filters(PairFilters):
    """`PairFilters` of synthetic pairs.

    Args:
        max_words, max_ratio, max_copied, check_language: as for `PairFilters`.
        min_round_trip: least chrF2, from 0 to 100, of the translation translated back against the
            text, both in small letters; not looked at unless given.

    Raises:
        InputError: for a wrong value, and where an extra is missing.
    """

    min_round_trip: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.min_round_trip is not None:
            check_number("min_round_trip", self.min_round_trip, 0, 100)

    @property
    def names(self) -> tuple[str, ...]:
        """What `reason` may say, and `ROUND_TRIP` where there is such a limit."""
        return super().names + ((ROUND_TRIP,) if self.min_round_trip is not None else ())
