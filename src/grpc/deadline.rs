//! The deadline that a client gives its call, in the header `grpc-timeout`.

use std::time::Duration;

use hyper::HeaderMap;

/// The time that the client leaves for the call; `None` where it says nothing that can be read.
///
/// At most eight digits and a unit, as the gRPC protocol has it.
pub(super) fn of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_the_protocol_writes_them() {
        for (text, deadline) in [
            ("250m", Some(Duration::from_millis(250))),
            ("1S", Some(Duration::from_secs(1))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("2M", Some(Duration::from_mins(2))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("1s", None),
            ("1", None),
        ] {
            let headers = HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]);
            assert_eq!(of(&headers), deadline, "{text:?}");
        }
        assert_eq!(of(&HeaderMap::new()), None);
    }
}
