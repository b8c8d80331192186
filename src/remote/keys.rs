//! Ed25519 keys: their text, their signatures, and the file of a signing key.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::Error;

const PREFIX: &str = "ed25519:";
/// The first word of the file of a signing key.
const FILE: &str = "xpipe-signing-key-v1";

/// The public half of a key: `ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Whether a signature of a message is this key's.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", to_hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.strip_prefix(PREFIX).and_then(from_hex).and_then(|b| <[u8; 32]>::try_from(b).ok());
        bytes.map(Self).ok_or_else(|| {
            format!(
                "`{}` is not a public key: expected `{PREFIX}` and 64 hexadecimal digits",
                text.escape_debug()
            )
        })
    }
}

impl TryFrom<String> for PublicKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A key that signs records. It is never printed.
pub struct SigningKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

impl SigningKey {
    /// A new random key.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate() -> Result<Self, Error> {
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| Error::settings("this system gives no random numbers"))?;
        Self::of(seed)
    }

    fn of(seed: [u8; 32]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|e| Error::settings(e.to_string()))?;
        Ok(Self { seed, pair })
    }

    /// Reads the file of a key, which nobody else may read.
    ///
    /// # Errors
    /// It cannot be read, others may read it, or it holds no key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let named = |what: &str| Error::settings(format!("the signing key {} {what}", path.display()));
        let text = std::fs::read_to_string(path)
            .map_err(|e| named(&format!("cannot be read: {e}")).help("`xpipe cache keygen` makes one"))?;
        require_private(path)?;
        let seed = text.trim().strip_prefix(FILE).and_then(|hex| from_hex(hex.trim()));
        let seed = seed.and_then(|s| <[u8; 32]>::try_from(s).ok());
        Self::of(
            seed.ok_or_else(|| named(&format!("is damaged: expected `{FILE}` and 64 hexadecimal digits")))?,
        )
    }

    /// Writes a new file that only its owner may read.
    ///
    /// # Errors
    /// It exists already or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.create_new(true).write(true).mode(0o600).open(path)?;
            writeln!(file, "{FILE} {}", to_hex(&self.seed))?;
            file.sync_all()
        };
        write().map_err(|e| {
            let error = Error::settings(format!("the signing key {} cannot be written: {e}", path.display()));
            match e.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    error.help("there is a key already, and results are signed by it; give another file")
                }
                _ => error,
            }
        })
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// The signature of a message, in hexadecimal digits.
    pub(crate) fn sign(&self, message: &[u8]) -> String {
        to_hex(self.pair.sign(message).as_ref())
    }
}

/// Refuses a file with secrets that other users may read.
pub(crate) fn require_private(path: &Path) -> Result<(), Error> {
    let named = |what: String| Error::settings(format!("{} {what}", path.display()));
    let mode =
        std::fs::metadata(path).map_err(|e| named(format!("cannot be read: {e}")))?.permissions().mode();
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(named(format!("may be read by other users (mode {:03o})", mode & 0o777))
            .help(format!("`chmod 600 {}`", path.display()))),
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2)
        || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_only_by_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/key");
        let key = SigningKey::generate().unwrap();
        key.write(&path).unwrap();
        assert!(key.write(&path).unwrap_err().to_string().contains("cannot be written"), "never overwritten");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = SigningKey::read(&path).unwrap();
        assert_eq!(again.public(), key.public());
        assert!(!format!("{again:?}").contains(&to_hex(&key.seed)));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(SigningKey::read(&path).unwrap_err().to_string().contains("other users (mode 640)"));
        let spoilt = dir.path().join("spoilt");
        std::fs::write(&spoilt, "x").unwrap();
        std::fs::set_permissions(&spoilt, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(SigningKey::read(&spoilt).unwrap_err().to_string().contains("damaged"));
        assert!(
            SigningKey::read(&dir.path().join("none")).unwrap_err().to_string().contains("cannot be read")
        );
    }

    #[test]
    fn a_signature_is_of_one_message_by_one_key() {
        let (a, b) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let signature = from_hex(&a.sign(b"message")).unwrap();
        assert!(a.public().verifies(b"message", &signature));
        assert!(!a.public().verifies(b"massage", &signature) && !b.public().verifies(b"message", &signature));
        assert!(!a.public().verifies(b"message", &signature[..63]) && !a.public().verifies(b"message", b""));
    }

    #[test]
    fn public_keys_are_text() {
        let key = SigningKey::generate().unwrap().public();
        assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
        for wrong in
            ["", "ed25519:", "ed25519:ab", "abc", &key.to_string().to_uppercase(), &format!("{key}00")]
        {
            assert!(wrong.parse::<PublicKey>().unwrap_err().contains("64 hexadecimal"), "{wrong}");
        }
        // RFC 8032, 7.1, test 1.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let known = SigningKey::of(from_hex(seed).unwrap().try_into().unwrap()).unwrap();
        let public = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(known.public().to_string(), public);
        assert!(known.sign(b"").starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974"));
    }
}
