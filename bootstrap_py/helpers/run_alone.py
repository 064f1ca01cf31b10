"""Runs a program in a process that was started for it alone, without a stub. `text` holds, behind a line of their lengths, run_main.py,
what few programs need (raw deflate in Base64), what the program is given, and its source."""

import os
import sys

# The code of each file by the name that tracebacks show.
named = getattr(sys.modules.get('_imp'), '_fix_co_filename', None)


class Files(object):
    """Files as the stub has them (start.py)."""

    def __init__(self, first, others):
        self.sources = {'<easycluster>/helpers/run_main.py': first}
        self.others = others
        self.modules = {}

    def there(self, name):
        """Whether there is a file `name`.py."""
        name = '<easycluster>/%s.py' % name
        if name not in self.sources and self.others:
            import binascii
            import zlib

            texts = str(zlib.decompress(binascii.a2b_base64(self.others), -15).decode()).split('\0')
            self.others = None
            for other, source in zip(texts[::2], texts[1::2]):
                self.sources['<easycluster>/' + other] = source
        return name in self.sources

    def load(self, name):
        """The module of the file `name`.py."""
        if name not in self.modules:
            module = self.modules[name] = type(sys)('easycluster_' + name)
            module.load = self.load
            self.there(name)
            filename = '<easycluster>/%s.py' % name
            source = self.sources[filename]
            # exec() of text makes no types of `ast`, which compile() does.
            module.named = lambda: named(sys._getframe(1).f_code, filename)
            exec('named()\n' + source if named else compile(source, filename, 'exec', 0, True), module.__dict__)
        return self.modules[name]


def pieces():
    """What `text` holds."""
    sizes, rest = text.split(b'\n', 1)
    for size in sizes.split():
        yield rest[: int(size)]
        rest = rest[int(size) :]
    yield rest


def begin():
    """Runs the program and ends with its status."""
    first, others, given, source = pieces()
    load = Files(str(first.decode()), others).load
    main = load('helpers/run_main')
    status, said = 1, ''
    try:
        try:
            filename, argv, environment, folder = eval(given)
            main.set_variables(environment)
            main.open_streams()
            # From here on what is printed is the program's, on each of both, and an interruption too.
            tell('r')
            sign('r')
            status = load('helpers/run_main_seldom').enter(folder) if folder else 0
            if not status:
                status, said = main.execute(source, filename, argv, main.shut_threads)
        except KeyboardInterrupt:
            status, said = 130, 'KeyboardInterrupt: before it began\n'
        status = main.end_program(status)
        if said:
            tell('k', said)
    except:  # noqa: E722  (nothing may go on here)
        import traceback

        os.write(2, traceback.format_exc().encode('utf-8', 'replace'))
    finally:
        os._exit(status)


def tell(letter, said=''):
    """Gives a sign on standard error, and behind it where the program stood when it was interrupted."""
    if not isinstance(said, bytes):
        said = said.encode('utf-8', 'replace')
    try:
        os.write(2, (marker + letter + '\n').encode() + said[-16000:])
    except EnvironmentError:
        # It is closed, perhaps by the program.
        pass


begin()
