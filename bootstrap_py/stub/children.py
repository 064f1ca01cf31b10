# What child processes that multiprocessing, loky and the like start anew need of this one, to find definitions by name.
# Or the program that runs. The same code runs there, where nothing else of the stub does.
import sys

# What the program is called there, for multiprocessing to import it.
PROGRAM = 'easycluster_program'
EXECUTED = '<easycluster exec '
ModuleSpec = type(getattr(sys, '__spec__', None))
# In such a child: what it was sent.
received = {'modules': {}, 'program': None}


class Changing(object):
    """The loader of a module whose function the children are told by; as the loader that it stands for."""

    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def exec_module(self, module):
        """Runs the module, and changes that function."""
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        change(module)


def find(finder, name, path):
    """The spec of a module, as the finders behind this one have it, with a loader that changes it."""
    for each in sys.meta_path:
        spec = each is not finder and hasattr(each, 'find_spec') and each.find_spec(name, path)
        if spec:
            if hasattr(spec.loader, 'exec_module'):
                spec.loader = Changing(spec.loader)
            return spec
    return None


def change(module):
    """Has what a module tells new children hold all that is needed here, if it is such a module."""
    told = getattr(module, 'get_preparation_data', None)
    if told is None or told.__module__ == __name__:
        return

    def get_preparation_data(*args, **kwargs):
        data = told(*args, **kwargs)
        sent = gather()
        if sent['program'] and data.pop('init_main_from_path', None):
            data['init_main_from_name'] = PROGRAM
        data['easycluster'] = Sent(sent)
        return data

    module.get_preparation_data = get_preparation_data


class Sent(object):
    """What a child is sent; it is taken up there as soon as it is unpickled."""

    def __init__(self, content):
        self.content = content

    def __reduce__(self):
        return eval, ("(lambda space: (exec(content['text'], space), space['begin'](content)))"
                      "({'__name__': 'easycluster_children'})", {'content': self.content})


def gather():
    """What a child needs of this process."""
    sent = dict(received)
    loader = sys.modules['__main__'].__dict__.get('__loader__')
    if hasattr(loader, 'program'):
        sent['program'] = loader.program
    files = 'load' in globals() and load.__self__
    if files:
        sent['text'] = files.sources['<easycluster>/children.py']
    if files and files.there('sources'):
        files = files.sources
        sources = load('sources')
        sources.register()
        sent['package'] = [files['<easycluster>/%s.py' % name] for name in ('names', 'exports')]
        sent['provided'] = sources.PROVIDED
        sent['version'] = load.__self__.machine.version
    if not sent['program']:
        sent['modules'] = dict(sent['modules'])
        for name, module in list(sys.modules.items()):
            if type(module) is type(sys) and '_source_code' in module.__dict__:
                sent['modules'][name] = list(module._source_code), executed(module)
    return sent


def executed(module):
    """Names and texts of blocks that were no definitions, but that functions and classes of the module come from."""
    names = set()
    for value in list(module.__dict__.values()):
        for each in list(value.__dict__.values()) if type(value) is type else [value]:
            if isinstance(each, type(find)) and each.__code__.co_filename.startswith(EXECUTED):
                names.add(each.__code__.co_filename)
    cache = __import__('linecache').cache
    return [(name, ''.join(cache[name][2])) for name in sorted(names) if name in cache]


# In the child.


def begin(content):
    """Takes up what was sent."""
    received.update(content)
    sys.meta_path.insert(0, Finder())
    for name, module in list(sys.modules.items()):
        if name[-6:] == '.spawn':
            change(module)


class Finder(object):
    """Finds and loads what was sent."""

    def find_spec(self, name, path=None, target=None):
        """The spec of a module, or None."""
        if name[-6:] == '.spawn':
            return find(self, name, path)
        if name == PROGRAM and received['program']:
            spec = ModuleSpec(name, self, origin=received['program'][1])
            # So that it gets a __file__.
            spec.has_location = True
            return spec
        if name in received['modules'] or name == 'easycluster' and received['modules']:
            return ModuleSpec(name, self, is_package=name == 'easycluster')
        return None

    def create_module(self, spec):
        """None, for an ordinary module."""

    def get_code(self, name):
        """The code of the program."""
        source, filename = received['program']
        text = source if isinstance(source, str) else source.decode('utf-8', 'replace')
        remember(filename, text)
        return compile(source, filename, 'exec', 0, True)

    def exec_module(self, module):
        """Fills a module."""
        space = module.__dict__
        if module.__name__ == 'easycluster':
            return fill(space)
        package = __import__('easycluster')
        for name in received['provided']:
            space.setdefault(name, getattr(package, name))
        space['_source_code'], blocks = received['modules'][module.__name__]
        count = 0
        for source in space['_source_code']:
            count += 1
            try:
                run(source, '<easycluster definitions %d>' % count, space)
            except package.ExecReturn:
                pass
        for filename, source in blocks:
            run(source, filename, space, ('FunctionDef', 'AsyncFunctionDef', 'ClassDef', 'Import', 'ImportFrom'))


def fill(space):
    """Makes the module `easycluster` of what definitions may use of it."""
    for source in received['package']:
        exec(compile(source, '<easycluster>', 'exec', 0, True), space)
    for name in ('RemoteProxy', 'DefaultRemoteProxy', 'SelfIterProxy'):
        space[name] = type(name, (), {'__module__': 'easycluster'})

    def definitions_module(name, keep_source=True):
        """The definitions module of that name."""
        __import__(name)
        return sys.modules[name]

    def define_common(code, name='easycluster.remote_code', local=True):
        """Adds definitions to the definitions module of that name."""
        run(code, '<easycluster definitions>', definitions_module(name).__dict__)

    space.update({'SINGLE': -1, 'VERSION': received['version'], 'definitions_module': definitions_module,
                  'define_common': define_common, 'easycluster': sys.modules['easycluster'],
                  '__all__': list(received['provided'])})


def remember(filename, text):
    """Tells linecache a source that is in no file."""
    __import__('linecache').cache[filename] = len(text), None, text.splitlines(True), filename


def run(source, filename, space, kinds=None):
    """Runs source, or of its statements only those of some kinds."""
    remember(filename, source)
    code = source + '\n'
    if kinds:
        code = __import__('ast').parse(code, filename)
        code.body = [node for node in code.body if type(node).__name__ in kinds]
    exec(compile(code, filename, 'exec', 0, True), space)
