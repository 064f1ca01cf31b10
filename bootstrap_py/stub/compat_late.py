# Every difference between Python 2.6 and 3.14 that a first call does not meet: source, methods, values of all sorts.
compat = load('compat')
os, sys, BytesIO = compat.os, compat.sys, compat.io.BytesIO

PY3, VERSION, pickle, text_type = compat.PY3, compat.VERSION, compat.pickle, compat.text_type
# How subprocess starts a process in a session of its own; before 3.2 by a function, of which 3.12 warns.
NEW_SESSION = PY3 and {'start_new_session': True} or {'preexec_fn': os.setsid}
# Not in 2.6, to which clients send nothing that needs it.
filled = getattr(compat.builtins, 'memoryview', None)
# Whether a signal reaches a thread that waits for a lock; whether the collector calls every __del__ with nothing gone.
WAITS_END, COLLECTS_ALL = VERSION >= (3, 2), VERSION >= (3, 4)
# Whether multiprocessing can start child processes anew.
SPAWNS = VERSION >= (3, 4)
# Whether text that is written can be passed on at once.
WRAPS = VERSION >= (3, 3)
# Whether a thread looks for what was raised in it once in so many steps of all threads; how they take turns seldom.
COUNTS = not PY3
SELDOM = ('setswitchinterval', 0.2) if PY3 else ('setcheckinterval', 1000000)


# What imported() has found; the names that threads of its own are at; and for how many seconds it waits for one.
whole, sought, PATIENCE = {}, [], 2


def imported(name):
    """A module of Python's own, whole. A thread that asks for one while another imports it would be given what there is of it, should
    that one be interrupted. None if it cannot be imported, or not soon: the thread that reads asks too, and remote code may be in an
    import that never ends, for which all others wait up to 3.2, or have put something in the way of all."""
    if name not in whole or whole[name] is not sys.modules.get(name):
        machine = load.__self__.machine
        if not machine or machine.main.ident == compat.thread.get_ident():
            return search(name)
        # After one that did not end in time the others are not waited for.
        until = not sought and compat.time() + PATIENCE
        sought.append(name)
        try:
            machine.start(search, name, sought)
        except compat.thread.error:
            return search(name, sought)
        while until and name in sought and compat.time() < until:
            compat.sleep(0.001)
        if name in sought:
            return None
    return whole.get(name)


def search(name, sought=()):
    """Imports a module; takes its name from among those that are sought."""
    try:
        for attempt in range(9):
            try:
                module = __import__(name)
                if module is sys.modules[name]:
                    whole[name] = module
                    return module
            except Exception:
                pass
    finally:
        if sought:
            sought.remove(name)


def widen(link, done=[]):
    """Once, before much goes through them: has the pipes to the SSH server hold more, so that neither end waits for the other as often,
    and this process keep the memory of what was read for what is read next."""
    if not done:
        done.append(True)
        for descriptor in (link.frames_in, link.frames_out):
            try:
                # F_SETPIPE_SZ of Linux, to what every user may have; other systems refuse it, and so does a user's limit in all.
                imported('fcntl').fcntl(descriptor, 1031, 1048576)
            except Exception:
                pass
        # The C library of Linux gives what is freed back to the system at once, and asks for it anew with each piece, which costs more
        # than writing it. It keeps as much as the largest single part that was ever freed.
        len(b'\0' * 4194304)
        load('wire').READ_SIZE = 262144


def native_source(source):
    """Source text as linecache takes it, and compile() behind MARK, with the ends of line that 2.6 asks for."""
    if not PY3:
        if isinstance(source, text_type):
            source = source.encode('utf-8')
        # What the client's file was coded in does not hold for text.
        source = __import__('re').sub('^((#.*)?\n?[ \t]*#.*)coding', r'\1Coding', source.replace('\r\n', '\n'))
    return source if source[-1:] == '\n' else source + '\n'


def compiled(source, filename, mode):
    """The code of what native_source() gives."""
    source = compat.MARK + source
    if VERSION < (2, 7) and __import__('re').match('.*\n[ \t]*#.*coding[:=]', source):
        # It takes the second line at its word also where that is within a string. So that comes later, and is told as
        # where it was.
        source = compile(compat.MARK + '\n\n' + source[len(compat.MARK):], filename, mode, 1024, True)
        __import__('ast').increment_lineno(source, -2)
    return compile(source, filename, mode, 0, True)


def attribute(owner, name):
    """An attribute by its name on the client, whose Python has other names for some methods of 2.x."""
    if not PY3 and not hasattr(owner, name):
        name = {'__next__': 'next', '__bool__': '__nonzero__', '__truediv__': '__div__'}.get(name, name)
    return getattr(owner, name)


def again(info):
    """Raises what was caught before, with the traceback that it had."""
    if PY3:
        raise info[1]
    exec('raise info[0], info[1], info[2]')


def thread_id(ctypes):
    """The C type in which PyThreadState_SetAsyncExc takes a thread."""
    return ctypes.c_ulong if VERSION >= (3, 7) else ctypes.c_long


def printed(data):
    """What is printed as bytes."""
    if isinstance(data, text_type):
        # Whatever the text holds, printing must not fail over it.
        return data.encode('utf-8', 'backslashreplace')
    return bytes(data)


def kept_bytes(data):
    """Bytes that arrive as bytes when pickled with protocol 2."""
    return data if PY3 else bytearray(data)


def not_text(value):
    """The persistent id of `str` of 2.x that is not UTF-8, so that it arrives as bytes; None for all else."""
    if not PY3 and type(value) is str:
        try:
            value.decode('utf-8')
        except UnicodeError:
            return compat.text('b'), value.decode('latin-1')
    return None


def plain_bytes(data):
    """Bytes for a peer that reads plain data only; of 2.x as text if they are UTF-8."""
    data = bytes(data)
    return data if PY3 or not_text(data) else data.decode('utf-8')


class Found(Exception):
    """A value holds something that cannot go the quick way."""


if PY3:
    # Subclasses, because 3.13 does not let an instance be given a function.
    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            """Asked by the C pickler about everything."""
            return self.identify(item)

    class Quick(pickle.Pickler):
        def reducer_override(self, item):
            """Asked by the C pickler about what is not of a built-in type."""
            if self.identify(item) is not None:
                raise Found
            return NotImplemented

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, identity):
            """Asked by the C unpickler."""
            return self.find(identity)

        def find_class(self, module, name):
            """Asked by the C unpickler for a name."""
            return named(self.looked_up, module, name)

        def looked_up(self, module, name):
            """What this version has by a name."""
            load('names').packages(module)
            return super(Unpickler, self).find_class(module, name)


def named(find, module, name):
    """What a pickle calls so, also where this version has it elsewhere or under another name."""
    try:
        found = find(module, name)
    except (ImportError, AttributeError):
        failed = sys.exc_info()[1]
        for other in load('moved').others(str(module), str(name)):
            try:
                found = find(*other)
                break
            except (ImportError, AttributeError):
                pass
        else:
            raise failed
    if found is tuple and name != 'tuple':
        return plain_tuple
    if not PY3 and name in UNICODE_ERRORS:
        # All text in them is `str`, but for the one that they are about.
        return lambda *args: found(*[
            value.encode('utf-8') if isinstance(value, text_type) and place != UNICODE_ERRORS[name] else value
            for place, value in enumerate(args)])
    return found


UNICODE_ERRORS = {'UnicodeDecodeError': None, 'UnicodeEncodeError': 1, 'UnicodeTranslateError': 0}


# Whose C unpickler reads item by item where a file has no peek(); from 3.4 on pickles say how long their parts are.
PEEKS = PY3 and VERSION < (3, 4)


def plain_tuple(*args):
    """A result tuple that this version does not have: one of C is given its items and what has no place, others each item."""
    return args[0] if len(args) == 2 and type(args[0]) is tuple and type(args[1]) is dict else args


def by_name(module, name):
    """What the C unpickler of 2.x looks up."""
    __import__(module)
    return getattr(sys.modules[module], name)


def dump(value, target, protocol, identify, take, quick):
    """Pickles with persistent ids; buffers go to `take` where both ends can. With `quick` at full speed, and
    False if the value holds something that `identify` knows, or may."""
    if not PY3:
        pickler = None if quick else pickle.Pickler(target, protocol)
    elif protocol > 4:
        pickler = (Quick if quick else Pickler)(target, protocol, buffer_callback=take)
    elif quick and VERSION < (3, 8):
        pickler = None
    else:
        pickler = (Quick if quick else Pickler)(target, protocol)
    if not pickler:
        return False
    if PY3:
        pickler.identify = identify
    else:
        pickler.persistent_id = identify
    try:
        pickler.dump(value)
    except Found:
        return False
    return True


def load_from(source, find, buffers):
    """Unpickles from a file."""
    if not PY3:
        # Any other file than this one is asked for each item anew.
        unpickler = pickle.Unpickler(__import__('cStringIO').StringIO(source.read()))
        unpickler.persistent_load = find
        unpickler.find_global = lambda module, name: named(by_name, module, name)
    else:
        unpickler = Unpickler(source, buffers=buffers) if buffers else Unpickler(source)
        unpickler.find = find
    return unpickler.load()


# What is in each pickle that names something in a module; protocol 3, which 3.3 has, ends a line with it.
NAMES = b'\x93\x94' if VERSION >= (3, 4) else b'\n'


def loads(data):
    """As the one of `pickle`, with packages imported first."""
    return load_from(BytesIO(data), None, None) if NAMES in data else pickle.loads(data)


if VERSION >= (3, 3):
    # For whoever unpickles without asking here, as a plain call does. Whole before it is there: another thread may be in one.
    asking = type(sys)('pickle')
    asking.__dict__.update(pickle.__dict__, loads=loads)
    compat.pickle = asking
