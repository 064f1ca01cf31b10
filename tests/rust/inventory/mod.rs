//! Inventories, patterns and ranges: what they mean, how they fail, and what their judges say.

mod ansible;
mod hostile;
mod judge;
mod nodeset;
mod reading;
mod variable_files;
