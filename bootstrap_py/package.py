# The module `easycluster` on this side, and what definitions get of it.
calls = load('calls')
names = load('names')
objects = load('objects')
sources = load('sources')

objects.hooks['note'] = sources.note


def content(machine):
    """The names of the package and their values."""
    found = {'SINGLE': objects.SINGLE, 'VERSION': machine.version, 'exec_return': names.exec_return,
             'get_global': names.get_global, 'set_global': names.set_global}
    for name in ('ServerObject', 'RemoteProxy', 'DefaultRemoteProxy', 'SelfIterProxy', 'GeneratorProxy', 'FileProxy',
                 'RemoteException', 'make_server_class', 'make_singleton', 'definitions_module', 'define_common'):
        found[name] = getattr(objects, name)
    return found


def fill(package):
    """Puts the names into the package."""
    if '__all__' not in package.__dict__:
        found = content(package.machine)
        package.__dict__.update(found)
        package.__dict__['__all__'] = sorted(found)
        package.__dict__['__version__'] = found['VERSION']


def provide(package, module):
    """Puts the names into a definitions module, where they are not taken."""
    fill(package)
    for name in package.__all__:
        module.__dict__.setdefault(name, package.__dict__[name])
    module.__dict__.setdefault('easycluster', package)
