"""Tells what machine and which Python this is."""


def describe_machine():
    """Return a dict of text and numbers."""
    import platform
    import sys
    told = {
        'python': '.'.join([str(part) for part in sys.version_info[:3]]),
        'implementation': platform.python_implementation(),
        'executable': sys.executable or '',
        'system': system_name(),
        'architecture': platform.machine(),
        'cores': usable_cores(),
    }
    # Python 2's str is bytes; what is told here is text.
    return dict([(text(key), text(value)) for key, value in told.items()])


def text(value):
    """A value, as text if it is bytes."""
    return value.decode('utf-8', 'replace') if isinstance(value, bytes) else value


def system_name():
    """The distribution's own name for itself, or the kernel's name and release."""
    import platform
    for path in ('/etc/os-release', '/usr/lib/os-release'):
        try:
            release = open(path, 'rb')
        except EnvironmentError:
            continue
        try:
            for line in release.read().decode('utf-8', 'replace').splitlines():
                if line.startswith('PRETTY_NAME='):
                    return line.split('=', 1)[1].strip().strip('"' + "'")
        finally:
            release.close()
    return platform.system() + ' ' + platform.release()


def usable_cores():
    """How many cores this process may use; 0 if that is unknown."""
    import os
    try:
        return len(getattr(os, 'sched_getaffinity')(0))
    except (AttributeError, EnvironmentError):
        pass
    try:
        import multiprocessing
        return multiprocessing.cpu_count()
    except (ImportError, NotImplementedError, EnvironmentError):
        return 0
