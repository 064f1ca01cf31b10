"""What makes a process of a program's own beside the stub. What few programs need stands in run_seldom.py, because compiling it takes
as long as a short program runs."""

import os
import sys

compat = load('compat')
main = load('helpers/run_main')
# The two ends of the pipe by which it tells how far it is (run_progress.py).
told = []
# What it says first.
THERE = b'.'


def become(own, source, filename, argv, given, early=()):
    """Runs a program in this process, which has just been forked for it, and ends the process. What is to be known of the program
    beyond its status goes to the descriptor `own`; `early` holds something if it was interrupted before it began."""
    status = 1
    try:
        os.write(own, THERE)
        become_program(own)
        status = ran(own, source, filename, argv, given, early)
    except:  # noqa: E722  (it is printed, and whatever called this function must not go on here)
        import traceback

        os.write(2, traceback.format_exc().encode('utf-8', 'replace'))
    finally:
        os._exit(status)


def ran(own, source, filename, argv, given, early=()):
    """Runs a program in this process, and gives its status. Until here what was signalled is noted in `early`."""
    try:
        compat.signal.signal(2, compat.signal.default_int_handler)
        if early:
            raise KeyboardInterrupt
        status, text = prepare(given), ''
        if not status:
            status, text = main.execute(source, filename, argv, main.shut_threads)
    except KeyboardInterrupt:
        status, text = 130, 'KeyboardInterrupt: before it began\n'
    status = main.end_program(status)
    if not isinstance(text, bytes):
        text = text.encode('utf-8', 'replace')
    if text:
        tell(own, text[-16000:])
    return status


def tell(own, text):
    """Tells the parent of the program's end, or, where the program has closed what we had open, who reads what it prints."""
    try:
        os.write(own, text)
    except EnvironmentError:
        os.write(2, text)


def given_to(source, filename, given):
    """What a program is given, with names as Python itself holds them; and its source, None where a module is to run."""
    given = dict([(main.native(name), value) for name, value in dict(given).items()])
    if given.get('module'):
        return None, given['module'], given
    return source, filename, given


def said(report):
    """What is to be known of a program that has ended, beyond its status: where it was interrupted."""
    if compat.select([report], [], [], 0)[0]:
        return os.read(report, 65536)[len(THERE) :].decode('utf-8', 'replace')
    return ''


def shell_status(status):
    """What waitpid() gives, as a shell has it: 128 and the signal where one ended it."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def prepare(given):
    """Gives the program its variables, folder and input; the status to end with where the folder cannot be entered."""
    main.set_variables(given.get('environment', {}))
    if 'packages' in given or 'folder' in given or 'input' in given:
        return load('helpers/run_seldom').prepare(given)
    return 0


def forked():
    """As os.fork(). That this process has other threads does not matter to the program, though Python would warn of it."""
    if not sys.warnoptions and 'warnings' not in sys.modules:
        # Nobody has asked for warnings of what is not the main program.
        return os.fork()
    import warnings

    before = warnings.filters[:]
    try:
        warnings.simplefilter('ignore')
        return os.fork()
    finally:
        warnings.filters[:] = before
        getattr(warnings, '_filters_mutated', int)()


def become_program(own):
    """Leaves nothing of the connection in the program's process: no descriptor but `own` and what it tells by, no handler, no
    stream."""
    kept = [own] + told[1:]
    if not hasattr(os, 'get_inheritable'):
        # From 3.4 on pipes are so from the start.
        import fcntl

        for descriptor in kept:
            fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    try:
        opened = [int(name) for name in os.listdir('/dev/fd')]
    except (EnvironmentError, ValueError):
        opened = range(3, 256)
    for descriptor in opened:
        if descriptor > 2 and descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:
                pass
    atexit = sys.modules.get('atexit')
    if hasattr(atexit, '_clear'):
        atexit._clear()
    elif atexit:
        del atexit._exithandlers[:]
    main.open_streams()
