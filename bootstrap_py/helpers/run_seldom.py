"""What few programs need of those that run_process.py runs: a folder, packages, input, and a process that is not theirs alone."""

import os
import sys

process = load('helpers/run_process')
main = load('helpers/run_main')


def run_as_call(source, filename, argv, given):
    """Runs a program as a call of this process, which goes on when it has ended, where the system gives it none of its own."""
    # This process then has what it leaves behind, and ends as one that remote code has run in.
    load('requests')
    load('sources')
    status = process.prepare(given)
    if status:
        return status
    status, text = main.execute(source, filename, argv, wait_for_threads)
    if text:
        raise KeyboardInterrupt(text)
    main.flush_streams()
    return status


def wait_for_threads():
    """Python ends when the threads that are not daemons have ended; so does a program run here."""
    threading = sys.modules.get('threading')
    if threading is None:
        return
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def prepare(given):
    """As prepare() of run_process.py, for what is seldom given."""
    if given.get('packages'):
        # Programs that it starts find them too.
        sys.path.insert(0, given['packages'])
        before = os.environ.get('PYTHONPATH')
        os.environ['PYTHONPATH'] = given['packages'] + (before and os.pathsep + before or '')
    if given.get('folder'):
        status = load('helpers/run_main_seldom').enter(given['folder'])
        if status:
            return status
    if given.get('input'):
        feed(given['input'])
    return 0


def feed(data):
    """Has data read at descriptor 0. What no pipe holds is written by a process that is no child of the program's: a thread would
    hold up the end of this one, and a program may wait for any child."""
    source, sink = os.pipe()
    if len(data) <= 4096:
        os.write(sink, data)
    else:
        child = process.forked()
        if child:
            os.waitpid(child, 0)
        else:
            try:
                if not process.forked():
                    # It ends with the last who reads. Nobody waits for what it would print.
                    for descriptor in (source, 0, 1, 2):
                        os.close(descriptor)
                    while data:
                        data = data[os.write(sink, data[:65536]) :]
            finally:
                os._exit(0)
    os.close(sink)
    os.dup2(source, 0)
    os.close(source)
