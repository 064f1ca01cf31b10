# Keeps folders with packages for worker processes: unpacks them, says which are there, removes them. Python 3 only.
import atexit
import io
import os
import shutil
import sys
import sysconfig
import tarfile
import tempfile

PREFIX = 'easycluster-env-'


def platform():
    """Version, implementation, platform and C library of this Python, as far as packages for it go."""
    try:
        library = os.confstr('CS_GNU_LIBC_VERSION') or ''
    except (AttributeError, ValueError, EnvironmentError):
        library = ''
    return list(sys.version_info[:2]), sys.implementation.name, sysconfig.get_platform(), library


def kept_folder(key):
    """Where an environment that stays is."""
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    return os.path.join(cache, 'easycluster', PREFIX + key)


def find(key):
    """The folder of an environment that was kept, or None."""
    folder = kept_folder(key)
    return folder if os.path.isdir(folder) else None


def unpack(key, packed, keep):
    """Unpacks an environment into a folder of this user alone. It is removed when the connection ends, or kept by its key."""
    if keep:
        parent = os.path.dirname(kept_folder(key))
        os.makedirs(parent, 0o700, exist_ok=True)
    else:
        parent = None
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
    try:
        archive = tarfile.open(fileobj=io.BytesIO(packed), mode='r:')
        try:
            # It comes from the client, whose word counts here anyway.
            archive.extractall(folder)
        finally:
            archive.close()
        if keep:
            try:
                os.rename(folder, kept_folder(key))
            except EnvironmentError:
                # Another connection was first.
                shutil.rmtree(folder, True)
            return kept_folder(key)
    except BaseException:
        shutil.rmtree(folder, True)
        raise
    atexit.register(shutil.rmtree, folder, True)
    return folder


def remove(folder):
    """Removes an environment that is not kept."""
    if os.path.basename(folder).startswith(PREFIX):
        shutil.rmtree(folder, True)


def clean():
    """Removes what is kept; gives the names and sizes of the folders."""
    parent = os.path.dirname(kept_folder(''))
    removed = []
    for name in sorted(os.listdir(parent)) if os.path.isdir(parent) else ():
        if name.startswith(PREFIX):
            size = 0
            for folder, _, files in os.walk(os.path.join(parent, name)):
                size += sum([os.lstat(os.path.join(folder, each)).st_size for each in files])
            shutil.rmtree(os.path.join(parent, name), True)
            removed.append((name, size))
    return removed
