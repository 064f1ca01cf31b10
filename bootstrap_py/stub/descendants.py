# Child processes that are in the way of a cancellation, such as that of os.system(): they are interrupted, too.
# As by Ctrl-C at a terminal. On Linux, which says which thread has started which process.
compat = load('compat')
os = compat.os
# Seconds in which an interruption of Python alone has had its effect; how often to look then, and for how long.
PATIENCE, AGAIN, AT_MOST = 0.1, 0.2, 10
# How exactly the system says when a process began.
STEP = 0.02

def watch(worker, request):
    """Looks after a request that is to be interrupted, in a thread of its own."""
    if worker.running == request:
        try:
            worker.machine.begin_thread(follow, worker, request)
        except compat.thread.error:
            # Then it takes as long as its child processes.
            pass


def follow(worker, request):
    """Interrupts what of a request goes on, until it has noticed: its thread again, and its child processes."""
    begun = compat.time()
    control = load('control')
    is_main = worker is worker.machine.main
    pause = 0.005
    while worker.running == request and compat.time() < begun + AT_MOST:
        compat.sleep(pause)
        pause = min(pause * 2, AGAIN)
        knows = is_main and worker.struck == request
        if worker.running == request and is_main and not knows and control.is_heard():
            # The signal may have come just before a wait began. os.system() has it ignored, so it is also noted for later.
            compat.thread.interrupt_main()
            os.kill(os.getpid(), compat.signal.SIGINT)
        if request in control.missed and load('compat_late').whole.get('ctypes'):
            # It took longer to import than whoever cancels waits.
            control.strike(worker, request)
        if compat.time() > begun + PATIENCE:
            for process in started_by(worker, begun):
                # A forked child that runs Python is the business of who started it, if that knows.
                if not (knows and text('/proc/%d/cmdline' % process) == OURS) and claim(request, process):
                    send(process)
    control.missed.discard(request)
    for key in list(claimed):
        if key[0] == request:
            claimed.pop(key, None)


# Requests and their processes that have been interrupted.
claimed = {}


def claim(request, process):
    """Whether the caller is the first to interrupt a process, and so is to do it."""
    mine = object()
    return claimed.setdefault((request, process), mine) is mine


def send(process):
    """Interrupts one process, unless it leads a session or group of its own, and so is to go on."""
    try:
        if os.getpgid(process) == os.getpgrp():
            os.kill(process, compat.signal.SIGINT)
    except OSError:
        # It has ended.
        pass


def started_by(worker, before):
    """The processes that the request of a thread has started before that time, and those that they have."""
    task = '%d/task/%d' % (os.getpid(), os.getpid())
    if worker is not worker.machine.main:
        task = getattr(worker, 'task', None)
    found = []
    for process in task and children('/proc/%s/children' % task) or ():
        if compat.time() - before - STEP <= age(process) <= compat.time() - worker.since + STEP:
            found.append(process)
    return below(found)


def below(found):
    """The processes, and those that they have started in turn, also since they were listed."""
    for process in found:
        try:
            tasks = os.listdir('/proc/%d/task' % process)
        except EnvironmentError:
            tasks = ()
        for number in tasks:
            found.extend(children('/proc/%d/task/%s/children' % (process, number)))
    return found


def text(path):
    """A short file; empty if it cannot be read."""
    try:
        file = open(path)
        try:
            return file.read()
        finally:
            file.close()
    except EnvironmentError:
        return ''


def children(path):
    """The numbers of processes in a file."""
    return [int(number) for number in text(path).split()]


def age(process):
    """How many seconds a process has been there; many if the system does not say."""
    stat = text('/proc/%d/stat' % process).rpartition(')')[2].split()
    up = text('/proc/uptime').split()
    return float(up[0]) - float(stat[19]) / os.sysconf('SC_CLK_TCK') if stat and up else 1e9


OURS = text('/proc/self/cmdline')
