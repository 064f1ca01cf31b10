"""Tells what machine this is. Nothing of it is asked of `platform`: importing that takes as long as the stub's start."""
import os


def describe_machine():
    """Return a dict of text and numbers. Which Python this is, HELLO has said."""
    kernel = os.uname()
    told = {
        'system': system_name(kernel),
        'architecture': kernel[4],
        'cores': usable_cores(),
    }
    # Python 2's str is bytes; what is told here is text.
    return dict([(text(key), text(value)) for key, value in told.items()])


def text(value):
    """A value, as text if it is bytes."""
    return value.decode('utf-8', 'replace') if isinstance(value, bytes) else value


def system_name(kernel):
    """The distribution's own name for itself, or the kernel's name and release."""
    for path in ('/etc/os-release', '/usr/lib/os-release'):
        try:
            with open(path, 'rb') as release:
                for line in release.read().decode('utf-8', 'replace').splitlines():
                    if line.startswith('PRETTY_NAME='):
                        return line.split('=', 1)[1].strip().strip('"' + "'")
        except EnvironmentError:
            pass
    return kernel[0] + ' ' + kernel[2]


def usable_cores():
    """How many cores this process may use; 0 if that is unknown."""
    try:
        return len(getattr(os, 'sched_getaffinity')(0))
    except (AttributeError, EnvironmentError):
        pass
    try:
        return max(os.sysconf('SC_NPROCESSORS_ONLN'), 0)
    except (ValueError, EnvironmentError):
        return 0
