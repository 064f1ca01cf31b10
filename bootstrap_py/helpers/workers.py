# Runs a process of another library here, such as a worker of Dask, whose bytes go over a channel. Python 3 only.
import atexit
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

# Reads the program from the socket, and gives it the socket.
BOOT = ('import socket,sys;s=socket.socket(fileno=int(sys.argv[1]));n=int(sys.argv[2]);d=b""\n'
        'while len(d)<n:d+=s.recv(n-len(d)) or sys.exit(1)\n'
        'exec(compile(d,"<easycluster>/worker.py","exec"),{"__name__":"__main__","descriptor":s.detach()})')
# Names the folder for files of the process, which goes with it however it ends.
FOLDER = 'EASYCLUSTER_WORKER_FOLDER'
# What one frame holds, so that it need not be cut.
PIECE = 131072
TAIL = 4096
# Milliseconds until is looked whether a process that reads nothing is wanted still.
LOOK = 500


def run(channel, program, variables, patience):
    """Runs the program in a process of its own until that ends or the channel does; its exit status, and the end of what it
    wrote to stderr. `variables` are added to its environment; PYTHONPATH is put in front of what is there."""
    environment = dict(os.environ)
    for name in variables:
        before = environment.get(name)
        environment[name] = variables[name] + os.pathsep + before if name == 'PYTHONPATH' and before else variables[name]
    folder = environment[FOLDER] = tempfile.mkdtemp(prefix='easycluster-worker-')
    running = []

    def clear():
        """Ends the process if it still runs, and takes its files away."""
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    # Where the connection has ended, this thread may not come to its end.
    atexit.register(clear)
    try:
        return run_in(environment, channel, program, patience, running)
    finally:
        clear()
        atexit.unregister(clear)


def run_in(environment, channel, program, patience, running):
    near, far = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, '-c', BOOT, str(far.fileno()), str(len(program))],
        pass_fds=[far.fileno()], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    running.append(process)
    far.close()
    tail = []
    errors = start(carry_errors, process.stderr, tail)
    try:
        near.sendall(program)
        start(carry_in, channel, near, process, patience)
        while True:
            try:
                piece = near.recv(PIECE)
            except ConnectionResetError:
                break
            if not piece:
                break
            channel.send(piece)
        end(process, patience)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        near.close()
    errors.join(patience)
    return process.returncode, b''.join(tail)[-TAIL:].decode('utf-8', 'replace')


def start(work, *args):
    thread = threading.Thread(target=work, args=args)
    thread.daemon = True
    thread.start()
    return thread


def carry_in(channel, near, process, patience):
    """What comes for the process, which ends when nothing more will: if it does not by itself, as where it is stopped, it is killed."""
    try:
        for piece in channel:
            give(near, piece, channel._line)
    except (EnvironmentError, EOFError, ValueError):
        # Both ends are told of by the other direction, which may have closed the socket by now.
        pass
    try:
        near.shutdown(socket.SHUT_WR)
    except EnvironmentError:
        pass
    end(process, patience)
    process.kill()


def give(near, piece, line):
    """Sends a piece to the process, for as long as the other end of the channel wants to hear of it: it may read nothing."""
    rest = memoryview(piece)
    while rest:
        try:
            rest = rest[near.send(rest, socket.MSG_DONTWAIT):]
        except BlockingIOError:
            if line.unread:
                raise EOFError
            poll = select.poll()
            poll.register(near, select.POLLOUT)
            poll.poll(LOOK)


def carry_errors(source, tail):
    """What the process writes to stderr is shown, and its end is kept."""
    while True:
        piece = os.read(source.fileno(), 65536)
        if not piece:
            return
        tail.append(piece)
        if len(tail) > 16:
            tail[:] = [b''.join(tail)[-TAIL:]]
        os.write(2, piece)


def end(process, patience):
    """Waits for the end of a process that has closed its socket."""
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            # The caller kills it.
            pass


listeners = []


def listen(address):
    """A port on which this process can be reached by that address, until unlisten()."""
    listener = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
    listeners.append(listener)
    listener.bind((address, 0))
    listener.listen(64)
    return listener.getsockname()[1]


def reach(others, seconds):
    """Which of these addresses, by name, cannot be reached from here, and why."""
    failed = []
    for name, address, port in others:
        try:
            socket.create_connection((address, port), seconds).close()
        except EnvironmentError:
            failed.append((name, str(sys.exc_info()[1])))
    return failed


def unlisten():
    """Closes the ports of listen()."""
    while listeners:
        listeners.pop().close()


def connection():
    """What sshd says of the connection: the client's address and port, and the server's."""
    return os.environ.get('SSH_CONNECTION', '').split()
