# One value for all threads, made when first asked for.


def once(owner, name, make):
    """What one attribute holds, made when first asked for; by one thread, however many ask."""
    with load.__self__.locked():
        if getattr(owner, name) is None:
            setattr(owner, name, make(owner))
        return getattr(owner, name)
