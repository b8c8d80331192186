//! JSON files with a checksum of themselves, so that every change is detected.
//!
//! The last member of the object is `"checksum"`: BLAKE3 of all bytes before it. It covers the text and not the values, so
//! that it needs no canonical form of numbers. An edited file counts as damaged.

use super::Digest;

const BEFORE: &str = ",\n\"checksum\": \"";
const AFTER: &str = "\"}\n";
const HEX: usize = 64;

/// Adds the checksum to a non-empty JSON object.
pub fn seal(object: &[u8]) -> Vec<u8> {
    let open = object.trim_ascii_end();
    let open = open.strip_suffix(b"}").unwrap_or(open).trim_ascii_end();
    let mut text = open.to_vec();
    text.extend_from_slice(BEFORE.as_bytes());
    text.extend_from_slice(Digest::of(open).hex().as_bytes());
    text.extend_from_slice(AFTER.as_bytes());
    text
}

/// Checks the text of a file whose layout has version `format`. Versions before `since` had no checksum.
///
/// # Errors
/// Why the file is damaged, as the end of a sentence.
pub fn check(text: &[u8], format: u32, since: u32) -> Result<(), &'static str> {
    match (parts(text), format >= since) {
        (Some((body, hex)), true) if Digest::of(body).hex().as_bytes() == hex => Ok(()),
        (Some(_), true) => Err("its checksum does not match its content, so it was changed"),
        (Some(_), false) => Err("it has a checksum, and its version had none"),
        (None, true) => Err("its checksum is missing"),
        (None, false) => Ok(()),
    }
}

/// The bytes before the checksum, and the checksum.
fn parts(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_suffix(AFTER.as_bytes())?;
    let (text, hex) = text.split_at_checked(text.len().checked_sub(HEX)?)?;
    Some((text.strip_suffix(BEFORE.as_bytes())?, hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_is_noticed() {
        for text in ["{\"format\": 2, \"ap\": 0.25}", "{\n  \"format\": 2,\n  \"ap\": 0.25\n}\n"] {
            let sealed = seal(text.as_bytes());
            assert_eq!(check(&sealed, 2, 2), Ok(()));
            let json: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
            assert_eq!((&json["ap"], json.as_object().unwrap().len()), (&serde_json::json!(0.25), 3));
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert!(check(&changed, 2, 2).is_err(), "byte {at}");
            }
            for cut in 0..sealed.len() {
                assert!(check(&sealed[..cut], 2, 2).is_err(), "cut at {cut}");
            }
            assert!(check(&[&sealed[..], b" "].concat(), 2, 2).is_err());
        }
    }

    #[test]
    fn versions_that_had_no_checksum_have_none() {
        assert_eq!(check(b"{\"format\": 1}", 1, 2), Ok(()));
        assert!(check(&seal(b"{\"format\": 1}"), 1, 2).is_err());
    }
}
