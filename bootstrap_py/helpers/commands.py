"""Runs shell commands for Client::command. The client chooses a number for each and calls its functions by threads of its own."""
import errno
import fcntl
import os
import subprocess
import sys
import time

compat = load('compat')
late = load('compat_late')

# Of the commands that run, by their numbers.
running = {}
# The numbers that start() has been through, and those that end() has been told of.
begun, given_up = set(), set()
LARGEST = 262144


class Running(object):
    """One command in a session of its own. The shell around it ends it when its input ends, so also when this process does."""

    def __init__(self, line):
        ends = [os.pipe() for _ in range(3)]
        # Not for what remote code starts meanwhile: it would keep the command's input open.
        for descriptor in (ends[0][1], ends[1][0], ends[2][0]):
            compat.own(descriptor)
        self.input, self.outputs = ends[0][1], [ends[1][0], ends[2][0]]
        self.names = list(self.outputs)
        self.writing = compat.thread.allocate_lock()
        self.ended = False
        # So that nobody waits for a command that takes no input when it is to end.
        fcntl.fcntl(self.input, fcntl.F_SETFL, fcntl.fcntl(self.input, fcntl.F_GETFL) | os.O_NONBLOCK)
        theirs = ends[0][0], ends[1][1], ends[2][1]
        try:
            self.process = subprocess.Popen(
                ['/bin/sh', '-c', compat.native(line)], stdin=theirs[0], stdout=theirs[1], stderr=theirs[2],
                close_fds=True, **late.NEW_SESSION)
        except:
            for descriptor in [self.input] + self.outputs:
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)

    def read(self):
        """What it has printed since, as standard output, standard error and None; or its exit status behind all of that."""
        told = [b'', b'']
        while self.outputs:
            for descriptor in compat.select(self.outputs, (), ())[0]:
                data = compat.read(descriptor, LARGEST)
                if data:
                    told[self.names.index(descriptor)] = data
                else:
                    self.outputs.remove(descriptor)
                    os.close(descriptor)
            if told[0] or told[1]:
                return told + [None]
        return told + [self.process.wait()]

    def write(self, data):
        """Writes to its input, as far as that is taken."""
        with self.writing:
            while data and not self.ended:
                before = data
                data = self.push(data)
                if data is before:
                    compat.select((), [self.input], (), 0.2)

    def push(self, data):
        """Writes what is taken at once; the rest, which is empty where nothing is taken any more."""
        try:
            return data[compat.write(self.input, data):]
        except EnvironmentError:
            return data if sys.exc_info()[1].errno == errno.EAGAIN else b''

    def end(self):
        """Ends its input."""
        self.ended = True
        with self.writing:
            os.close(self.input)


def start(number, line, control=b''):
    """Starts a command by the line of a shell, which reads `control` first."""
    try:
        running[number] = Running(line)
    finally:
        begun.add(number)
    if number in given_up:
        end(number)
    elif control:
        running[number].write(control)


def read(number):
    """The next of a command; see Running.read. None where it was ended meanwhile."""
    if number in running:
        return running[number].read()


def write(number, data):
    """Writes to a command's input. What it does not take any more is dropped. Its start may be in another thread's queue still."""
    while number not in begun:
        time.sleep(0.002)
    if number in running:
        running[number].write(data)


def end(number):
    """Ends a command's input, and with it what is left of the command, also where it has not been started yet."""
    given_up.add(number)
    command = running.pop(number, None)
    if command:
        command.end()
    if number in begun:
        begun.discard(number)
        given_up.discard(number)


def run(line, control):
    """Runs a command to its end: its standard output, standard error and exit status, as subprocess has it. `control` is all that
    its shell reads."""
    command = Running(line)
    told = [], []
    # Cutting the front off all of it would copy the rest each time.
    pieces = [control[place:place + LARGEST] for place in range(0, len(control), LARGEST)]
    try:
        while command.outputs:
            # Not for ever, as a thread that waits cannot be interrupted.
            writing = pieces and [command.input] or ()
            readable, writable, _ = compat.select(command.outputs, writing, (), 0.2)
            for descriptor in readable:
                data = compat.read(descriptor, LARGEST)
                if data:
                    told[command.names.index(descriptor)].append(data)
                else:
                    command.outputs.remove(descriptor)
                    os.close(descriptor)
            if writable:
                pieces[:1] = [rest for rest in [command.push(pieces[0])] if rest]
        while command.process.poll() is None:
            time.sleep(0.02)
    finally:
        command.end()
        for descriptor in command.outputs:
            os.close(descriptor)
    # What a client in Python takes for bytes, whatever Python this is.
    return [bytearray(b''.join(pieces)) for pieces in told] + [command.process.returncode]
