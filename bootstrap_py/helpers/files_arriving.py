"""Files that arrive for Client::put: each under another name, which it changes for its own when it is whole."""
import atexit
import errno
import fcntl
import os
import stat
import struct
import sys
import zlib

compat = load('compat')
files = load('helpers/files')

take, why, told, temporary, NUMBER, SHORT = files.take, files.why, files.told, files.temporary, files.NUMBER, files.SHORT
# index, length of path, mode, seconds, nanoseconds, length of content, its CRC-32.
SMALL = struct.Struct('>IHIqIII')
# index, length of path, size, bytes to keep of what an earlier attempt left, whose name ends like this.
LARGE = struct.Struct('>IHQQ8s')
# index, offset, length, CRC-32.
PIECE = struct.Struct('>IQII')
# index, mode, seconds, nanoseconds.
DONE = struct.Struct('>IIqI')
# index, lengths of path and target, seconds, nanoseconds.
LINK = struct.Struct('>IHHqI')
# index, length of path, mode, seconds, nanoseconds.
FOLDER = struct.Struct('>IHIqI')
# index, length of path.
GONE = struct.Struct('>IH')
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | files.NOFOLLOW
NO_TIMES = (1 << 32) - 1
# So many files that an earlier attempt left are held at once; others begin anew.
HELD = 64


def set_times(path, seconds, nanoseconds, link=False):
    """Sets when something was changed last, as exactly as this Python can."""
    if nanoseconds == NO_TIMES:
        return
    whole = seconds * 1000000000 + nanoseconds
    exactly = {'ns': (whole, whole)}
    if link:
        exactly['follow_symlinks'] = False
    try:
        os.utime(path, **exactly)
    except (TypeError, NotImplementedError):
        if not link:
            os.utime(path, (whole / 1e9, whole / 1e9))


def create(transfer, path, ending):
    """Opens a new file that is to become `path`, in the place of what an earlier attempt left there, or with another ending where somebody
    else is writing that, as it may be where several machines share a folder. The descriptor and the name."""
    for name in (temporary(path, ending), temporary(path, transfer.mark)):
        descriptor = begun(transfer.sure(name))
        if descriptor is not None:
            return descriptor, name
    raise EnvironmentError(errno.EEXIST, 'another copy is writing it; try again')


def begun(name):
    """Opens a new file of this name, for nobody else; None where somebody else is writing one."""
    try:
        descriptor = os.open(name, CREATE, 384)
    except OSError:
        if sys.exc_info()[1].errno != errno.EEXIST:
            raise
        clear(name)
        try:
            descriptor = os.open(name, CREATE, 384)
        except OSError:
            if sys.exc_info()[1].errno != errno.EEXIST:
                raise
            return None
    # Before it was locked, somebody else may have taken it for what an earlier attempt left.
    if lock(descriptor) and has_name(descriptor, name):
        return descriptor
    os.close(descriptor)
    return None


def lock(descriptor):
    """Says that this file is being written; whether nobody else has said so."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except EnvironmentError:
        # Not every file system has locks.
        return sys.exc_info()[1].errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def has_name(descriptor, name):
    """Whether an open file is still what has this name."""
    mine = os.fstat(descriptor)
    try:
        there = os.lstat(name)
    except OSError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def clear(name):
    """Removes what has this name, if nobody writes to it."""
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_NONBLOCK | files.NOFOLLOW)
    except OSError:
        # A link, or nothing of ours.
        descriptor = None
    try:
        # It goes while it is locked, so that its name cannot have become somebody else's.
        if descriptor is None or lock(descriptor) and has_name(descriptor, name):
            os.unlink(name)
    except OSError:
        if sys.exc_info()[1].errno != errno.ENOENT:
            raise
    finally:
        if descriptor is not None:
            os.close(descriptor)


def look(number, data):
    """What there is of each path: a row, and how many bytes an earlier attempt left under the ending of 8 bytes in front of it."""
    transfer, answer = files.transfers[number], []
    data = bytes(data)
    place = 0
    while place < len(data):
        ending, place = data[place:place + 8], place + 8
        length, place = take(SHORT, data, place)
        path, place = transfer.place(data[place:place + length]), place + length
        answer.append(files.seen(path, path == transfer.folder))
        left = 0
        if ending.strip(b'\0'):
            left = hold(transfer, temporary(path, ending))
        answer.append(struct.pack('>Q', left))
    return told(b''.join(answer))


def hold(transfer, name):
    """How many bytes an earlier attempt left of a file that arrived under this name. Nobody else goes on with it from now on."""
    if name not in transfer.held:
        if len(transfer.held) >= HELD:
            return 0
        try:
            there = transfer.sure(name)
            descriptor = os.open(there, os.O_WRONLY | os.O_NONBLOCK | files.NOFOLLOW)
        except EnvironmentError:
            return 0
        if not (files.is_ours(os.fstat(descriptor)) and lock(descriptor) and has_name(descriptor, there)):
            os.close(descriptor)
            return 0
        transfer.held[name] = descriptor
    return os.fstat(transfer.held[name]).st_size


def go_on(transfer, name, length):
    """The descriptor of what an earlier attempt left, cut to `length`."""
    descriptor = transfer.held.get(name)
    if descriptor is None or os.fstat(descriptor).st_size < length:
        raise EnvironmentError(errno.ESTALE, 'what an earlier attempt left has changed; try again')
    os.ftruncate(descriptor, length)
    del transfer.held[name]
    return descriptor


def forget(transfer, name):
    """Removes what an earlier attempt left."""
    descriptor = transfer.held.pop(name, None)
    if descriptor is not None:
        os.unlink(transfer.sure(name))
        os.close(descriptor)


def write_all(descriptor, data):
    """Writes all of it."""
    data = compat.view(data)
    while len(data):
        data = data[compat.write(descriptor, data):]


def check(data, crc):
    """Raises where it is not what was sent."""
    if zlib.crc32(data) & 0xffffffff != crc:
        raise EnvironmentError(errno.EIO, 'it arrived damaged; try again')


def write(number, data):
    """Does what a block of records says; gives index and reason of what failed."""
    transfer, answer = files.transfers[number], []
    data = bytes(data)
    place = 0
    while place < len(data):
        doing = RECORDS[data[place:place + 1]]
        index = NUMBER.unpack_from(data, place + 1)[0]
        length, act = doing(transfer, data, place + 1)
        place = length
        if index in transfer.failed:
            continue
        try:
            act()
        except EnvironmentError:
            reason = why()
            answer.append(NUMBER.pack(index) + SHORT.pack(len(reason)) + reason)
            transfer.failed.add(index)
            try:
                transfer.drop(index)
            except EnvironmentError:
                pass
    return told(b''.join(answer))


def small(transfer, data, place):
    """A whole file."""
    _, length, mode, seconds, nanoseconds, size, crc, place = take(SMALL, data, place)
    name = data[place:place + length]
    place += length
    end = place + size

    def act():
        content = data[place:end]
        check(content, crc)
        path = transfer.sure(transfer.place(name))
        arriving = temporary(path, transfer.mark)
        descriptor = os.open(arriving, CREATE, 384)
        try:
            try:
                write_all(descriptor, content)
                os.fchmod(descriptor, mode)
                if transfer.fsync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            set_times(arriving, seconds, nanoseconds)
            os.rename(arriving, path)
        except:
            os.unlink(arriving)
            raise
    return end, act


def large(transfer, data, place):
    """The begin of a file that arrives in pieces."""
    index, length, size, left, ending, place = take(LARGE, data, place)
    name = data[place:place + length]

    def act():
        path = transfer.place(name)
        arriving = temporary(path, ending)
        if left:
            descriptor = go_on(transfer, arriving, left)
        else:
            forget(transfer, arriving)
            descriptor, arriving = create(transfer, path, ending)
        transfer.opened[index] = descriptor, arriving, path, size
    return place + length, act


def piece(transfer, data, place):
    """A piece of it."""
    index, offset, length, crc, place = take(PIECE, data, place)

    def act():
        content = compat.view(data)[place:place + length]
        check(content, crc)
        descriptor = transfer.opened[index][0]
        os.lseek(descriptor, offset, 0)
        write_all(descriptor, content)
    return place + length, act


def done(transfer, data, place):
    """The end of it."""
    index, mode, seconds, nanoseconds, place = take(DONE, data, place)

    def act():
        descriptor, arriving, path, size = transfer.opened[index]
        os.ftruncate(descriptor, size)
        os.fchmod(descriptor, mode)
        if transfer.fsync:
            os.fsync(descriptor)
        # Some file systems say only now that something was not written. It stays locked by the other descriptor until it has its
        # name, or another machine that shares the folder would take it for what an earlier attempt left.
        os.close(os.dup(descriptor))
        arriving = transfer.sure(arriving)
        set_times(arriving, seconds, nanoseconds)
        os.rename(arriving, transfer.sure(path))
        del transfer.opened[index]
        os.close(descriptor)
    return place, act


def given_up(transfer, data, place):
    """A file whose rest does not come."""
    index, place = take(NUMBER, data, place)
    return place, lambda: transfer.drop(index)


def link(transfer, data, place):
    """A symbolic link."""
    _, length, longer, seconds, nanoseconds, place = take(LINK, data, place)
    name, target = data[place:place + length], data[place + length:place + length + longer]

    def act():
        path = transfer.sure(transfer.place(name))
        arriving = temporary(path, transfer.mark)
        os.symlink(target, arriving)
        try:
            set_times(arriving, seconds, nanoseconds, True)
            os.rename(arriving, path)
        except:
            os.unlink(arriving)
            raise
    return place + length + longer, act


def folder(transfer, data, place):
    """A folder that is to be there."""
    _, length, mode, _, _, place = take(FOLDER, data, place)
    path = transfer.place(data[place:place + length])

    def act():
        # Made first and looked at then: where several machines share a folder, another may make it in between.
        try:
            if path == transfer.folder:
                # Those in front of it as the account's own habits are.
                os.makedirs(path)
            else:
                # What arrives in it needs this; its own mode comes last.
                os.mkdir(transfer.sure(path), mode | 448)
        except OSError:
            error = sys.exc_info()[1]
            try:
                status = path == transfer.folder and os.stat(path) or os.lstat(transfer.sure(path))
            except OSError:
                raise error
            if stat.S_ISDIR(status.st_mode):
                # Some file systems look at rights first and so say something else of what is there.
                return
            raise EnvironmentError(errno.ENOTDIR, 'it is there and is not a folder; remove it first')
    return place + length, act


def settled(transfer, data, place):
    """Mode and time of a folder in which everything has arrived, or of a file whose content is there already."""
    _, length, mode, seconds, nanoseconds, place = take(FOLDER, data, place)
    path = transfer.place(data[place:place + length])

    def act():
        there, descriptor = transfer.sure(path), None
        try:
            if files.PATH:
                # As chmod() follows a link in its place.
                descriptor = os.open(there, files.PATH | (path != transfer.folder and files.NOFOLLOW))
                there = files.by_descriptor(descriptor, there)
            os.chmod(there, mode)
            set_times(there, seconds, nanoseconds)
        finally:
            if descriptor is not None:
                os.close(descriptor)
    return place + length, act


def removed(transfer, data, place):
    """Something that is to be gone."""
    _, length, place = take(GONE, data, place)
    path = transfer.place(data[place:place + length])

    def act():
        try:
            there = transfer.sure(path)
            if stat.S_ISDIR(os.lstat(there).st_mode):
                os.rmdir(there)
            else:
                os.unlink(there)
        except OSError:
            # Another machine that shares the folder may have removed it.
            if sys.exc_info()[1].errno != errno.ENOENT:
                raise
    return place + length, act


RECORDS = {b'F': small, b'B': large, b'W': piece, b'E': done, b'X': given_up, b'L': link, b'D': folder, b'T': settled, b'R': removed}


def leave():
    """At the end of the process, removes what arrived in part where that was not wanted. Another thread may still be writing to it."""
    for transfer in list(files.transfers.values()):
        for arriving in list(transfer.opened.values()):
            if not transfer.keep:
                try:
                    os.unlink(transfer.sure(arriving[1]))
                except EnvironmentError:
                    pass


atexit.register(leave)
