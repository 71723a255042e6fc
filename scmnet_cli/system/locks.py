"""A lock that ends with the process, however that ends: two runs into one folder would spoil each other's files.

The package filelock has no shared flock, which shares of ``scm preprocess`` need; its read-write lock is a SQLite file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scmnet_cli.errors import ScmError

log = logging.getLogger(__name__)


@contextmanager
def held(lock: Path, refusal: str, *, together: bool = False, patient: bool = False) -> Iterator[None]:
    """Hold the lock of a folder that exists. A disk that takes no locks is warned of, Windows has none.

    Args:
        lock: the file to lock, made if need be; it stays.
        refusal: what the error says.
        together: others who say so too may hold it at the same time.
        patient: wait for whoever holds it.

    Raises:
        ScmError: if somebody else holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with lock.open("a") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if together else fcntl.LOCK_EX) | (0 if patient else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise ScmError(refusal) from error
        except OSError as error:
            log.warning("%s: takes no locks (%s); start no second run into it", lock.parent, error.strerror)
        yield
