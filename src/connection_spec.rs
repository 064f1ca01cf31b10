//! Placeholder until the parser lands.

/// Placeholder.
#[derive(Debug, thiserror::Error)]
#[error("spec")]
pub struct SpecError;
