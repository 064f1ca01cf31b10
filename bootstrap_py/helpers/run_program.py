"""Runs one program under the remote Python as `python FILE ARGS` would, and returns its exit status."""


def run_program(source, filename, argv):
    """Run source (bytes) as __main__ with sys.argv = argv; an exception is printed as Python prints it."""
    import linecache
    import sys
    import traceback
    filename = native(filename)
    main = type(sys)('__main__')
    main.__file__ = filename
    # Whatever was __main__ before stays referenced: Python 2 empties a module nobody holds.
    run_program.before = sys.modules.get('__main__')
    sys.modules['__main__'] = main
    sys.argv = [native(argument) for argument in argv]
    # Tracebacks show source lines although no such file exists here.
    if isinstance(source, str):
        lines = source
    else:
        lines = source.decode('utf-8', 'replace')
    linecache.cache[filename] = (len(source), None, lines.splitlines(True), filename)
    if sys.version_info < (2, 7):
        # Which takes no other end of a line, and none that is missing.
        source = source.replace(b'\r\n', b'\n') + b'\n'
    status = 0
    try:
        try:
            exec(compile(source, filename, 'exec', 0, 1), main.__dict__)
            wait_for_threads()
        except SystemExit:
            status = exit_status(sys.exc_info()[1].code)
            wait_for_threads()
        except KeyboardInterrupt:
            raise
        except:  # noqa: E722  (Python 2 can raise what is no BaseException)
            kind, value, trace = sys.exc_info()
            # The first entry is this function, which is no part of the program.
            traceback.print_exception(kind, value, trace.tb_next)
            status = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, ValueError, EnvironmentError):
                # The program closed or replaced it.
                pass
    return status


def native(text):
    """Text as this Python's own str, which in Python 2 is bytes."""
    if isinstance(text, str):
        return text
    return text.encode('utf-8')


def exit_status(code):
    """What the system would see of sys.exit(code)."""
    import sys
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xff
    sys.stderr.write(str(code) + '\n')
    return 1


def wait_for_threads():
    """Python ends when the threads that are not daemons have ended; so does a program run here."""
    import sys
    threading = sys.modules.get('threading')
    if threading is None:
        return
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
