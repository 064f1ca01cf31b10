//! How much memory the values of a pickle take, at least, once they are Python's.
//!
//! An empty set is one byte of a pickle and 216 of memory, and what reads it needs more in between: a pickle that is well within the
//! limit for results may still be more than the machine has.

use super::super::error::Refused;
use super::super::opcodes::{Action, Container, Literal};
use super::super::pieces::SmallValues;

/// From this length on a text is looked through for characters that take two or four bytes each.
const LONG_TEXT: usize = 1 << 16;

/// What None or a truth value takes, and what a number does.
const CONSTANT: u64 = 16;
const NUMBER: u64 = 40;

/// Bytes that small values take.
pub(super) fn of_small_values(values: &SmallValues) -> u64 {
    let numbers = values.count.saturating_sub(values.constants);
    let constants = CONSTANT.saturating_mul(values.constants as u64);
    NUMBER
        .saturating_mul(numbers as u64)
        .saturating_add(constants)
}

/// Bytes that the value of an instruction takes, without its items and the content of texts.
pub(super) fn of(action: Action) -> u64 {
    match action {
        Action::Push(Literal::None | Literal::True | Literal::False) => CONSTANT,
        Action::Push(_) => NUMBER,
        Action::Empty(container) | Action::Gather(container) => match container {
            Container::List | Container::Dict => 72,
            Container::Tuple => 40,
            Container::Set | Container::FrozenSet => 232,
        },
        Action::Tuple(count) => 56 + 8 * u64::from(count),
        Action::Reduce
        | Action::New
        | Action::NewWithKeywords
        | Action::Instance
        | Action::Object
        | Action::Reference
        | Action::StackReference => 200,
        Action::Memoize | Action::Put | Action::Get | Action::Duplicate | Action::Mark => 16,
        _ => 8,
    }
}

/// Bytes that a container takes for so many items; of a dict these are keys and values.
pub(super) fn of_items(container: Container, count: usize) -> u64 {
    let each = match container {
        Container::List | Container::Tuple => 8,
        Container::Dict => 24,
        Container::Set | Container::FrozenSet => 32,
    };
    (count as u64).saturating_mul(each)
}

/// Bytes that a text takes, which is UTF-8 in the pickle.
pub(super) fn of_text(text: &[u8]) -> u64 {
    let width = match text.len() {
        0..LONG_TEXT => 1,
        // What a character's first byte is says how many bytes it takes in Python, as all others of the text do then.
        _ => match text.iter().copied().max() {
            Some(0xf0..) => 4,
            Some(0xc4..) => 2,
            _ => 1,
        },
    };
    let characters = text.iter().filter(|byte| **byte & 0xc0 != 0x80);
    if width == 1 {
        text.len() as u64
    } else {
        width * characters.count() as u64
    }
}

/// What is left of the memory that values may take.
pub(super) struct Memory(pub(super) u64);

impl Memory {
    #[inline]
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), Refused> {
        self.0 = self.0.checked_sub(bytes).ok_or(Refused::TooMuch(
            "would take more memory than this process may use; fetch it in parts",
        ))?;
        Ok(())
    }
}
