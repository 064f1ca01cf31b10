//! Looks through a pickle from a server before it is decoded: plain data only, bounded depth, no expansion bombs.

use std::collections::HashMap;

use super::pieces::Pieces;

/// How deep lists, tuples and dicts may be nested: decoding recurses, and a deeper one could use up the stack.
pub(crate) const MAX_DEPTH: u32 = 128;
/// What shared parts may add when each occurrence becomes a copy: a pickle of n bytes may
/// stand for at most `EXPANSION_FACTOR * n + EXPANSION_FREE` bytes.
pub(crate) const EXPANSION_FACTOR: u64 = 16;
pub(crate) const EXPANSION_FREE: u64 = 64 << 20;

/// What is known of a value: how large it is when written out in full, and how deep.
#[derive(Clone, Copy)]
struct Shape {
    size: u64,
    depth: u32,
    /// Part of another value already, so that growing it would make that one's size wrong.
    used: bool,
}

/// A walk over the opcodes that keeps shapes instead of values.
struct Walk<'a> {
    data: Pieces<'a>,
    shapes: Vec<Shape>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: HashMap<u32, usize>,
    limit: u64,
}

/// Checks that `data` is one pickle of plain data which can be decoded within bounds.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn check_plain(data: Pieces<'_>) -> Result<(), String> {
    let limit = EXPANSION_FACTOR
        .saturating_mul(data.len())
        .saturating_add(EXPANSION_FREE);
    let mut walk = Walk {
        data,
        shapes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        limit,
    };
    walk.run()
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), String> {
        loop {
            let opcode = self.byte()?;
            match opcode {
                b'.' => {
                    self.pop()?;
                    return if self.data.is_empty() {
                        Ok(())
                    } else {
                        Err("bytes follow the pickle's end".to_owned())
                    };
                }
                0x80 => self.skip(1)?,
                0x95 => self.skip(8)?,
                b'(' => self.marks.push(self.stack.len()),
                b'N' | 0x88 | 0x89 => self.push(1, 0)?,
                b']' | b'}' | b')' | 0x8f => self.push(1, 1)?,
                b'J' => self.sized(4)?,
                b'K' => self.sized(1)?,
                b'M' => self.sized(2)?,
                b'G' => self.sized(8)?,
                b'U' | b'C' | 0x8c | 0x8a => {
                    let length = self.number(1)?;
                    self.sized(length)?;
                }
                b'T' | b'X' | b'B' | 0x8b => {
                    let length = self.number(4)?;
                    self.sized(length)?;
                }
                0x8d | 0x8e | 0x96 => {
                    let length = self.number(8)?;
                    self.sized(length)?;
                }
                b'F' | b'I' | b'L' | b'S' | b'V' => {
                    let length = self.line()?;
                    self.push(length, 0)?;
                }
                b'c' => {
                    self.line()?;
                    self.line()?;
                    self.push(1, 0)?;
                }
                0x93 => {
                    self.pop()?;
                    self.pop()?;
                    self.push(1, 0)?;
                }
                b'R' => {
                    let arguments = self.pop()?;
                    self.pop()?;
                    self.gather(&[arguments])?;
                }
                0x85..=0x87 => {
                    let mut items = Vec::new();
                    for _ in 0..(opcode - 0x84) {
                        items.push(self.pop()?);
                    }
                    self.gather(&items)?;
                }
                b't' | b'l' | b'd' | 0x91 => {
                    let items = self.pop_mark()?;
                    self.gather(&items)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.grow(&[item])?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.grow(&[key, value])?;
                }
                b'e' | b'u' | 0x90 => {
                    let items = self.pop_mark()?;
                    self.grow(&items)?;
                }
                b'q' => {
                    let index = self.number(1)? as u32;
                    self.memoize(index)?;
                }
                b'r' => {
                    let index = self.number(4)? as u32;
                    self.memoize(index)?;
                }
                0x94 => {
                    let index = self.memo.len() as u32;
                    self.memoize(index)?;
                }
                b'h' => {
                    let index = self.number(1)? as u32;
                    self.recall(index)?;
                }
                b'j' => {
                    let index = self.number(4)? as u32;
                    self.recall(index)?;
                }
                other => return Err(format!("pickle opcode 0x{other:02x} is not plain data")),
            }
        }
    }

    fn skip(&mut self, count: u64) -> Result<(), String> {
        self.data.skip(count).ok_or_else(ends_early)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.data.byte().ok_or_else(ends_early)
    }

    fn number(&mut self, width: u32) -> Result<u64, String> {
        self.data.number(width).ok_or_else(ends_early)
    }

    fn line(&mut self) -> Result<u64, String> {
        self.data.line().ok_or_else(ends_early)
    }

    fn sized(&mut self, length: u64) -> Result<(), String> {
        self.skip(length)?;
        self.push(length + 1, 0)
    }

    fn push(&mut self, size: u64, depth: u32) -> Result<(), String> {
        self.stack.push(self.shapes.len());
        self.shapes.push(Shape {
            size,
            depth,
            used: false,
        });
        Ok(())
    }

    fn pop(&mut self) -> Result<usize, String> {
        if self
            .marks
            .last()
            .is_some_and(|mark| *mark >= self.stack.len())
        {
            return Err("the pickle's stack runs out".to_owned());
        }
        self.stack
            .pop()
            .ok_or_else(|| "the pickle's stack runs out".to_owned())
    }

    fn pop_mark(&mut self) -> Result<Vec<usize>, String> {
        let mark = self.marks.pop().ok_or("a mark is missing in the pickle")?;
        if mark > self.stack.len() {
            return Err("the pickle's stack runs out".to_owned());
        }
        Ok(self.stack.split_off(mark))
    }

    /// Sums up parts, which from now on must not grow.
    fn sum(&mut self, items: &[usize]) -> Result<Shape, String> {
        let mut total = Shape {
            size: 1,
            depth: 0,
            used: false,
        };
        for item in items {
            let shape = self
                .shapes
                .get_mut(*item)
                .ok_or("the pickle is inconsistent")?;
            shape.used = true;
            total.size = total.size.saturating_add(shape.size);
            total.depth = total.depth.max(shape.depth);
        }
        total.depth += 1;
        if total.depth > MAX_DEPTH {
            return Err(format!("the value is nested more than {MAX_DEPTH} deep"));
        }
        if total.size > self.limit {
            return Err("the value is far larger than its pickle".to_owned());
        }
        Ok(total)
    }

    fn gather(&mut self, items: &[usize]) -> Result<(), String> {
        let total = self.sum(items)?;
        self.push(total.size, total.depth)
    }

    fn grow(&mut self, items: &[usize]) -> Result<(), String> {
        let added = self.sum(items)?;
        let limit = self.limit;
        let target = self.stack.last().and_then(|top| self.shapes.get_mut(*top));
        let shape = target.ok_or("the pickle's stack runs out")?;
        if shape.used {
            return Err("a part of the value changes after its use".to_owned());
        }
        shape.size = shape.size.saturating_add(added.size);
        shape.depth = shape.depth.max(added.depth);
        if shape.size > limit {
            return Err("the value is far larger than its pickle".to_owned());
        }
        Ok(())
    }

    fn memoize(&mut self, index: u32) -> Result<(), String> {
        let top = self.stack.last().ok_or("the pickle's stack runs out")?;
        self.memo.insert(index, *top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), String> {
        let item = *self
            .memo
            .get(&index)
            .ok_or("the pickle names a part that is not there")?;
        self.stack.push(item);
        Ok(())
    }
}

fn ends_early() -> String {
    "the pickle ends early".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Segments;

    fn check_plain(data: &[u8]) -> Result<(), String> {
        super::check_plain(Pieces::new(&Segments::from(data.to_vec())))
    }

    #[test]
    fn plain_data_passes() {
        // pickle.dumps({'a': [1, 2.5, None, b'x'], 'b': ('a', True)}, 3)
        let data = b"\x80\x03}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G@\x04\x00\x00\x00\x00\x00\x00NC\x01xq\x03eX\x01\x00\x00\x00bq\x04h\x01\x88\x86q\x05u.";
        assert_eq!(check_plain(data), Ok(()));
    }

    #[test]
    fn an_expansion_bomb_is_refused() {
        // Each level is a tuple of the level before it, twice, through the memo.
        let mut data = b"\x80\x02]q\x00".to_vec();
        for level in 0..120u8 {
            data.extend([b'h', level, b'h', level, 0x86, b'q', level + 1]);
        }
        data.push(b'.');
        assert!(check_plain(&data).is_err_and(|e| e.contains("larger than its pickle")));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut data = vec![b']'; 1000];
        data.extend(vec![b'a'; 999]);
        data.push(b'.');
        assert!(check_plain(&data).is_err_and(|e| e.contains("nested")));
    }

    #[test]
    fn a_part_that_grows_after_its_use_is_refused() {
        assert!(
            check_plain(b"]q\x00]h\x00ah\x00K\x01a.")
                .is_err_and(|e| e.contains("changes after its use"))
        );
    }

    #[test]
    fn a_length_beyond_the_data_is_refused_without_allocating() {
        assert!(check_plain(b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.").is_err());
    }

    #[test]
    fn instances_are_refused() {
        assert!(check_plain(b"cos\nsystem\n)\x81.").is_err_and(|e| e.contains("not plain")));
    }

    proptest::proptest! {
        #[test]
        fn garbage_never_panics(data: Vec<u8>) {
            let _ = check_plain(&data);
        }
    }
}
