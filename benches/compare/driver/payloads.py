"""The values that all arms send: the same bytes for everyone, made before any clock starts."""

import random
import string
from pathlib import Path

SEED = 20
DIFFERENT = 100_000
LIMIT = 32 << 20
WORDS = 20_000


def _words(rng: random.Random) -> list[str]:
    """A vocabulary with word lengths as in prose."""
    lengths = [2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 8, 9, 10]
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    weights = [12, 9, 8, 8, 7, 7, 6, 6, 6, 4, 4, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    return ["".join(rng.choices(letters, weights, k=rng.choice(lengths))) for _ in range(WORDS)]


def payload_file(directory: Path, size: int) -> Path:
    """Values of `size` bytes end to end: words, common ones more often, and numbers; 100,000 of them or 32 MiB."""
    path = directory / f"payloads-{SEED}-{size}.bin"
    count = min(DIFFERENT, LIMIT // size)
    if path.exists() and path.stat().st_size == count * size:
        return path
    directory.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)
    words = _words(rng)
    # The n-th word is about n times rarer than the first.
    weights = [1 / (n + 1) for n in range(len(words))]
    out = bytearray()
    while len(out) < count * size:
        for word in rng.choices(words, weights, k=4096):
            out += word.encode()
            out += b" "
            if rng.random() < 0.2:
                out += str(rng.randrange(10 ** rng.randrange(1, 9))).encode()
                out += rng.choice(string.punctuation).encode() + b" "
    path.write_bytes(out[: count * size])
    return path
