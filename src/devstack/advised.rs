//! A fault that says what to do about it: printed as the fault, then a `hint:` line.

/// A fault in plain words, with the one thing to do next.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Advised {
    what: String,
    hint: String,
}

impl Advised {
    /// `what` is wrong; `hint` is what to do about it.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}
