# Forces threads of the stub to meet where each looks first and acts second; called with a folder, under any Python.
import json
import os
import sys
import threading

sources = json.load(open(os.path.join(sys.argv[1], 'sources.json')))
start = {'__name__': 'start'}
# Without its last lines, which run the stub.
exec(compile(sources['start'].rsplit('\nfiles = ', 1)[0], 'start', 'exec', 0, True), start)
load = None


class Link(object):
    """What the machine asks of a link; frames are kept."""

    def __init__(self):
        self.sent = []
        self.pending = []
        self.reads = 0
        self.compress = False
        self.reading = threading.Lock()

    def send(self, *frame):
        self.sent.append(frame)

    def flush(self):
        self.sent.extend(self.pending)
        del self.pending[:]

    def frame(self, *frame):
        return frame

    def part(self, name):
        return load(name)

    def fatal(self, code, sentence):
        raise SystemExit(code + sentence)


def machine():
    """A machine that has been greeted."""
    made = load('worker').Machine(Link(), [0, 0])
    made.protocol = 2
    made.peer = 'python'
    made.window = 1 << 20
    made.names = {}
    made.module = sys
    made.printed = []
    made.rouse_ticker = lambda: made.roused_ticker.append(True)
    made.roused_ticker = []
    made.stand_ins = [load('main').Later(made, name) for name in ('<stdout>', '<stderr>')]
    files.machine = made
    return made


def call(number, name='abs'):
    """A queued request for abs(-1)."""
    payload = load('compat').pickle.dumps((load('compat').text(name), (-1,), {}), 2)
    return (load('wire').CALL, 0, number, payload, 16 + len(payload))


def answers(made):
    """Kinds and numbers of the answers in what was sent."""
    found = []
    for frame in made.link.sent:
        if isinstance(frame, bytes):
            header = load('wire').unpack(frame, 0)
            found.append((header[1], header[4]))
        else:
            found.append((frame[0], frame[1] if frame[0] in (67,) else frame[2]))
    return found


def made_once(module, kind):
    """Two threads ask for the same thing, and each would find it missing."""
    made = machine()
    owner = load(module)
    real = getattr(owner, kind)
    inside = []
    both = threading.Event()

    def slow(*args):
        inside.append(None)
        if len(inside) > 1:
            both.set()
        both.wait(0.3)
        return real(*args)

    setattr(owner, kind, slow)
    found = []
    threads = [threading.Thread(target=lambda: found.append(owner.of(made))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    setattr(owner, kind, real)
    assert len(inside) == 1 and len(set(map(id, found))) == 1, inside


def references_are_made_once():
    made_once('references', 'References')


def output_is_made_once():
    made_once('output', 'Output')


def an_interruption_comes_as_the_request_begins():
    made = machine()

    class Interrupted(load('worker').Worker):
        at = 0

        def set(self, number):
            self.at = number
            if number == 7:
                self.cancelled = 7
                raise KeyboardInterrupt

        running = property(lambda self: self.at, set)

    worker = Interrupted(made, 0, False)
    worker.ident = load('compat').thread.get_ident()
    worker.queue.append(call(7))
    worker.queue.append(call(8))
    worker.run()
    assert [number for kind, number in answers(made)] == [7, 8], answers(made)
    assert [kind for kind, number in answers(made)] == [67, 66], answers(made)


def a_thread_that_cannot_start_gets_no_reading():
    made = machine()
    compat = load('compat')

    def refused(*args):
        raise compat.thread.error('no thread')

    made.start = refused
    made.main.ident = -1

    def read(request, control):
        request(load('wire').CALL, 0, 7, 3, call(7)[3], 99)

    made.link.read = read
    made.link.reading.acquire()
    assert not made.read(made.main)
    assert not made.link.reading.locked()
    kinds = [frame[0] for frame in made.link.sent]
    assert kinds == [load('wire').CREDIT, load('wire').ERROR], kinds
    assert made.link.sent[0][3] == load('wire').struct.pack('>I', 99) and 3 not in made.workers


def a_call_begins_as_the_reader_leaves():
    made = machine()
    ticker = load('ticker')
    other = load('threads').begin(made, 1, False)

    class Roused(load('worker').Worker):
        def look(self):
            # Behind the look that found all threads idle, and before the reader is inactive.
            other.busy = True
            other.running = 7
            return False

        ended = property(look, lambda self, value: None)

    roused = Roused(made, 2, False)
    roused.rouse = lambda: True
    made.reader_active = True
    made.ticker_parked = True

    def read(request, control):
        made.roused.append(roused)

    made.link.read = read
    made.link.reading.acquire()
    ticker.read_until_calm(made)
    assert other.busy and made.roused_ticker


def the_reader_is_done_before_the_ticker_goes_on():
    made = machine()
    compat = load('compat')
    made.main.busy = True
    made.main.running = made.main.seen = 7

    def start(work, *args):
        # Another thread reads just then, so the new one gives the reading back at once.
        with made.link.reading:
            compat.thread.start_new_thread(work, args)
            while made.reader_active:
                sleep(0.001)

    def pause(seconds):
        raise EOFError

    made.start = start
    sleep, compat.sleep = compat.sleep, pause
    try:
        load('ticker').tick(made)
    except EOFError:
        compat.sleep = sleep
    assert made.reader_started and not made.reader_active, 'nobody reads while calls run'


def a_cancel_comes_while_the_answer_is_sent():
    made = machine()
    control = load('control')
    worker = load('threads').begin(made, 1, False)
    interrupted = []
    control.set_exception = lambda worker, kind: interrupted.append(kind) or True
    worker.request, worker.running = 7, 0
    control.interrupt(worker, 7)
    assert not interrupted and not worker.cancelling and not worker.deferred
    worker.request = worker.running = 8
    control.interrupt(worker, 8)
    assert interrupted == [KeyboardInterrupt] and worker.cancelling


def a_cancel_comes_as_what_must_not_be_interrupted_begins():
    made = machine()
    control = load('control')
    worker, happened = load('threads').begin(made, 1, False), []
    worker.request = worker.running = 7
    meeting = threading.Thread(target=lambda: worker.shielded(happened.append, 'begun'))

    def set_exception(worker, kind):
        # Behind the look that found the shield down.
        meeting.start()
        meeting.join(0.3)
        happened.append('set')
        return True

    control.set_exception = set_exception
    control.interrupt(worker, 7)
    meeting.join(10)
    worker.running = 0
    assert happened == ['set', 'begun'], happened


def a_cancel_comes_as_the_reading_of_a_message_begins():
    made = machine()
    control = load('control')
    worker = load('threads').begin(made, 1, False)
    interrupted = []
    control.set_exception = lambda worker, kind: interrupted.append(kind) or True

    class Meeting(load('worker').Worker):
        @property
        def running(self):
            return self.__dict__.get('running_', 0)

        @running.setter
        def running(self, request):
            if self.__dict__.get('running_') == 7 and not interrupted:
                # Another thread has looked, and found the code running.
                control.cancel(made, 7)
            self.__dict__['running_'] = request

    class Payload(object):
        def read(self, *args):
            seen.append((worker.cancelling, interrupted[-1:]))
            return b''

        readinto = readline = read

        def abandon(self):
            return 0

    seen = []
    del worker.__dict__['running']
    worker.__class__ = Meeting
    worker.request = worker.running = 7
    try:
        load('references').unpickle(worker, 0, 7, Payload())
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError('it was not cancelled')
    assert seen and seen[0] == (0, [None]), (seen, interrupted)
    assert interrupted == [KeyboardInterrupt, None], interrupted


def the_last_request_comes_with_the_end_of_its_thread():
    made = machine()
    worker = load('threads').begin(made, 1, False)

    class Queue(load('compat').deque):
        looks = 0

        def __len__(self):
            Queue.looks += 1
            if Queue.looks == 1:
                # Behind this look, which found nothing.
                self.append(call(7))
                worker.ended = True
                return 0
            return load('compat').deque.__len__(self)

        def __bool__(self):
            # Before 3.9 a deque does not ask its length for that.
            return len(self) > 0

        __nonzero__ = __bool__

    worker.queue = Queue()
    load('threads').settle = lambda machine: None
    worker.work()
    assert (66, 7) in answers(made), answers(made)


def the_last_chunk_comes_with_the_end_of_its_message():
    made = machine()
    message = load('large').Message(made, made.main, 7, b'first')
    assert message.next() and message.current == b'first'

    class Chunks(load('compat').deque):
        looks = 0

        def __len__(self):
            Chunks.looks += 1
            if Chunks.looks == 1:
                self.append((b'last', 0))
                message.ended.append(True)
                return 0
            return load('compat').deque.__len__(self)

        def __bool__(self):
            # Before 3.9 a deque does not ask its length for that.
            return len(self) > 0

        __nonzero__ = __bool__

    message.chunks = Chunks()
    # Where it looks again it finds the chunk without reading.
    assert message.next() and message.current == b'last', message.current


def a_chunk_comes_as_its_thread_begins_to_wait():
    made = machine()
    worker = made.main
    message = load('large').Message(made, worker, 7, b'first')
    assert message.next() and message.current == b'first'
    # Another thread reads, and brings a whole window: more comes only for credit.
    made.link.reading.acquire()

    class Chunks(load('compat').deque):
        looks = 0

        def __len__(self):
            Chunks.looks += 1
            if Chunks.looks != 2:
                return load('compat').deque.__len__(self)
            # Behind the look that chooses what to wait for.
            message.feed(b'second', 0, False)
            for each in made.roused:
                each.rouse()
            return 0

        def __bool__(self):
            return len(self) > 0

        __nonzero__ = __bool__

    message.chunks = Chunks()
    found = []
    waiting = threading.Thread(target=lambda: found.append(message.next()))
    waiting.daemon = True
    waiting.start()
    waiting.join(10)
    assert found == [True] and message.current == b'second', found


def a_thread_ends_before_the_one_that_gave_it_the_reading_waits():
    made = machine()
    main = made.main
    # It has passed the reading on, and the other has run its request, read its own end and gone.
    main.rouse()
    waiting = threading.Thread(target=lambda: main.park(main.queue, False))
    waiting.daemon = True
    waiting.start()
    waiting.join(10)
    assert not waiting.is_alive(), 'nobody reads'


def two_threads_start_one():
    made = machine()
    started = []
    made.begin_thread = lambda *work: started.append(work)
    made.main.ident = -1
    worker = load('threads').begin(made, 3, False)

    class Unstarted(list):
        def pop(self):
            # Behind the look, another thread was faster.
            list.pop(self)
            return list.pop(self)

    worker.unstarted = Unstarted(worker.unstarted)
    assert worker.rouse() and not started, started
    ticking = machine()
    ticking.start = lambda *work: started.append(work)
    for _ in range(2):
        load('worker').Machine.rouse_ticker(ticking)
    assert len(started) == 1, started


def two_threads_ask_for_one_export():
    exports = load('exports')
    value = type('Held', (exports.ServerObject,), {})()
    real = exports.resolve
    other = []

    def resolve(*args):
        exports.resolve = real
        # While the first is at it.
        other.append(exports.export_of(value))
        return real(*args)

    exports.resolve = resolve
    found = exports.export_of(value)
    assert found and other == [found], other

    def changing(*args):
        exports.resolve = real
        exports.make_server_class(type(value), ['get'])
        return real(*args)

    exports.answers.clear()
    exports.resolve = changing
    exports.export_of(value)
    assert exports.export_of(value)[0] == ('get',), exports.export_of(value)


def a_file_comes_by_another_reader_before_it_is_waited_for():
    made = machine()
    there = files.there
    asked = []

    def comes(name):
        # Behind the first look another thread reads it, and gives the reading back.
        asked.append(name)
        return len(asked) > 1

    def read(me):
        raise AssertionError('it waits for what may never come')

    made.read = read
    files.there = comes
    try:
        while not files.there('late'):
            made.wait('late')
    finally:
        files.there = there
    assert asked == ['late', 'late', 'late'] and not made.link.reading.locked(), asked


def many_cancels_are_noted():
    made = machine()
    control = load('control')
    for number in range(1, 600):
        control.cancel(made, number)
    # The last ones may be those of requests that are being taken just now.
    assert set(range(500, 600)) <= made.cancelled and len(made.cancelled) <= 257


files = start['Files']([])
for name, source in sources.items():
    files.add([name + '.py', source])
load = files.load
files.build('compat')
sys.modules['easycluster'] = type(sys)('easycluster')
failed = []
for race in (
    references_are_made_once,
    output_is_made_once,
    an_interruption_comes_as_the_request_begins,
    a_thread_that_cannot_start_gets_no_reading,
    a_call_begins_as_the_reader_leaves,
    the_reader_is_done_before_the_ticker_goes_on,
    a_cancel_comes_while_the_answer_is_sent,
    a_cancel_comes_as_what_must_not_be_interrupted_begins,
    a_cancel_comes_as_the_reading_of_a_message_begins,
    the_last_request_comes_with_the_end_of_its_thread,
    the_last_chunk_comes_with_the_end_of_its_message,
    a_chunk_comes_as_its_thread_begins_to_wait,
    a_thread_ends_before_the_one_that_gave_it_the_reading_waits,
    two_threads_start_one,
    two_threads_ask_for_one_export,
    a_file_comes_by_another_reader_before_it_is_waited_for,
    many_cancels_are_noted,
):
    try:
        race()
    except BaseException:
        import traceback

        failed.append('%s: %s' % (race.__name__, traceback.format_exc()))
sys.stdout.write(json.dumps(failed))
