//! How deep and how heavy the values of a pickle are, and how much work their hashing and comparing may be.
//!
//! A tuple is hashed anew wherever it is a key, and so is all that it holds, as often as it holds it: sixty tuples of two, each of
//! which holds the one before twice, are hashed for years. Long numbers are hashed, and long texts compared, each time.

use super::super::error::Refused;

/// Values that may be hashed or compared for each byte of a pickle, and in addition. One takes about 10 ns.
const WORK_FACTOR: u64 = 64;
const WORK_FREE: u64 = 1 << 24;
/// Bytes of a whole number, and of a text, whose hashing or comparing takes as long as that of a small value.
const NUMBER_PER_VALUE: usize = 16;
const TEXT_PER_VALUE: usize = 512;

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// How deep values are nested in it.
    pub(super) depth: u32,
    /// As how many small values it counts where it is hashed or compared; what it holds twice counts twice.
    pub(super) weight: u32,
}

impl Shape {
    pub(super) const NOTHING: Shape = Shape {
        depth: 0,
        weight: 0,
    };
    pub(super) const LEAF: Shape = Shape {
        depth: 0,
        weight: 1,
    };

    /// So many small values.
    pub(super) fn leaves(count: usize) -> Shape {
        Shape {
            depth: 0,
            weight: u32::try_from(count).unwrap_or(u32::MAX),
        }
    }

    /// A whole number of so many bytes.
    pub(super) fn number(length: usize) -> Shape {
        Shape::long(length / NUMBER_PER_VALUE)
    }

    /// A text, or bytes, of so many.
    pub(super) fn text(length: usize) -> Shape {
        Shape::long(length / TEXT_PER_VALUE)
    }

    fn long(more: usize) -> Shape {
        Shape {
            depth: 0,
            weight: u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1),
        }
    }

    /// Both together.
    #[inline]
    pub(super) fn with(self, other: Shape) -> Shape {
        Shape {
            depth: self.depth.max(other.depth),
            weight: self.weight.saturating_add(other.weight),
        }
    }

    /// What holds it.
    #[inline]
    pub(super) fn held(self) -> Shape {
        Shape {
            depth: self.depth + 1,
            weight: self.weight.saturating_add(1),
        }
    }
}

/// What is left of the work that a pickle may make.
pub(crate) struct Work(u64);

impl Work {
    /// For a pickle of so many bytes.
    pub(crate) fn of(length: usize) -> Work {
        Work(
            WORK_FACTOR
                .saturating_mul(length as u64)
                .saturating_add(WORK_FREE),
        )
    }

    /// Takes so many small values from it.
    pub(crate) fn spend(&mut self, weight: u64) -> Result<(), Refused> {
        self.0 = self.0.checked_sub(weight).ok_or(Refused::TooMuch(
            "takes far more work than what was received",
        ))?;
        Ok(())
    }
}
