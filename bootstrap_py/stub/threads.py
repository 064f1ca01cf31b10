# Server threads beside the main one: how they begin, and requests that no thread will run.
compat = load('compat')
wire = load('wire')
Worker = load('worker').Worker


def once(machine, name, make):
    """What one attribute holds, made when first asked for; by one thread, however many ask."""
    with load.__self__.locked():
        if getattr(machine, name) is None:
            setattr(machine, name, make(machine))
        return getattr(machine, name)


def begin(machine, number, one_shot):
    """The thread of that number, which starts when it is roused."""
    worker = Worker(machine, number, one_shot)
    machine.alive.add(worker)
    if not one_shot:
        machine.workers[number] = worker
    return worker


def drop(worker, size):
    """Returns what will not be run; called by who reads."""
    worker.dropped += size
    if not worker.one_shot:
        worker.machine.link.send(wire.CREDIT, 0, worker.number, wire.struct.pack('>I', size))


def refuse(worker, entry, error, kind):
    """Answers a request that never ran."""
    if not entry[1] & wire.NO_REPLY:
        data = load('errors').describe(worker.machine, kind, (type(error), error, None))
        worker.machine.link.send(wire.ERROR, entry[2], worker.number, data)


def refuse_all(worker):
    """Answers the requests of a thread that cannot be started."""
    machine = worker.machine
    machine.workers.pop(worker.number, None)
    machine.alive.discard(worker)
    while worker.queue:
        entry = worker.queue.popleft()
        drop(worker, entry[4])
        refuse(worker, entry, RuntimeError('the server cannot start another thread'), 'exception')
