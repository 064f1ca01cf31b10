# Starts the stub: loads its other files as they are needed, takes over the descriptors, greets, runs the main thread.
import os
import sys

ModuleType = type(sys)
PREFIX = '<easycluster>/'
VERSION = 1


class Files(object):
    """The files of the stub as text; each is compiled when it is first asked for, because compiling all of
    them would take longer than starting Python."""

    def __init__(self, index, rest):
        self.sources = {}
        self.modules = {}
        position = 0
        for name, size in zip(index[::2], index[1::2]):
            self.sources[name] = rest[position:position + int(size)]
            position += int(size)

    def load(self, name):
        """The module of the file `name`.py."""
        module = self.modules.get(name)
        if module is None:
            module = ModuleType('_easycluster_' + name)
            module.load = self.load
            module.files = self
            source = self.sources[name + '.py']
            # Registered before it runs, as `import` does, so that two files may name each other.
            self.modules[name] = module
            exec(compile(source, PREFIX + name + '.py', 'exec', 0, True), module.__dict__)
        return module


class Later(object):
    """Stands for sys.stdout or sys.stderr until something is printed; the real one is compiled only then."""

    softspace = 0

    def __init__(self, machine, number):
        self.machine = machine
        self.number = number

    def __getattr__(self, name):
        return getattr(self.machine.streams()[self.number], name)


def take_descriptors(compat):
    """Moves 0 and 1 away, so that remote code that reads or prints does not touch the frames.

    Returns the descriptors of frames in, frames out, and the reading end of what is now descriptor 1."""
    try:
        os.fstat(2)
    except OSError:
        # Without this, a duplicate below might become descriptor 2 and collect error messages.
        while os.open(os.devnull, os.O_WRONLY) < 2:
            pass
    frames_in = os.dup(0)
    frames_out = os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    printed, stdout = os.pipe()
    os.dup2(stdout, 1)
    os.close(stdout)
    for descriptor in (frames_in, frames_out, printed):
        compat.keep_private(descriptor)
    return frames_in, frames_out, printed


def own_group():
    """Becomes the leader of a process group; True if the group is ours alone to end."""
    try:
        os.setpgid(0, 0)
    except OSError:
        pass
    return os.getpgrp() == os.getpid()


def main(index, rest, marker):
    """Runs the stub until the connection ends."""
    files = Files(index, rest)
    compat = files.load('compat')
    wire = files.load('wire')
    worker = files.load('worker')
    frames_in, frames_out, printed = take_descriptors(compat)
    link = wire.Link(frames_in, frames_out, own_group())
    text = compat.text
    hello = {
        'protocol': VERSION, 'python': compat.VERSION, 'implementation': text(compat.IMPLEMENTATION),
        'platform': text(sys.platform), 'pid': os.getpid(), 'pickle': compat.HIGHEST_PICKLE,
        'executable': text(sys.executable or ''), 'features': [],
    }
    hello = dict([(text(key), value) for key, value in hello.items()])
    link.pending.append((marker + 'r\n').encode('ascii'))
    link.send(wire.HELLO_S, 0, 0, compat.pickle.dumps(hello, 2))
    del sys.argv[1:]
    machine = worker.Machine(link, printed)
    machine.placeholders = {1: Later(machine, 0), 2: Later(machine, 1)}
    sys.stdout = sys.__stdout__ = machine.placeholders[1]
    sys.stderr = sys.__stderr__ = machine.placeholders[2]
    machine.run()


main(index, text, marker)
