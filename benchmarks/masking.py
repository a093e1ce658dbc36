"""How fast a run's output is masked where it holds no secret, beside plain replacement in the same run.

    python -m benchmarks.masking

Megabytes for each second of processor time. The peer replaces every form of every secret in each piece by itself: it
misses what is cut by a border of pieces or wrapped into lines, and sees what overlaps only by luck.
"""

import base64
import os
import random
import tempfile
import time
from collections.abc import Callable

ROUNDS = 5
PIECE = 65536
LIMIT = 20


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        _set_up(home)
        _measure()


def _set_up(home: str) -> None:
    """The masks know the models, so Django is set up; nothing here asks a server."""
    import django

    os.environ |= {
        "GONOGO_HOME": home,
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "STATIC_MANIFEST": "false",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    django.setup()


def _measure() -> None:
    from checks.masking import Masker, Vocabulary

    vocabulary = Vocabulary()
    vocabulary.add([base64.b64encode(random.randbytes(24)).decode() for _ in range(5)])
    lines = (b"2026-11-23 INFO Applying migration submission.%04d... OK\n" % number for number in range(200_000))
    data = b"".join(lines)

    def replace(piece: bytes) -> bytes:
        for form in vocabulary.ordered:
            piece = piece.replace(form, b"***")
        return piece

    # In turns, so that both meet the same machine.
    pairs = [(_rate(Masker(vocabulary).feed, data), _rate(replace, data)) for _ in range(ROUNDS)]
    ours, peer = (sorted(rates)[ROUNDS // 2] for rates in zip(*pairs, strict=True))
    print(f"masking.nothing_matches  {ours:8.1f} MB/s  limit {LIMIT}, plain replacement of each form {peer:.1f}")


def _rate(feed: Callable[[bytes], bytes], data: bytes) -> float:
    began = time.process_time()
    for place in range(0, len(data), PIECE):
        feed(data[place : place + PIECE])
    return len(data) / 1e6 / (time.process_time() - began)


if __name__ == "__main__":
    main()
