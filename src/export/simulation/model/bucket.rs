//! A bucket of tokens.

use std::time::Duration;

use super::super::behaviour::Limit;

/// Tokens that come back with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) tokens: f64,
    pub(super) filled_at: Duration,
}

impl Bucket {
    /// Whether one is left, which is taken.
    pub(super) fn take(&mut self, limit: Limit, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = now.max(self.filled_at);
        self.tokens = (self.tokens + passed * limit.per_second).min(limit.burst);
        let has_one = self.tokens >= 1.0;
        if has_one {
            self.tokens -= 1.0;
        }
        has_one
    }
}
