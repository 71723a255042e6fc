"""A lock that ends with the process, however that ends: two runs into one folder would spoil each other's files.

The package filelock has no shared flock, which shares of ``scm preprocess`` need; its read-write lock is a SQLite file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scmnet_cli.errors import ScmError
from scmnet_cli.files import open_to_append, translate_os_errors

log = logging.getLogger(__name__)


@contextmanager
def held(lock: Path, refusal: str, *, together: bool = False, patient: bool = False) -> Iterator[None]:
    """Hold the lock of a folder that exists. On a disk without locks this only warns; Windows has no such locks.

    Args:
        lock: the file to lock, made if need be; it stays.
        refusal: text of the error.
        together: share the lock with others that ask to share it.
        patient: wait until it is free.

    Raises:
        ScmError: if another process holds the lock, or the file cannot be made.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with translate_os_errors(lock.parent):
        file = open_to_append(lock)
    with file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if together else fcntl.LOCK_EX) | (0 if patient else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise ScmError(refusal) from error
        except OSError as error:
            log.warning("%s: its disk has no locks (%s); start no second run into it", lock.parent, error.strerror)
        yield
