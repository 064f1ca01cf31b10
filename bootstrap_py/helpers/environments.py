# Keeps folders with packages: makes them, says which are there, removes them. Python 3 only.
import atexit
import os
import shutil
import sys
import sysconfig
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


def begin(key, keep):
    """Makes a folder of this user alone for an environment. It is removed when the connection ends, unless finish() keeps it."""
    parent = None
    if keep:
        parent = os.path.dirname(kept_folder(key))
        os.makedirs(parent, 0o700, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
    atexit.register(shutil.rmtree, folder, True)
    return folder


def finish(folder, key, keep):
    """Everything is in the folder; gives where it is from now on, which is a place by its key where it is kept."""
    if not keep:
        return folder
    try:
        os.rename(folder, kept_folder(key))
    except EnvironmentError:
        # Another connection was first.
        shutil.rmtree(folder, True)
        if find(key) is None:
            raise
    return kept_folder(key)


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
