"""File locks against two runs in one folder; they are released when the process ends, however it ends.

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
    """Hold the lock of an existing folder. On a disk without locks this only warns; on Windows it does nothing.

    Args:
        lock: the lock file, created if necessary; it is not removed.
        refusal: message if another process holds the lock.
        together: take a shared lock.
        patient: wait until the lock is free.

    Raises:
        ScmError: if another process holds the lock, or the file cannot be created.
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
            log.warning("%s: its disk has no locks (%s); do not start a second run in it", lock.parent, error.strerror)
        yield
