//! Cursors of lists: opaque, bound to the caller, the route and its filters, and sealed against tampering.
//!
//! A cursor names the last item that was shown, never an offset, so that what changes meanwhile neither repeats nor skips
//! what did not.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The seal's length in bytes, half of SHA-256's: ample against guessing online.
const SEAL_BYTES: usize = 16;
/// The longest cursor that is looked at, in characters.
const LONGEST: usize = 512;

/// Makes and opens cursors.
#[derive(Clone, Debug)]
pub struct Cursors {
    key: hmac::Key,
}

/// The cursor was not made here, for this caller and these filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one of this list: start again without it")]
pub struct InvalidCursor;

impl Cursors {
    /// `key` is the service's own secret, the same on every replica.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// A cursor after `last`, good for `bound_to` alone: who asks, for which list, by which filters.
    #[must_use]
    pub fn seal(&self, bound_to: &[&str], last: &str) -> String {
        let mut bytes = self.tag(bound_to, last).as_ref()[..SEAL_BYTES].to_vec();
        bytes.extend_from_slice(last.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What the cursor names as last.
    ///
    /// # Errors
    /// [`InvalidCursor`] when it was not sealed here for the same `bound_to`.
    pub fn open(&self, bound_to: &[&str], cursor: &str) -> Result<String, InvalidCursor> {
        if cursor.len() > LONGEST {
            return Err(InvalidCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| InvalidCursor)?;
        let (seal, last) = bytes.split_at_checked(SEAL_BYTES).ok_or(InvalidCursor)?;
        let last = std::str::from_utf8(last).map_err(|_| InvalidCursor)?;
        let tag = self.tag(bound_to, last);
        aws_lc_rs::constant_time::verify_slices_are_equal(&tag.as_ref()[..SEAL_BYTES], seal)
            .map_err(|_| InvalidCursor)?;
        Ok(last.to_owned())
    }

    fn tag(&self, bound_to: &[&str], last: &str) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in bound_to.iter().chain([&last]) {
            // Lengths keep the parts apart: no two lists of parts give the same bytes.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_where_it_was_made() {
        let cursors = Cursors::new(&[7; 32]);
        let cursor = cursors.seal(&["tenant-a", "available", "MSISDN"], "+93701234567");
        assert_eq!(cursors.open(&["tenant-a", "available", "MSISDN"], &cursor).unwrap(), "+93701234567");
        for other in [
            &["tenant-b", "available", "MSISDN"][..],
            &["tenant-a", "available", "ALPHA"],
            &["tenant-aavailable", "MSISDN"],
        ] {
            assert_eq!(cursors.open(other, &cursor), Err(InvalidCursor));
        }
        assert_eq!(Cursors::new(&[8; 32]).open(&["tenant-a", "available", "MSISDN"], &cursor), Err(InvalidCursor));
    }

    #[test]
    fn a_cursor_that_was_touched_does_not_open() {
        let cursors = Cursors::new(&[7; 32]);
        let cursor = cursors.seal(&["t"], "+93701234567");
        for at in 0..cursor.len() {
            let mut touched = cursor.clone().into_bytes();
            touched[at] = if touched[at] == b'A' { b'B' } else { b'A' };
            let touched = String::from_utf8(touched).unwrap();
            assert_eq!(cursors.open(&["t"], &touched), Err(InvalidCursor), "{touched}");
        }
        for bad in ["", "A", "!!!!", &"A".repeat(600)] {
            assert_eq!(cursors.open(&["t"], bad), Err(InvalidCursor));
        }
    }
}
