# The stub that serves calls: greets, stands in for what remote code uses of this process, runs the main thread.
import sys

wire = load('wire')


class Later(object):
    """Stands for sys.stdout or sys.stderr until something is printed; the real one is compiled only then."""

    def __init__(self, machine, name):
        self.machine = machine
        self.name = name

    def __getattr__(self, name):
        return getattr(self.machine.stream(self), name)


def main(files, marker):
    """Runs the stub until the connection ends."""
    link = wire.opened(wire.Link, marker)
    # What fails until its file is loaded is told where it can be read: the pipes are made behind that.
    machine = files.machine = load('worker').Machine(link, wire.printed())
    # Kept, because print() of some versions does not hold what it finds in sys.
    machine.stand_ins = sys.stdout, sys.stderr = Later(machine, '<stdout>'), Later(machine, '<stderr>')
    sys.__stdout__, sys.__stderr__ = machine.stand_ins
    machine.guard(machine.main.work)
