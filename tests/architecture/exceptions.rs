//! What does not keep the rules between files yet: nothing. Who has to let something pass for a while names it here.

/// Rule, and how its faults begin that are let pass.
pub(super) const EXCEPTIONS: &[(&str, &[&str])] = &[];
