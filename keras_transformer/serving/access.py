"""Who may ask the model, and how often: API keys, and requests a minute.

A file holds the SHA-256 of each key, so that it gives none away. That is enough for keys that are
long and random, which nobody finds by trying.
"""

import hashlib
import hmac
import math
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path

from keras_transformer.errors import InputError
from keras_transformer.files import reason_of
from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.settings import Settings
from keras_transformer.unicode import utf8

_MOST_BUCKETS = 2**16
_KEY_BYTES = 32
_MINUTE = 60.0


def new_key() -> tuple[str, str]:
    """A new API key, and the line for it in the file of keys."""
    key = secrets.token_urlsafe(_KEY_BYTES)
    return key, _digest(key).hex()


def bearer(authorization: str | None) -> str | None:
    """The key in a header ``Authorization: Bearer KEY``; ``None`` where there is none."""
    scheme, _, key = (authorization or "").strip().partition(" ")
    return (key.strip() or None) if scheme.lower() == "bearer" else None


class Keys:
    """The keys of a file, which is read again when it changes.

    Args:
        path: of the file: the SHA-256 of a key a line, in hexadecimal digits. What follows a blank
            on a line, empty lines, and those that ``#`` begins say nothing.

    Raises:
        InputError: when it cannot be read, a line is something else, or there is no key.
    """

    def __init__(self, path: Path):
        self._path = path
        self._state = self._look()
        self._digests = self._read()

    @classmethod
    def of(cls, settings: Settings) -> "Keys | None":
        """Those of the settings, if they name a file."""
        return cls(Path(settings.api_keys)) if settings.api_keys else None

    def digest_of(self, key: str) -> bytes | None:
        """The hash of a key that is in the file; ``None`` for another."""
        digest = _digest(key)
        found = False
        for known in self._digests:  # all of them, so that the time says nothing
            found |= hmac.compare_digest(known, digest)
        return digest if found else None

    def refresh(self) -> bool:
        """Reads the file if it has changed, and says whether it did.

        Raises:
            InputError: when it cannot be used. The keys stay what they were, and it is not read
                again before it changes.
        """
        state = self._look()
        if state == self._state:
            return False
        self._state = state
        self._digests = self._read()
        return True

    def _look(self) -> object:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> tuple[bytes, ...]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise InputError(
                f"--api-keys {self._path}: cannot be read ({reason_of(error)}): give a file of "
                "hashes of keys, as serve --new-api-key writes them."
            ) from error
        digests = {}
        for number, line in enumerate(lines, 1):
            written = line.split(maxsplit=1)[0] if line.strip() else "#"
            if written.startswith("#"):
                continue
            if not re.fullmatch("[0-9a-fA-F]{64}", written):  # not quoted: it may be a key
                raise InputError(
                    f"--api-keys {self._path}, line {number}: is no SHA-256 in hexadecimal digits: "
                    "serve --new-api-key writes such lines."
                )
            digests[bytes.fromhex(written)] = None
        if not digests:
            raise InputError(
                f"--api-keys {self._path}: holds no key, so that nobody could ask: add one with "
                "serve --new-api-key."
            )
        return tuple(digests)


class Buckets:
    """A bucket of tokens for each client: a request takes one, and they come back with the time.

    Args:
        per_minute: tokens that come back in a minute, and that a bucket holds.
        most: buckets; beyond them the one that was not used for longest is forgotten.
        clock: seconds that pass.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        most: int = _MOST_BUCKETS,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._per_minute = per_minute
        self._most = most
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        """Tokens, and when there were so many, the one that was not used for longest first."""

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, whose: Hashable) -> float:
        """Takes a token. Returns the seconds until there is one: 0 where there was."""
        now = self._clock()
        tokens, then = self._buckets.pop(whose, (float(self._per_minute), now))
        rate = self._per_minute / _MINUTE
        tokens = min(tokens + (now - then) * rate, float(self._per_minute))
        taken = tokens >= 1.0
        self._buckets[whose] = (tokens - taken, now)
        while self._buckets:
            oldest, (_, last) = next(iter(self._buckets.items()))
            if len(self._buckets) <= self._most and now - last < _MINUTE:  # later it is full again
                break
            del self._buckets[oldest]
        return 0.0 if taken else (1.0 - tokens) / rate


class Access:
    """Who may ask the model, and how often.

    Args:
        settings: with the requests a minute.
        keys: that clients must have one of; ``None`` lets everybody ask.

    Attributes:
        keys: the same.
    """

    def __init__(self, settings: Settings, keys: Keys | None = None):
        self.keys = keys
        self._per_minute = settings.rate_limit
        self._buckets = Buckets(settings.rate_limit) if settings.rate_limit else None

    def check(self, key: str | None, group: str) -> None:
        """Lets a request pass, which counts from now on.

        Args:
            key: that it came with, if any.
            group: whose it is; see `limits.group_of`.

        Raises:
            Failure: when it has no key, a wrong one, or there were too many of its key, or of its
                address where keys are not asked for. Requests without a right key count for their
                address.
        """
        digest = None
        if self.keys is not None and key:
            digest = self.keys.digest_of(key)
        self._count(digest or group)
        if self.keys is not None and digest is None:
            what = "the API key is not one of this server's" if key else "an API key is needed"
            raise Failure(
                Kind.UNAUTHENTICATED,
                f"{what}: send Authorization: Bearer KEY with one that its operator gave you.",
            )

    def _count(self, whose: Hashable) -> None:
        wait = self._buckets.take(whose) if self._buckets is not None else 0.0
        if wait:
            seconds = math.ceil(wait)
            raise Failure(
                Kind.TOO_MANY_REQUESTS,
                f"more than {self._per_minute} requests a minute (--rate-limit): wait {seconds} s.",
                retry_after=seconds,
            )


def _digest(key: str) -> bytes:
    return hashlib.sha256(utf8(key)).digest()
