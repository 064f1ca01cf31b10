"""Whether a remote callable takes a keyword `timeout`: a function that runs on the server, under any Python from 2.6 on."""


def accepts_timeout(owner, name, module):
    """Whether what `name` stands for takes a keyword `timeout`, or may take one.

    The name is that of a method of `owner`, or if that is None of a global as the definitions module `module` sees it. False only
    where a call with the keyword could do nothing but raise TypeError."""
    import sys

    try:
        # By import, because definitions may have other things by these names.
        from builtins import bool, getattr, isinstance, issubclass, len, range, staticmethod, str, type
    except ImportError:
        from __builtin__ import (
            bool,
            getattr,
            isinstance,
            issubclass,
            len,
            range,
            staticmethod,
            str,
            type,
        )

    def by_code(function):
        code = function.__code__
        count = code.co_argcount + getattr(code, 'co_kwonlyargcount', 0)
        by_keyword = code.co_varnames[getattr(code, 'co_posonlyargcount', 0) : count]
        # 8 is CO_VARKEYWORDS.
        return 'timeout' in by_keyword or bool(code.co_flags & 8)

    def by_flags(function):
        try:
            import ctypes

            flags = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object)(('PyCFunction_GetFlags', ctypes.pythonapi))
            # 2 is METH_KEYWORDS, without which the interpreter itself refuses every keyword.
            if not flags(function) & 2:
                return False
        except Exception:
            return True
        signature = getattr(function, '__text_signature__', None)
        return not signature or 'timeout' in signature or '**' in signature

    def by_class(kind):
        if isinstance(kind, type):
            bases = kind.__mro__
            for base in type(kind).__mro__[:-2]:
                if '__call__' in base.__dict__:
                    return True
        else:
            # An old-style class of 2.x.
            bases = [kind]
        if isinstance(kind, type) and issubclass(kind, type):
            return True
        for name in ('__new__', '__init__'):
            for base in bases:
                value = base.__dict__.get(name)
                if isinstance(value, staticmethod):
                    value = value.__get__(None, kind)
                if type(value) is type(by_code):
                    return by_code(value)
                if value is not None:
                    break
        return True

    try:
        if owner is None:
            import easycluster

            value = easycluster.get_global(str(name), sys.modules[str(module)], True)
        else:
            value = getattr(owner, str(name))
    except Exception:
        # The call itself will say what is wrong.
        return True
    for _ in range(100):
        kind = type(value)
        if kind is type(by_code):
            return by_code(value)
        if kind is type(len):
            return by_flags(value)
        if isinstance(value, type) or kind.__name__ == 'classobj':
            return by_class(value)
        if kind.__name__ == 'partial':
            value = getattr(value, 'func', None)
        elif kind.__name__ in ('method', 'instancemethod'):
            value = value.__func__
        else:
            # An instance, which its class may make callable.
            value = getattr(kind, '__call__', None)
            if type(value) is not type(by_code) and type(value).__name__ != 'instancemethod':
                return True
    return True
