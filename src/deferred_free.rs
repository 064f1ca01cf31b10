//! Memory that is given back on a thread of its own: freeing a gigabyte takes longer than a call may wait.

use bytes::Bytes;

/// Frees less than this at once, in bytes.
const LARGE: usize = 8 << 20;
/// More is freed in steps of this many bytes: while memory is given back, no other thread of the process gets any.
const STEP: usize = 32 << 20;

struct DeferredFree(Vec<u8>);

impl AsRef<[u8]> for DeferredFree {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for DeferredFree {
    fn drop(&mut self) {
        let mut memory = std::mem::take(&mut self.0);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // A runtime that is ending drops the task instead, which frees as well.
            runtime.spawn_blocking(move || {
                while memory.capacity() > STEP {
                    memory.truncate(memory.capacity() - STEP);
                    memory.shrink_to_fit();
                    std::thread::yield_now();
                }
            });
        }
    }
}

/// The same bytes; where they are many, whichever task drops them last need not wait until they are freed.
pub(crate) fn with_deferred_free(bytes: Vec<u8>) -> Bytes {
    if bytes.len() < LARGE {
        return Bytes::from(bytes);
    }
    Bytes::from_owner(DeferredFree(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_bytes_are_the_same_whatever_their_number() {
        for size in [0, 1, LARGE - 1, LARGE] {
            let bytes: Vec<u8> = (0..size).map(|n| n as u8).collect();
            assert_eq!(with_deferred_free(bytes.clone()), bytes);
        }
    }

    #[test]
    fn without_a_runtime_they_are_freed_at_once() {
        drop(with_deferred_free(vec![0; LARGE]));
    }
}
