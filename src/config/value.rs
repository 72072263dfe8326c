//! How a setting is read from what the file (TOML) or the environment (text) says.
//!
//! What must stay true: the same setting means the same in both; only its spelling differs (a list is comma-separated in
//! the environment).

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::period::Period;

/// A setting as it was given.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    /// In the file.
    File(toml::Value),
    /// In the environment.
    Environment(String),
}

/// A type that a setting can have. The error says what is wrong, without the setting's name.
pub(super) trait Setting: Sized {
    fn read(given: &Given) -> Result<Self, String>;
}

fn text(given: &Given) -> Result<&str, String> {
    match given {
        Given::Environment(text) | Given::File(toml::Value::String(text)) => Ok(text),
        Given::File(other) => Err(format!("must be a text in quotes, not {}", other.type_str())),
    }
}

fn whole_number<N>(given: &Given) -> Result<N, String>
where
    N: TryFrom<i64> + std::str::FromStr,
{
    let wrong = || "must be a whole number that is not negative or too large".to_owned();
    match given {
        Given::Environment(text) => text.parse().map_err(|_| wrong()),
        Given::File(toml::Value::Integer(number)) => N::try_from(*number).map_err(|_| wrong()),
        Given::File(other) => Err(format!("must be a whole number, not {}", other.type_str())),
    }
}

macro_rules! whole_number_settings {
    ($($number:ty),*) => {$(
        impl Setting for $number {
            fn read(given: &Given) -> Result<Self, String> {
                whole_number(given)
            }
        }
    )*};
}

whole_number_settings!(u32, u64, usize);

impl Setting for bool {
    fn read(given: &Given) -> Result<Self, String> {
        match given {
            Given::File(toml::Value::Boolean(value)) => Ok(*value),
            Given::Environment(text) if text == "true" => Ok(true),
            Given::Environment(text) if text == "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }
}

impl Setting for String {
    fn read(given: &Given) -> Result<Self, String> {
        match text(given)? {
            "" => Err("must not be empty".to_owned()),
            text => Ok(text.to_owned()),
        }
    }
}

impl Setting for PathBuf {
    fn read(given: &Given) -> Result<Self, String> {
        String::read(given).map(Self::from)
    }
}

impl Setting for Period {
    fn read(given: &Given) -> Result<Self, String> {
        text(given)?.parse().map_err(|fault| format!("{fault}"))
    }
}

impl Setting for SocketAddr {
    fn read(given: &Given) -> Result<Self, String> {
        text(given)?.parse().map_err(|_| "must be an address and a port, such as 0.0.0.0:8080 or [::]:8080".to_owned())
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(given: &Given) -> Result<Self, String> {
        T::read(given).map(Some)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(given: &Given) -> Result<Self, String> {
        match given {
            Given::File(toml::Value::Array(values)) => {
                values.iter().map(|value| T::read(&Given::File(value.clone()))).collect()
            }
            Given::File(other) => Err(format!("must be a list, not {}", other.type_str())),
            Given::Environment(text) if text.is_empty() => Ok(Self::new()),
            Given::Environment(text) => {
                text.split(',').map(|part| T::read(&Given::Environment(part.trim().to_owned()))).collect()
            }
        }
    }
}

impl Setting for BTreeSet<String> {
    fn read(given: &Given) -> Result<Self, String> {
        Vec::<String>::read(given).map(|values| values.into_iter().collect())
    }
}

/// The address of a server, which may hold a password: it is shown without.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// Takes the address as it is.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole address, password and all: for connecting, never for showing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str("(not shown)") };
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        let path = path.split('?').next().unwrap_or_default();
        match authority.rsplit_once('@') {
            // A name without a password may itself be a secret: NATS takes tokens so.
            Some((credentials, host)) => match credentials.split_once(':') {
                Some((user, _)) => write!(f, "{scheme}://{user}@{host}{path}"),
                None => write!(f, "{scheme}://{host}{path}"),
            },
            None => write!(f, "{scheme}://{authority}{path}"),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Setting for ServerUrl {
    fn read(given: &Given) -> Result<Self, String> {
        String::read(given).map(Self)
    }
}

/// A share of a whole, to the hundredth of a percent: `5%`, `1.5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u32);

impl Percent {
    /// So many hundredths of a percent.
    #[must_use]
    pub const fn from_basis_points(points: u32) -> Self {
        Self(points)
    }

    /// How many hundredths of a percent.
    #[must_use]
    pub const fn basis_points(self) -> u32 {
        self.0
    }
}

impl Setting for Percent {
    fn read(given: &Given) -> Result<Self, String> {
        let wrong = || "must be a share from 0% to 100%, such as 5% or 1.25%".to_owned();
        let number = text(given)?.strip_suffix('%').ok_or_else(wrong)?.trim_end();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 2 || whole.len() > 3 {
            return Err(wrong());
        }
        let points = format!("{whole}{part:0<2}").parse().map_err(|_| wrong())?;
        if points > 10_000 { Err(wrong()) } else { Ok(Self(points)) }
    }
}

/// A text that lets whoever has it act as this service; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text as it is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for sending, never for showing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

impl Setting for Secret {
    fn read(given: &Given) -> Result<Self, String> {
        let text = String::read(given)?;
        if text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err("must be printable ASCII without spaces".to_owned())
        }
    }
}

/// The key that makes cursors tamper-evident; never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// What stands in for a key that was refused.
    pub(super) const fn all_zero() -> Self {
        Self([0; 32])
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(not shown)")
    }
}

impl Setting for CursorKey {
    fn read(given: &Given) -> Result<Self, String> {
        let mut key = [0; 32];
        hex::decode_to_slice(text(given)?, &mut key)
            .map(|()| Self(key))
            .map_err(|_| "must be 32 bytes in hexadecimal (64 digits), such as from `openssl rand -hex 32`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_to_the_hundredth_of_a_percent() {
        for (given, points) in [("5%", 500), ("1.5%", 150), ("0.25 %", 25), ("100%", 10_000), ("0%", 0), ("1.05%", 105)]
        {
            assert_eq!(Percent::read(&Given::Environment(given.to_owned())), Ok(Percent(points)), "{given}");
        }
        for given in ["5", "", "%", "-1%", "100.01%", "1.234%", "1.%", "a%", "0.05"] {
            assert!(Percent::read(&Given::Environment(given.to_owned())).is_err(), "{given}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            (
                "postgres://numbering:s3cret@db.internal:5432/numbering",
                "postgres://numbering@db.internal:5432/numbering",
            ),
            ("postgres://db/numbering?user=n&password=s3cret", "postgres://db/numbering"),
            ("redis://:s3cret@cache:6379/1", "redis://@cache:6379/1"),
            ("nats://s3cret@bus:4222", "nats://bus:4222"),
            ("postgres://u:p@ss:w0rd@db/n", "postgres://u@db/n"),
            ("host=db password=s3cret", "(not shown)"),
        ] {
            assert_eq!(ServerUrl::new(url).to_string(), shown);
        }
    }
}
