//! Every instruction of Python's pickle: its code, what follows the code, and what it does to an unpickler's stack.
//!
//! One table for all readers of pickles; `pickletools.opcodes` of CPython is the source.

/// What follows an instruction's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A value or number of this many bytes, which may be none.
    Fixed(u8),
    /// Data behind its length, which takes this many bytes, the least significant first.
    Counted(u8),
    /// A line of text.
    Line,
    /// Two lines of text.
    TwoLines,
}

/// Of an instruction that is its code alone.
pub(crate) const NOTHING: Operand = Operand::Fixed(0);

/// The value that stands in an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    None,
    True,
    False,
    /// Least significant byte first; of four bytes with a sign, of fewer without.
    Int,
    /// Two's complement of any length.
    Long,
    /// IEEE 754, most significant byte first.
    Float,
    Bytes,
    ByteArray,
    /// UTF-8, in which surrogates may stand alone.
    Text,
    /// The `str` of Python 2.
    ByteString,
    /// A whole number as text, which Python 2 writes in every protocol; `00` and `01` are truth values.
    WrittenInt,
    /// A `float` as text, of protocol 0.
    WrittenFloat,
    /// The `str` of Python 2 in quotes and with escapes, of protocol 0.
    WrittenByteString,
    /// Text with escapes, of protocol 0.
    WrittenText,
}

/// What holds other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    List,
    Tuple,
    Set,
    FrozenSet,
    /// Its items are keys and values in turn.
    Dict,
}

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ends the pickle; its value is on top.
    Stop,
    /// Says something about the pickle and changes nothing.
    Nothing,
    /// Sets a mark.
    Mark,
    /// Drops the top, or the mark that is there.
    Pop,
    /// Drops what is above the last mark, and the mark.
    PopMark,
    /// Repeats the top.
    Duplicate,
    /// Pushes a value.
    Push(Literal),
    /// Pushes an empty container.
    Empty(Container),
    /// Makes a tuple of this many values.
    Tuple(u8),
    /// Makes a container of what is above the last mark.
    Gather(Container),
    /// Adds this many values to the container below them.
    Add(Container, u8),
    /// Adds what is above the last mark to the container below it.
    AddMarked(Container),
    /// Looks a name up that stands in the instruction.
    Global,
    /// Looks a name up that stands on the stack, the module below it.
    StackGlobal,
    /// Looks a class up and calls it with what is above the last mark.
    Instance,
    /// Calls the class that is the first above the last mark with the rest.
    Object,
    /// Calls what is below a tuple with it.
    Reduce,
    /// Makes an instance by `__new__` with a tuple.
    New,
    /// Makes an instance by `__new__` with a tuple and a dict.
    NewWithKeywords,
    /// Sets the state of what is below it.
    Build,
    /// Asks the unpickler's owner for an object by an id that stands in the instruction.
    Reference,
    /// Asks the unpickler's owner for an object by the id on top.
    StackReference,
    /// Asks the registry of the `copyreg` module.
    Extension,
    /// Notes the top under a number.
    Put,
    /// Notes the top under the next number.
    Memoize,
    /// Pushes what was noted under a number.
    Get,
    /// Pushes the next buffer that travels beside the pickle.
    NextBuffer,
    /// Makes the buffer on top read-only.
    ReadOnlyBuffer,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opcode {
    pub(crate) operand: Operand,
    pub(crate) action: Action,
}

/// Tells which pickle it is; a byte with the protocol's number follows.
pub(crate) const PROTO: u8 = 0x80;
/// Sets a mark.
pub(crate) const MARK: u8 = b'(';
/// Makes a tuple of what is above the last mark.
pub(crate) const TUPLE: u8 = b't';
pub(crate) const BINBYTES: u8 = b'B';
/// Pushes an empty dict.
pub(crate) const EMPTY_DICT: u8 = b'}';
/// Adds a key and its value to a dict.
pub(crate) const SETITEM: u8 = b's';
/// Pushes `None`.
pub(crate) const NONE: u8 = b'N';
/// Ends the pickle.
pub(crate) const STOP: u8 = b'.';

/// The row of an instruction; `None` for a code that none has.
pub(crate) fn opcode(code: u8) -> Option<Opcode> {
    TABLE.get(usize::from(code)).copied().flatten()
}

/// How many bytes an instruction takes that pushes a small value without parts; `None` for all others.
#[inline]
pub(crate) fn small_value(code: u8) -> Option<usize> {
    // The most frequent first.
    match code {
        b'K' => Some(2),
        b'J' => Some(5),
        b'M' => Some(3),
        b'G' => Some(9),
        NONE | 0x88 | 0x89 => Some(1),
        _ => None,
    }
}

static TABLE: [Option<Opcode>; 256] = table();

// Indexed while compiling, where an index out of range is an error of the compiler.
#[allow(clippy::indexing_slicing)]
const fn table() -> [Option<Opcode>; 256] {
    let mut table = [None; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = row(code as u8);
        code += 1;
    }
    table
}

const fn row(code: u8) -> Option<Opcode> {
    use Action::*;
    use Literal as L;
    use Operand::{Counted, Fixed, Line, TwoLines};
    let (operand, action) = match code {
        PROTO => (Fixed(1), Nothing),
        0x95 => (Fixed(8), Nothing), // FRAME
        STOP => (NOTHING, Stop),
        MARK => (NOTHING, Mark),
        b'0' => (NOTHING, Pop),
        b'1' => (NOTHING, PopMark),
        b'2' => (NOTHING, Duplicate),
        NONE => (NOTHING, Push(L::None)),
        0x88 => (NOTHING, Push(L::True)),
        0x89 => (NOTHING, Push(L::False)),
        b'K' => (Fixed(1), Push(L::Int)),           // BININT1
        b'M' => (Fixed(2), Push(L::Int)),           // BININT2
        b'J' => (Fixed(4), Push(L::Int)),           // BININT
        0x8a => (Counted(1), Push(L::Long)),        // LONG1
        0x8b => (Counted(4), Push(L::Long)),        // LONG4
        b'G' => (Fixed(8), Push(L::Float)),         // BINFLOAT
        b'C' => (Counted(1), Push(L::Bytes)),       // SHORT_BINBYTES
        b'B' => (Counted(4), Push(L::Bytes)),       // BINBYTES
        0x8e => (Counted(8), Push(L::Bytes)),       // BINBYTES8
        0x96 => (Counted(8), Push(L::ByteArray)),   // BYTEARRAY8
        0x8c => (Counted(1), Push(L::Text)),        // SHORT_BINUNICODE
        b'X' => (Counted(4), Push(L::Text)),        // BINUNICODE
        0x8d => (Counted(8), Push(L::Text)),        // BINUNICODE8
        b'U' => (Counted(1), Push(L::ByteString)),  // SHORT_BINSTRING
        b'T' => (Counted(4), Push(L::ByteString)),  // BINSTRING
        b'I' | b'L' => (Line, Push(L::WrittenInt)), // INT, LONG
        b'F' => (Line, Push(L::WrittenFloat)),
        b'S' => (Line, Push(L::WrittenByteString)), // STRING
        b'V' => (Line, Push(L::WrittenText)),       // UNICODE
        b']' => (NOTHING, Empty(Container::List)),
        b')' => (NOTHING, Empty(Container::Tuple)),
        EMPTY_DICT => (NOTHING, Empty(Container::Dict)),
        0x8f => (NOTHING, Empty(Container::Set)), // EMPTY_SET
        0x85..=0x87 => (NOTHING, Tuple(code - 0x84)), // TUPLE1 to TUPLE3
        TUPLE => (NOTHING, Gather(Container::Tuple)),
        b'l' => (NOTHING, Gather(Container::List)),
        b'd' => (NOTHING, Gather(Container::Dict)),
        0x91 => (NOTHING, Gather(Container::FrozenSet)),
        b'a' => (NOTHING, Add(Container::List, 1)), // APPEND
        SETITEM => (NOTHING, Add(Container::Dict, 2)),
        b'e' => (NOTHING, AddMarked(Container::List)), // APPENDS
        b'u' => (NOTHING, AddMarked(Container::Dict)), // SETITEMS
        0x90 => (NOTHING, AddMarked(Container::Set)),  // ADDITEMS
        b'c' => (TwoLines, Global),
        0x93 => (NOTHING, StackGlobal),
        b'i' => (TwoLines, Instance), // INST
        b'o' => (NOTHING, Object),    // OBJ
        b'R' => (NOTHING, Reduce),
        0x81 => (NOTHING, New),             // NEWOBJ
        0x92 => (NOTHING, NewWithKeywords), // NEWOBJ_EX
        b'b' => (NOTHING, Build),
        b'P' => (Line, Reference),         // PERSID
        b'Q' => (NOTHING, StackReference), // BINPERSID
        0x82 => (Fixed(1), Extension),     // EXT1
        0x83 => (Fixed(2), Extension),     // EXT2
        0x84 => (Fixed(4), Extension),     // EXT4
        b'p' => (Line, Put),
        b'q' => (Fixed(1), Put), // BINPUT
        b'r' => (Fixed(4), Put), // LONG_BINPUT
        0x94 => (NOTHING, Memoize),
        b'g' => (Line, Get),
        b'h' => (Fixed(1), Get), // BINGET
        b'j' => (Fixed(4), Get), // LONG_BINGET
        0x97 => (NOTHING, NextBuffer),
        0x98 => (NOTHING, ReadOnlyBuffer),
        _ => return None,
    };
    Some(Opcode { operand, action })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_are_those_of_the_table() {
        for code in 0..=u8::MAX {
            let small = opcode(code).and_then(|row| match (row.action, row.operand) {
                (
                    Action::Push(
                        Literal::None
                        | Literal::True
                        | Literal::False
                        | Literal::Int
                        | Literal::Float,
                    ),
                    Operand::Fixed(width),
                ) => Some(usize::from(width) + 1),
                _ => None,
            });
            assert_eq!(small_value(code), small, "{code:#x}");
        }
    }

    #[test]
    fn every_instruction_of_python_is_known() {
        // "".join(sorted(op.code for op in pickletools.opcodes)) of CPython 3.13.
        let known = b"().012BCFGIJKLMNPQRSTUVX]abcdeghijlopqrstu}";
        for code in 0..=u8::MAX {
            let expected = known.contains(&code) || (0x80..=0x98).contains(&code);
            assert_eq!(opcode(code).is_some(), expected, "{code:#x}");
        }
    }
}
