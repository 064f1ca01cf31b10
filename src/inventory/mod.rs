//! Which hosts are meant: ranges of names, groups, patterns, and the inventories of Ansible.
//!
//! [`expand`] turns `web[01-20]` into names and [`fold`] turns names into `web[01-20]`.

mod error;
mod folding;
mod ranges;

pub use error::InventoryError;
pub use folding::fold;
pub use ranges::expand;

/// The most hosts that a text or an inventory may name.
pub const MAX_HOSTS: usize = 100_000;
