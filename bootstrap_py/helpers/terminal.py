# A terminal for one step: runs a command with a controlling terminal of its own, its data on this process's own descriptors.
"""Run by `python -c` in front of a step that wants a terminal (BS-15), with these arguments behind its own text:

'0', or '1' for a command whose standard input has to be the terminal: the data's is descriptor 3 then;
'0', or '1' where it may ask for something;
the two halves of the line that says, on standard error, that the step is behind;
the command.

What the command shows on its terminal goes to standard error. What is read before the step is behind is typed on the terminal, and
all that is read later is the command's: this process never reads it. Nothing of the data goes through here.
"""
import errno
import fcntl
import os
import select
import signal
import sys
import termios

# How long a command may go on that nobody hears any more, in milliseconds: a stub ends in order meanwhile.
GRACE = 10000


def run(on_terminal, asks, behind, command):
    terminal, slave = os.openpty()
    mode = termios.tcgetattr(slave)
    # What is typed is not shown, and what is shown stays as it is.
    mode[1] &= ~termios.OPOST
    mode[3] &= ~(termios.ECHO | termios.ECHONL)
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    said, says = os.pipe()
    ended, ends = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            start(on_terminal, slave, says, command)
        finally:
            os._exit(127)
    # The terminal's other side stays open here: where the command opens it by name alone, it would be at its end before.
    os.close(says)
    signal.signal(signal.SIGCHLD, lambda *_: os.write(ends, b'.'))
    # Its end may have come before.
    os.write(ends, b'.')
    return relay(pid, terminal, said, ended, asks, behind)


def start(on_terminal, slave, says, command):
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for number in (signal.SIGPIPE, getattr(signal, 'SIGXFSZ', None)):
        if number is not None:
            signal.signal(number, signal.SIG_DFL)
    # Copies that are out of the way of the numbers which the command has.
    data, says, slave = [fcntl.fcntl(number, fcntl.F_DUPFD, 20) for number in (0, says, slave)]
    os.dup2(says, 2)
    if on_terminal:
        os.dup2(slave, 0)
        os.dup2(data, 3)
    os.closerange(3 + on_terminal, 24)
    try:
        os.execvp(command[0], command)
    except OSError:
        error = sys.exc_info()[1]
        reason = error.strerror
        if error.errno == errno.ENOENT:
            reason = 'command not found'
        os.write(2, ('%s: %s\n' % (command[0], reason)).encode())


def relay(pid, terminal, said, ended, asks, behind):
    """Until the command has ended: gives the status to end with."""
    watched = select.poll()
    for number in (terminal, said, ended):
        watched.register(number, select.POLLIN)
    # Without an event asked for, the other end's going away is told nevertheless.
    watched.register(2, 0)
    if asks:
        watched.register(0, select.POLLIN)
    last = b''
    status = limit = None
    while True:
        try:
            ready = [number for number, _ in watched.poll(limit)]
        except (OSError, select.error):
            if sys.exc_info()[1].args[0] == errno.EINTR:
                continue
            raise
        if not ready and limit is not None:
            # What has ended has said everything; what nobody hears is hung up, by the end of this process.
            return 129 if status is None else status
        # That a step begins is said before it asks; so it is passed on before.
        for number in [number for number in (said, terminal, ended, 0, 2) if number in ready]:
            if number == 2:
                watched.unregister(2)
                if limit is None:
                    limit = GRACE
                continue
            if number == 0 and not asks:
                continue
            try:
                data = os.read(number, 65536)
            except OSError:
                if sys.exc_info()[1].errno == errno.EINTR:
                    continue
                data = b''
            if number == ended:
                gone, how = os.waitpid(pid, os.WNOHANG)
                if gone:
                    watched.unregister(ended)
                    status = os.WIFEXITED(how) and os.WEXITSTATUS(how) or 0
                    if os.WIFSIGNALED(how):
                        status = 128 + os.WTERMSIG(how)
                    limit = 0
            elif not data:
                watched.unregister(number)
                if number == 0:
                    return 129
            elif number == 0:
                write(terminal, data)
            else:
                if asks and number == said:
                    last = last[-len(behind):] + data
                    if behind in last:
                        # From here on what comes is the command's. It is told after that, so that none has come yet.
                        watched.unregister(0)
                        asks = False
                write(2, data)


def write(number, data):
    while data:
        try:
            data = data[os.write(number, data) :]
        except OSError:
            # Who is gone is found out by polling.
            if sys.exc_info()[1].errno != errno.EINTR:
                return


if __name__ == '__main__':
    words = sys.argv[1:]
    sys.exit(run(int(words[0]), words[1] == '1', (words[2] + words[3]).encode(), words[4:]))
