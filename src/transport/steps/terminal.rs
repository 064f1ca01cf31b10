//! The words of the step `tty`: a program in front of the next step that gives it a terminal, while data stays on the pipes (BS-15).

use data_encoding::BASE64;

use super::tokens::Tokens;
use crate::stub;

/// For sh: runs the program, which is its first argument, by the first Python that there is.
const START: &str = "for p in python3 python python2 /usr/libexec/platform-python;do command -v $p >/dev/null 2>&1&&exec $p -ESc \"$0\" \"$@\";done;echo python: command not found >&2;exit 127";

/// For Python: takes the program out of its first argument. What is in the current folder is not imported.
const LOAD: &str = "import sys;sys.path[:]=[p for p in sys.path if p];import binascii,zlib;exec(str(zlib.decompress(binascii.a2b_base64(sys.argv.pop(1).encode()),-15).decode()).split(chr(0))[1])";

/// The words in front of a command that is to have a terminal. `input`: its standard input has to be the terminal too, and the
/// data's is descriptor 3. `asks`: what is read before the command says that it is through is typed on the terminal.
pub(super) fn words(tokens: &Tokens, step: usize, input: bool, asks: bool) -> Vec<String> {
    let program = BASE64.encode(stub::terminal());
    let (first, second) = tokens.announcement(step);
    let flag = |on: bool| if on { "1" } else { "0" };
    [
        "/bin/sh",
        "-c",
        START,
        LOAD,
        &program,
        flag(input),
        flag(asks),
        &first,
        &second,
    ]
    .map(str::to_owned)
    .into()
}

/// For sh, behind the step that has the terminal: says so, and runs its arguments on what is the data's.
pub(super) fn left(tokens: &Tokens, step: usize, input: bool) -> String {
    let script = tokens.announcing(step);
    if input { script + " 0<&3 3<&-" } else { script }
}
