"""An SSH server that renews the keys of its connections every second, from the first renewal on with another host key; one that
sends data of no bytes in front of all other data; or one that ends a channel's output, or refuses it, long after it was opened."""

from __future__ import annotations

import asyncio
import sys

import asyncssh
from asyncssh.constants import MSG_CHANNEL_DATA, MSG_CHANNEL_EOF, MSG_CHANNEL_OPEN_FAILURE
from asyncssh.packet import String, UInt32

# How many messages without data, and how many of them at once.
EMPTY = 75_000
AT_ONCE = 1000
# What is sent of an open channel after a second, which sends no more output.
LATER = {
    'eof': (MSG_CHANNEL_EOF,),
    'refused': (MSG_CHANNEL_OPEN_FAILURE, UInt32(1), String('taken\x1b[2J back'), String('')),
}


class Server(asyncssh.SSHServer):
    """Lets everybody in."""

    def begin_auth(self, username):
        return False


def _show(connection, key):
    """Has a connection show this host key from now on."""
    (pair,) = asyncssh.load_keypairs([key])
    connection._server_host_keys.clear()
    for algorithm in pair.host_key_algorithms:
        connection._server_host_keys[algorithm] = pair
    connection._server_host_key_algs = list(pair.host_key_algorithms)


async def _pump(read, write):
    while True:
        data = await read(65536)
        if not data:
            return
        write(data)


async def _send_nothing(process):
    """What a window does not count, and takes memory all the same where it is kept."""
    for sent in range(EMPTY):
        process.channel.send_packet(MSG_CHANNEL_DATA, String(b''))
        if sent % AT_ONCE == 0:
            await asyncio.sleep(0)


async def _serve(process, key, kind):
    if kind == 'empty':
        await _send_nothing(process)
    if key is not None:
        _show(process.channel.get_connection(), key)
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_shell(process.command, stdin=pipe, stdout=pipe, stderr=pipe)

    def write(data):
        if not silent:
            process.stdout.write(data)

    def end_output():
        silent.append(True)
        process.channel.send_packet(*LATER[kind])

    silent = []
    if kind in LATER:
        asyncio.get_running_loop().call_later(1, end_output)

    async def put_in():
        await _pump(process.stdin.read, child.stdin.write)
        child.stdin.close()

    feeding = asyncio.ensure_future(put_in())
    await asyncio.gather(_pump(child.stdout.read, write), _pump(child.stderr.read, process.stderr.write))
    feeding.cancel()
    process.exit(await child.wait())


async def main(kind):
    """Says its port, and serves until its input ends. `kind` is the second host key's type, or 'none' to keep the first; with 'empty'
    data of no bytes comes first, and with the kinds of LATER the output ends."""
    first = asyncssh.generate_private_key('ssh-ed25519')
    calm = 'empty', *LATER
    second = None if kind in ('none', *calm) else asyncssh.generate_private_key(kind)
    server = await asyncssh.create_server(
        Server, '127.0.0.1', 0, server_host_keys=[first], process_factory=lambda process: _serve(process, second, kind),
        encoding=None, line_editor=False, rekey_seconds='1h' if kind in calm else '1s',
    )  # fmt: skip
    print(server.get_port(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1]))
