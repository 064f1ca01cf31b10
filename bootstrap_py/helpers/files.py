"""Files for Client::put and Client::get, in small steps: what there is, and what is in it. Each function takes bytes and gives bytes. The
client chooses a number for each transfer and calls its functions one after the other, by a thread of its own. What arrives is written by
files_arriving.py. All numbers in records are big-endian."""
import binascii
import errno
import fcntl
import hashlib
import os
import stat
import struct
import sys
import zlib

compat = load('compat')

# Transfers by their numbers.
transfers = {}
# kind, mode, size, seconds, nanoseconds, lengths of path and target.
ROW = struct.Struct('>cIQqIHH')
# flags, length of path, offset, length.
READ = struct.Struct('>BHQI')
SHORT, NUMBER, SEGMENT = struct.Struct('>H'), struct.Struct('>I'), struct.Struct('>II')
# A run of zero bytes of this length is not sent and not written: it becomes a hole.
ZEROS = b'\0' * 65536
# Roughly the longest answer of a walk.
ENOUGH = 262144
NOFOLLOW = getattr(os, 'O_NOFOLLOW', 0)
# To hold what has a name, which need not be readable for that; nothing where the system has no such.
PATH = getattr(os, 'O_PATH', sys.platform[:5] == 'linux' and 1 << 21)
# So many folders are held at once.
FOLDERS = 64


def told(data):
    """Bytes as every client reads them: what 2.x has for bytes arrives as text where it happens to be some."""
    return data if compat.PY3 else data.decode('latin-1')


def why(error=None):
    """What went wrong, in the system's words."""
    error = error or sys.exc_info()[1]
    text = getattr(error, 'strerror', None) or str(error)
    return text.encode('utf-8', 'replace')[:1000] if compat.PY3 else text[:1000]


def take(form, data, place):
    """The values of a record, and where what follows them begins."""
    return form.unpack_from(data, place) + (place + form.size,)


def times_of(status):
    """When it was changed: seconds, nanoseconds."""
    whole = getattr(status, 'st_mtime_ns', None)
    if whole is None:
        whole = int(round(status.st_mtime * 1e6)) * 1000
    return divmod(whole, 1000000000)


def kind_of(status):
    """The letter of a kind: folder, file, link, other."""
    mode = status.st_mode
    return stat.S_ISDIR(mode) and b'd' or stat.S_ISREG(mode) and b'f' or stat.S_ISLNK(mode) and b'l' or b'o'


def row(name, path, status):
    """A row about what is at `path` and called `name`."""
    kind, target = kind_of(status), b''
    if kind == b'l':
        target = os.readlink(path)
    seconds, nanoseconds = times_of(status)
    return ROW.pack(kind, status.st_mode & 0xffff, status.st_size, seconds, nanoseconds, len(name), len(target)) + name + target


def no_row(kind, name, reason=b''):
    """A row about what is not there (`-`) or cannot be looked at (`!`)."""
    return ROW.pack(kind, 0, 0, 0, 0, len(name), len(reason)) + name + reason


def temporary(path, ending):
    """The name beside `path` under which its content arrives."""
    folder, name = os.path.split(path)
    return os.path.join(folder, b'.' + name[:200] + b'.easycluster-' + ending)


def by_descriptor(descriptor, path):
    """A path to what is held, whatever has its name meanwhile; `path` where the system has none."""
    fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    known = ('/proc/self/fd/%d' % descriptor).encode('ascii')
    return os.path.exists(known) and known or path


def is_ours(status):
    """Whether a file that an earlier attempt left is that, and no one else has a way to it."""
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1


class Transfer(object):
    """One transfer: where it goes, and what of it is open."""

    def __init__(self, folder=b'', fsync=False, keep=False):
        self.folder, self.fsync, self.keep = folder, fsync, keep
        # What the names of files end with while they arrive that no other attempt goes on with.
        self.mark = binascii.hexlify(os.urandom(8))
        # The other name of a single file.
        self.names = {}
        # Files that arrive in pieces: descriptor, temporary name, path, size.
        self.opened = {}
        # What an earlier attempt left of files, locked from the moment on at which the client is told of it: descriptors by names.
        self.held = {}
        # What failed, of which the rest is passed over.
        self.failed = set()
        self.walking = iter(())
        # Folders of the destination, by their paths, and the order in which they were held.
        self.folders, self.order = {}, []
        # The file that was read last.
        self.reading = None, None, None

    def place(self, path):
        """Where something is."""
        path = self.names.get(path, path)
        return os.path.join(self.folder, path) if path else self.folder

    def sure(self, path):
        """Another path to what is at `path`, which leads there also where somebody puts a link in the place of a folder between the
        destination and it meanwhile. The same path where the system has no such."""
        folder, name = os.path.split(path)
        return path if path == self.folder or not PATH else os.path.join(self.reached(folder), name)

    def reached(self, folder):
        """Such a path to a folder."""
        missing, wanted = [], folder
        while folder not in self.folders:
            missing.append(folder)
            if folder == self.folder or not folder.startswith(self.folder):
                # Where it leads is the business of who chose it.
                break
            folder = os.path.split(folder)[0]
        for folder in reversed(missing):
            above, last = os.path.split(folder)
            if above in self.folders:
                descriptor = os.open(os.path.join(self.folders[above][1], last), PATH | NOFOLLOW | os.O_DIRECTORY)
            else:
                descriptor = os.open(folder or b'.', PATH | os.O_DIRECTORY)
            self.folders[folder] = descriptor, by_descriptor(descriptor, folder)
            self.order.append(folder)
            if len(self.order) > FOLDERS:
                # The first is the destination.
                os.close(self.folders.pop(self.order.pop(1))[0])
        return self.folders[wanted][1]

    def drop(self, index, keep=False):
        """Closes a file that did not arrive whole. It stays in part only where another attempt may go on with it: one that cannot be
        written would fill a disk which is full already."""
        if index in self.opened:
            descriptor, name = self.opened.pop(index)[:2]
            try:
                # While it is locked, its name is nobody else's.
                if not keep:
                    os.unlink(self.sure(name))
            finally:
                os.close(descriptor)

    def open_to_read(self, path, follow):
        """The descriptor of a file, which stays open while pieces of the same are asked for."""
        if self.reading[0] != path:
            self.shut()
            # A pipe must not make us wait.
            descriptor = os.open(os.path.expanduser(path), os.O_RDONLY | os.O_NONBLOCK | (0 if follow else NOFOLLOW))
            status = os.fstat(descriptor)
            self.reading = path, descriptor, status
            if not stat.S_ISREG(status.st_mode):
                raise EnvironmentError(errno.EINVAL, 'it is not a file any more')
        descriptor, first = self.reading[1:]
        now = os.fstat(descriptor)
        # What only grows is the same as far as it was announced.
        if now.st_mtime != first.st_mtime and now.st_size <= first.st_size:
            raise EnvironmentError(errno.EIO, 'it changed while it was read; try again')
        return descriptor

    def shut(self):
        """Closes what was read last."""
        descriptor = self.reading[1]
        self.reading = None, None, None
        if descriptor is not None:
            os.close(descriptor)


def begin(number, data):
    """Begins a transfer to a folder: flags (1 a single file, 2 fsync, 4 keep what is cut off), the folder, names in it. Gives a row about
    the folder and about each name."""
    data = bytes(data)
    flags = ord(data[:1])
    folder, names = paths(data, 1)[0], paths(data, 1)[1:]
    slash = folder[-1:] in (b'/', b'')
    folder = os.path.expanduser(folder) or b'.'
    transfer = transfers[number] = Transfer(folder, flags & 2, flags & 4)
    if folder[:1] == b'~':
        # A folder of that name is hardly meant.
        return told(no_row(b'!', b'', b'there is no such user') * (1 + len(names)))
    if flags & 1 and not slash and not os.path.isdir(folder):
        transfer.folder, name = os.path.split(folder)
        transfer.folder = transfer.folder or b'.'
        transfer.names[names[0]] = name
    return told(b''.join([seen(transfer.place(name), not name) for name in [b''] + names]))


def paths(data, place):
    """A list of paths, each behind its length."""
    found = []
    while place < len(data):
        length, place = take(SHORT, data, place)
        found.append(data[place:place + length])
        place += length
    return found


def seen(path, follow):
    """The row about what is there."""
    try:
        return row(b'', path, os.stat(path) if follow else os.lstat(path))
    except EnvironmentError:
        if sys.exc_info()[1].errno in (errno.ENOENT, errno.ENOTDIR):
            return no_row(b'-', b'')
        return no_row(b'!', b'', why())


def digest(number, data):
    """The SHA-256 of the first bytes of a file, or of what an earlier attempt left of it: the number of bytes, the ending of 8 bytes, the
    path. Empty where it cannot be read so far."""
    data = bytes(data)
    left = struct.unpack('>Q', data[:8])[0]
    path = transfers[number].place(data[16:])
    if data[8:16].strip(b'\0'):
        path = temporary(path, data[8:16])
    made = hashlib.sha256()
    try:
        descriptor = os.open(os.path.expanduser(path), os.O_RDONLY | os.O_NONBLOCK)
        try:
            while left:
                part = compat.read(descriptor, min(left, 1 << 20))
                if not part:
                    return told(b'')
                left -= len(part)
                made.update(part)
        finally:
            os.close(descriptor)
    except EnvironmentError:
        return told(b'')
    return told(made.digest())


def walk(number, data):
    """Begins to list what is at paths and beneath: flags (1 follow links), the paths. They are of the folder of begin(), or as they are."""
    data = bytes(data)
    transfer = transfers.setdefault(number, Transfer())
    transfer.walking = rows(transfer, paths(data, 1), ord(data[:1]) & 1)
    return more(number)


def more(number, data=b''):
    """The next rows, each behind the index of its path; nothing behind the last."""
    answer, size = [], 0
    for found in transfers[number].walking:
        answer.append(found)
        size += len(found)
        if size >= ENOUGH:
            break
    return told(b''.join(answer))


def rows(transfer, sources, follow):
    """The rows of a walk. What a path itself names is followed."""
    for number, source in enumerate(sources):
        mark = NUMBER.pack(number)
        path = os.path.expanduser(transfer.place(source))
        try:
            found = os.lstat(path) if transfer.folder and source else os.stat(path)
            yield mark + row(b'', path, found)
        except EnvironmentError:
            failed = sys.exc_info()[1].errno in (errno.ENOENT, errno.ENOTDIR)
            yield mark + (no_row(b'-', b'') if failed else no_row(b'!', b'', why()))
            continue
        if stat.S_ISDIR(found.st_mode):
            for each in beneath(path, follow):
                yield mark + each


def is_gone(path):
    """Whether what could not be looked at is not there any more, which is as if it had never been."""
    return sys.exc_info()[1].errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.lexists(path)


def beneath(top, follow):
    """Rows of all that is in a folder, each folder in front of what is in it."""
    # A path, its name below the top, and the folders that it is in, so that links lead in no circle.
    waiting = [(top, b'', ())]
    while waiting:
        path, below, above = waiting.pop()
        try:
            names = sorted(os.listdir(path))
        except EnvironmentError:
            if not is_gone(path):
                yield no_row(b'!', below, why())
            continue
        within = []
        for name in names:
            inner = os.path.join(path, name)
            shown = below and below + b'/' + name or name
            try:
                status = os.stat(inner) if follow else os.lstat(inner)
                found = row(shown, inner, status)
            except EnvironmentError:
                if not is_gone(inner):
                    yield no_row(b'!', shown, why())
                continue
            if stat.S_ISDIR(status.st_mode):
                same = status.st_dev, status.st_ino
                if follow and same in above:
                    yield no_row(b'!', shown, b'it is a link to a folder that it is in')
                    continue
                within.append((inner, shown, follow and above + (same,) or ()))
            yield found
        waiting.extend(reversed(within))


def read(number, data):
    """Contents: for each record of READ and path a zero byte, the CRC-32, and segments, each behind the zeros in front of it; or a byte of
    one and the reason."""
    transfer, answer = transfers.setdefault(number, Transfer()), []
    data = bytes(data)
    place = 0
    while place < len(data):
        flags, length, offset, size, place = take(READ, data, place)
        path, place = data[place:place + length], place + length
        try:
            answer.extend(content(transfer.open_to_read(path, flags & 1), offset, size))
        except EnvironmentError:
            transfer.shut()
            reason = why()
            answer.extend([b'\1', SHORT.pack(len(reason)), reason])
    return told(b''.join(answer))


def content(descriptor, offset, size):
    """The answer about a part of a file."""
    os.lseek(descriptor, offset, 0)
    if not (offset or size) and compat.read(descriptor, 1):
        raise EnvironmentError(errno.EIO, 'it is said to be empty and is not, as files of /proc are; copy what a command reads of it')
    parts = []
    while size:
        part = compat.read(descriptor, size)
        if not part:
            raise EnvironmentError(errno.EIO, 'it became shorter while it was read; try again')
        size -= len(part)
        parts.append(part)
    data = parts[0] if len(parts) == 1 else b''.join(parts)
    segments, skipped, start = [], 0, 0
    for place in range(0, len(data), len(ZEROS)):
        if data[place:place + 1] == b'\0' and data[place:place + len(ZEROS)] == ZEROS:
            if start < place:
                segments.append((skipped, data[start:place]))
                skipped = 0
            skipped += len(ZEROS)
            start = place + len(ZEROS)
    if start < len(data):
        segments.append((skipped, start and data[start:] or data))
    answer = [b'\0', NUMBER.pack(zlib.crc32(data) & 0xffffffff), NUMBER.pack(len(segments))]
    for skipped, part in segments:
        answer.extend([SEGMENT.pack(skipped, len(part)), part])
    return answer


def end(number):
    """Ends a transfer. What arrived in part stays where that was wanted."""
    transfer = transfers.pop(number, None)
    if transfer:
        transfer.shut()
        for descriptor in list(transfer.held.values()):
            os.close(descriptor)
        for index in list(transfer.opened):
            try:
                transfer.drop(index, transfer.keep)
            except EnvironmentError:
                pass
        for descriptor, _ in transfer.folders.values():
            os.close(descriptor)
