"""How far a program is that run_program.py runs: its process tells this one by a pipe, and the client asks. Nothing waits for it."""
import os

compat = load('compat')
# How long an interruption of who asks may take, in seconds.
PATIENCE = 0.1
# The longest name; a whole line is written to a pipe at once or not at all.
MOST = 200


def report(progress, last=False):
    """In the program's process: tells of one progress, if there is room."""
    told = load('helpers/run_process').told
    if not told:
        return
    total = '' if progress.total is None else progress.total
    desc = progress.desc
    if not isinstance(desc, bytes):
        desc = desc.encode('utf-8', 'replace')
    if not compat.select((), [told[1]], (), 0)[1]:
        # There is no room for a line.
        return
    line = ('%s %s ' % (progress.done, total)).encode('ascii') + desc[:MOST].replace(b'\n', b' ') + b'\n'
    try:
        os.write(told[1], line)
    except EnvironmentError:
        # Nobody reads.
        pass


def read():
    """What was told last: what it is called, how many are done, and of how many or None. Waits for it; None when nothing more comes."""
    told = load('helpers/run_process').told
    if not told:
        return None
    while not compat.select([told[0]], (), (), PATIENCE)[0]:
        pass
    lines = os.read(told[0], 65536).split(b'\n')
    if len(lines) < 2:
        return None
    done, total, desc = lines[-2].split(b' ', 2)
    return desc.decode('utf-8', 'replace'), float(done), float(total) if total else None
