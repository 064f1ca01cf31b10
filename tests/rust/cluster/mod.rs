//! Many machines at once: connecting to hosts of which some fail, and maps that survive lost ones.

mod map;
mod opening;
