//! The stack, the marks and the memo of an unpickler, for whatever stands in them.

use super::error::{Refused, UNDERFLOW};

/// An unpickler's memory.
pub(crate) struct Stack<S> {
    slots: Vec<S>,
    marks: Vec<usize>,
    memo: Vec<Option<S>>,
}

impl<S: Clone> Stack<S> {
    pub(crate) fn new() -> Stack<S> {
        Stack {
            slots: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
        }
    }

    /// Forgets everything, and keeps its memory for the next pickle.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.marks.clear();
        self.memo.clear();
    }

    /// How many entries it has memory for.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity() + self.marks.capacity() + self.memo.capacity()
    }

    pub(crate) fn push(&mut self, slot: S) {
        self.slots.push(slot);
    }

    /// Pushes the same `count` times.
    pub(crate) fn push_many(&mut self, slot: S, count: usize) {
        self.slots.resize(self.slots.len() + count, slot);
    }

    pub(crate) fn mark(&mut self) {
        self.marks.push(self.slots.len());
    }

    /// Values below the innermost mark are out of reach until the mark is gone.
    fn is_at_fence(&self) -> bool {
        self.slots.len() <= self.marks.last().copied().unwrap_or(0)
    }

    pub(crate) fn pop(&mut self) -> Result<S, Refused> {
        if self.is_at_fence() {
            return Err(UNDERFLOW);
        }
        self.slots.pop().ok_or(UNDERFLOW)
    }

    /// The value on top.
    pub(crate) fn top(&mut self) -> Result<&mut S, Refused> {
        if self.is_at_fence() {
            return Err(UNDERFLOW);
        }
        self.slots.last_mut().ok_or(UNDERFLOW)
    }

    /// The place from which on there are `count` values, [`above`](Self::above) the innermost mark.
    pub(crate) fn top_place(&self, count: u8) -> Result<usize, Refused> {
        let place = self.slots.len().checked_sub(usize::from(count));
        place
            .filter(|place| *place >= self.marks.last().copied().unwrap_or(0))
            .ok_or(UNDERFLOW)
    }

    /// Drops the top, or the mark that is there.
    pub(crate) fn pop_any(&mut self) -> Result<(), Refused> {
        if self.marks.last() == Some(&self.slots.len()) {
            self.marks.pop();
            Ok(())
        } else {
            self.pop().map(drop)
        }
    }

    /// Takes the innermost mark away; what is above it is [`above`](Self::above) this place.
    pub(crate) fn pop_mark(&mut self) -> Result<usize, Refused> {
        self.marks
            .pop()
            .ok_or(Refused::Malformed("a mark is missing"))
    }

    /// The values from a place on.
    pub(crate) fn above(&self, place: usize) -> &[S] {
        self.slots.get(place..).unwrap_or_default()
    }

    /// Drops the values from a place on.
    pub(crate) fn truncate(&mut self, place: usize) {
        self.slots.truncate(place);
    }

    /// Notes the top under a number. Picklers fill the memo in order, from 0 or, in Python 2's cPickle, from 1.
    pub(crate) fn remember(&mut self, place: u64) -> Result<(), Refused> {
        const OUT_OF_ORDER: Refused = Refused::Malformed("its memo is out of order");
        let slot = self.top()?.clone();
        if place == 1 && self.memo.is_empty() {
            self.memo.push(None);
        }
        let place = usize::try_from(place).map_err(|_| OUT_OF_ORDER)?;
        if place == self.memo.len() {
            self.memo.push(Some(slot));
            return Ok(());
        }
        match self.memo.get_mut(place) {
            Some(noted) => *noted = Some(slot),
            None => return Err(OUT_OF_ORDER),
        }
        Ok(())
    }

    /// Notes the top under the next number.
    pub(crate) fn memoize(&mut self) -> Result<(), Refused> {
        if matches!(self.memo.as_slice(), [None, ..]) {
            // CPython counts what is noted, which is another number here.
            return Err(Refused::Malformed("its memo is out of order"));
        }
        self.remember(self.memo.len() as u64)
    }

    /// Pushes what was noted under a number, and gives it.
    pub(crate) fn recall(&mut self, place: u64) -> Result<S, Refused> {
        let place = usize::try_from(place).ok();
        let slot = place
            .and_then(|place| self.memo.get(place).cloned().flatten())
            .ok_or(Refused::Malformed("it names a part that is not there"))?;
        self.push(slot.clone());
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memo_is_filled_in_order() {
        let mut stack = Stack::new();
        stack.push('a');
        assert!(stack.remember(2).is_err());
        assert_eq!(stack.remember(0), Ok(()));
        assert_eq!(stack.memoize(), Ok(()));
        assert!(stack.remember(3).is_err());
        assert!(stack.remember(u64::MAX).is_err());
        stack.push('b');
        assert_eq!(stack.remember(1), Ok(()), "a place can be filled again");
        assert_eq!((stack.recall(0), stack.recall(1)), (Ok('a'), Ok('b')));
        assert!(stack.recall(2).is_err());
    }

    #[test]
    fn the_memo_may_begin_with_one() {
        let mut stack = Stack::new();
        stack.push('a');
        assert_eq!(stack.remember(1), Ok(()));
        assert_eq!(stack.remember(2), Ok(()));
        assert!(stack.recall(0).is_err());
        assert!(stack.memoize().is_err());
    }

    #[test]
    fn marks_keep_what_is_below_them() {
        let mut stack = Stack::new();
        stack.push('a');
        stack.mark();
        assert!(stack.pop().is_err() && stack.top().is_err());
        stack.push('b');
        stack.push('c');
        let place = stack.pop_mark();
        assert_eq!(place, Ok(1));
        assert_eq!(stack.above(1), ['b', 'c']);
        stack.truncate(1);
        assert_eq!(stack.pop(), Ok('a'));
        assert!(stack.pop_mark().is_err() && stack.pop().is_err());
    }
}
